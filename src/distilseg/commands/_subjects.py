"""The low-data regime: one study for every number of training subjects, all judged on the same cases."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ..errors import UserError
from ..training.experiment import Study
from ..training.studies import of_subjects

Subjects = int | str | Sequence[int | str | None] | None  # 20, "all", None for all, or several of these


def sizes_of(subjects: Subjects) -> list[int | None]:
    """The numbers that are asked for, None for all; raises UserError for what is no number."""
    sizes: list[int | None] = []
    for size in [subjects] if subjects is None or isinstance(subjects, int | str) else subjects:
        if size is None or size == "all":
            sizes.append(None)
        elif isinstance(size, int) and not isinstance(size, bool):
            sizes.append(size)
        else:
            raise UserError(
                f"{size!r} is no number of training subjects", "give whole numbers or all, such as 20,40,all"
            )
    if not sizes:
        raise UserError("no number of training subjects is given", "give some, such as 20,40,all")
    return sizes


def studies_of_sizes(
    studies: Sequence[Study], sizes: Sequence[int | None], *, seed: int, rest: bool = False
) -> list[tuple[int | None, list[Study]]]:
    """For each of `sizes` the studies (of folds, for instance) with so many training subjects.

    `seed` draws them; fewer are always among more. With `rest` the others are learned from without their
    labels. Raises UserError for a number below 1 or above what there is, and where two numbers mean the same
    subjects.
    """
    made = [(size, [of_subjects(study, size, seed, rest=rest) for study in studies]) for size in sizes]
    for (one, of_one), (other, of_other) in combinations(made, 2):
        if any(a.split == b.split for a, b in zip(of_one, of_other, strict=True)):
            told = " and ".join("all" if size is None else str(size) for size in (one, other))
            raise UserError(f"{told} training subjects are the same ones", "give each number once")
    return made
