"""Volumes of some subjects, single slices of the others: the data of studies of unpaired prototypes.

A 3D teacher learns from the volumes; students learn from one slice of each of the others, and other slices
of further ones, several of each, judge them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .jobs import processor

if TYPE_CHECKING:
    from distilseg.data.case import Case, Dataset
    from distilseg.data.planning.splits import Split


@dataclass(frozen=True)
class Deal:
    """Who gives volumes, who slices, and how many."""

    view: str
    of_volumes: float  # of the subjects
    fractions: tuple[float, float, float]  # of the others: to train, to validate, to judge
    draws: Mapping[str, int]  # slices of a subject, at most, by part of the split
    beside: tuple[float, float] = (0.1, 0.1)  # of the volumes: to validate, to judge

    def volumes(self, dataset: Dataset, part: tuple[float, float] = (0.0, 1.0)) -> Split:
        """Subjects of the volumes, or of a part of them, dealt for the teacher."""
        from distilseg.data.planning.splits import split_cases

        cases = self._cases(dataset, volumes=True)
        low, high = (round(share * len(cases)) for share in part)
        return split_cases(cases[low:high], seed=0, fractions=(1 - sum(self.beside), *self.beside))

    def slices(self, dataset: Dataset) -> tuple[Dataset, Split]:
        """Slices of the other subjects as cases of their own, and which of them train, validate, judge."""
        from distilseg.data.planning.splits import Split, split_cases
        from distilseg.data.preparing.single_slices import one_slice_each

        others = self._cases(dataset, volumes=False)
        subjects = split_cases(others, seed=0, fractions=self.fractions)
        of_others = replace(dataset, cases=tuple(others))
        draws = [one_slice_each(of_others, view=self.view, seed=n) for n in range(max(self.draws.values()))]
        cases: dict[str, Case] = {}
        parts: dict[str, tuple[str, ...]] = {}
        for part, times in self.draws.items():
            ids: list[str] = []
            for subject in getattr(subjects, part):
                seen = set()
                for n, draw in enumerate(draws[:times]):
                    case = draw.case(subject)
                    if case.slice not in seen:
                        seen.add(case.slice)
                        ids.append(f"{subject}-{n}")
                        cases[ids[-1]] = replace(case, id=ids[-1], patient=subject)
            parts[part] = tuple(ids)
        return replace(draws[0], cases=tuple(cases.values())), Split(**parts)

    def _cases(self, dataset: Dataset, *, volumes: bool) -> list[Case]:
        from distilseg.data.planning.splits import split_cases

        dealt = split_cases(dataset.cases, seed=0, fractions=(self.of_volumes, 0.0, 1 - self.of_volumes))
        return [dataset.case(id) for id in (dealt.train if volumes else dealt.test)]


def fit_prototypes(
    dataset: Dataset, deal: Deal, named: str, part: tuple[float, float], runs: str, **settings: Any
) -> None:
    """Trains and judges a teacher of volumes, and writes its prototypes: a file `named` in `runs`."""
    from distilseg.commands import prototypes, train

    told = {"split": deal.volumes(dataset, part), "runs": f"{runs}/volumes", "machine": processor()}
    (run,) = train("supervised", dataset, control=False, **told, **settings)
    prototypes(run.folder, out=_file(runs, named), view=deal.view, device="cpu")


def train_students(
    dataset: Dataset,
    deal: Deal,
    options: Mapping[str, Any],
    teachers: Sequence[str],
    runs: str,
    **settings: Any,
) -> None:
    """A student alone, its control, and what the prototypes of each of the `teachers` make of it; judged."""
    from distilseg.commands import train
    from distilseg.judge import judge

    drawn, split = deal.slices(dataset)
    told = {"split": split, "runs": f"{runs}/slices", "evaluate": False, "machine": processor(), **settings}
    for n, teacher in enumerate(teachers):
        own = {**options, "prototypes": str(_file(runs, teacher)), "view": deal.view}
        for run in train("prototype_distillation", drawn, options=own, control=n == 0, **told):
            judge(run, drawn, empty="monai", device="cpu")


def _file(runs: str, named: str) -> Path:
    return Path(runs) / f"prototypes-{named}.json"
