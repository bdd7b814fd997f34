"""Runs beside their undistilled control: what was won, what was lost, and how sure that is.

Every number comes from the runs' metrics.csv; nothing is drawn or printed here. A difference is always
contender minus control, case by case, over the cases where both have a value.

    interval   95 % bootstrap interval of the mean difference over cases
    p          two-sided Wilcoxon signed-rank test
    p_holm     p corrected (Holm) over the structures and contenders tested for the same metric;
               the mean over structures is one question and corrected over contenders only
    p_t        two-sided paired t-test, for comparison with papers that report it, and p_t_holm, the same
               corrected in the same way; no verdict rests on it

A difference is shown where the interval excludes 0 *and* p_holm < 0.05. What may be said of it:

    helped, hurt    it is shown, and no smaller than the smallest that is relevant
    small           it is shown, and smaller than that; of metrics between 0 and 1, as the tables write them
    none            it is not shown
    early           the two have not learned enough to be compared (see `learned.py`), whatever the test says
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeVar

from ..data.phantom import REFERENCE, SYNTHETIC
from ..errors import UserError, unknown
from ..evaluation.agreement import titled
from ..evaluation.significance import Paired, holm, paired
from ..runs import Run
from .cautions import cautions
from .contenders import METRICS, Contender, Metric, Values, check_one_judge, contenders
from .learned import too_early
from .score import Score

MEAN = "mean over structures"
ALPHA = 0.05
RELEVANT = 0.005  # of Dice, and of what else lies between 0 and 1
Outcome = Literal["helped", "hurt", "small", "none", "early"]
K = TypeVar("K")


@dataclass(frozen=True)
class Difference:
    """Contender minus control, paired by case."""

    values: Values
    own: float  # the contender's mean over the pairs
    other: float  # the control's
    mean: float  # of the differences
    interval: tuple[float, float]
    n: int
    p: float
    p_holm: float
    p_t: float
    p_t_holm: float
    outcome: Outcome


Key = tuple[str, str, str]  # contender, structure, metric


@dataclass(frozen=True)
class Comparison:
    """All that the tables, the figures and the page show."""

    contenders: tuple[Contender, ...]
    controls: Mapping[str, str | None]  # contender -> the contender it is measured against
    structures: tuple[str, ...]  # the classes, and last, where there are several, their mean
    metrics: tuple[Metric, ...]
    cases: tuple[str, ...]
    scores: Mapping[Key, Score]
    differences: Mapping[Key, Difference]
    warnings: tuple[str, ...]
    by: str = "case"  # or slice: each value of a case is then the mean over its slices
    labelled_by: str = ""  # the teacher whose answers stood for labels: scores are agreement with it
    relevant: float = RELEVANT  # smaller differences are called so
    early: Mapping[str, str] = field(default_factory=dict)  # contender -> why no verdict may be given yet

    @property
    def overall(self) -> str:
        """The structure that the verdict is about."""
        return self.structures[-1]

    @property
    def dataset(self) -> Mapping[str, Any]:
        """Name, licence and reference of the dataset, as the first run records them."""
        run = self.contenders[0].runs[0]
        dataset = run.read(run.experiment).get("dataset")
        return dataset if isinstance(dataset, Mapping) else {"name": dataset or "unknown"}

    @property
    def badge(self) -> str:
        """What nobody may miss: that the scans are computed; "" of real ones."""
        return SYNTHETIC if self.dataset.get("reference") == REFERENCE else ""

    def control_told(self, name: str) -> str | None:
        """The control of the contender `name`, without its number of training subjects where both have it."""
        control = self.controls[name]
        if control is None or self.contender(control).subjects != self.contender(name).subjects:
            return control
        return self.contender(control).family

    def contender(self, name: str) -> Contender:
        """The contender that the tables call `name`."""
        named = {contender.name: contender for contender in self.contenders}
        if name not in named:
            raise unknown("contender", name, named)
        return named[name]


def compare_runs(
    runs: Sequence[Run],
    *,
    control: Run | None = None,
    metrics: Sequence[str] = ("dice", "hd95", "nsd"),
    by: str = "case",
    relevant: float = RELEVANT,
) -> Comparison:
    """The runs' test results, each against its control.

    The control is `control`; or what the run's experiment.json names, if that is among `runs`; or the first
    run, and the first of each number of training subjects where there are several of one. Runs that differ
    only in their seed count as one contender. `by="slice"` compares what slices scored; still over cases,
    each the mean over its slices, because slices of one case are not independent. A difference of Dice, IoU
    or NSD that is smaller than `relevant` is called small, however sure it is.

    Raises `UserError` for a run without test results, for an unknown metric, for a `relevant` that no Dice
    can differ by, for runs of different datasets and for runs of which some were judged by labels and some
    by agreement with a teacher.
    """
    if not 0 <= relevant < 1:
        raise UserError(
            f"{relevant:g} is no smallest relevant difference of a Dice between 0 and 1",
            f"give one such as {RELEVANT:g}, or 0 to call none small",
        )
    for name in metrics or [""]:
        if name not in METRICS:
            raise unknown("metric", name, METRICS)
    competing = contenders([*([control] if control else []), *runs], by=by)
    rivals = [c for c in competing if c.trained_here or control is not None]
    controls = dict.fromkeys((c.name for c in competing), None) | (
        _controls(rivals, control) if rivals else {}
    )
    if len({c.family for c in competing}) < len(competing):  # the low-data regime: few subjects first
        competing.sort(key=lambda c: c.subjects or 0)
    cases = tuple(sorted({case for c in competing for case in c.cases}, key=natural))
    found = {metric for c in competing for _, metric in c.values}
    check_one_judge({c.labelled_by: c.name for c in competing})
    labelled_by = competing[0].labelled_by
    chosen = tuple(
        replace(METRICS[name], title=titled(METRICS[name].title, labelled_by))
        for name in metrics
        if name in found
    )
    structures = tuple(dict.fromkeys(structure for c in competing for structure, _ in c.values))
    values = {
        (c.name, structure, metric.name): c.values.get((structure, metric.name), {})
        for c in competing
        for structure in structures
        for metric in chosen
    }
    if len(structures) > 1:
        for metric in chosen:
            means = _means_over_structures(competing, structures, metric.name)
            values |= {(name, MEAN, metric.name): mean for name, mean in means.items()}
        structures += (MEAN,)
    of_name = {c.name: c for c in competing}
    scores = {
        (name, structure, metric): Score.of(
            of_case, _lacking(of_name[name], metric, of_case) if structure == MEAN else 0
        )
        for (name, structure, metric), of_case in values.items()
        if of_case
    }
    early = {
        name: why
        for name, other in controls.items()
        if other is not None and (why := too_early(of_name[name], of_name[other]))
    }
    differences = {
        key: replace(difference, outcome="early") if key[0] in early else difference
        for key, difference in _differences(values, controls, structures, chosen, relevant).items()
    }
    warnings = cautions(competing, controls, chosen, structures[-1], scores, metrics, by)
    return Comparison(
        tuple(competing),
        controls,
        structures,
        chosen,
        cases,
        scores,
        differences,
        tuple(warnings),
        by,
        labelled_by,
        relevant,
        early,
    )


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts case_2 before case_10."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def _controls(competing: Sequence[Contender], control: Run | None) -> dict[str, str | None]:
    """Whom each contender is measured against; None for the controls themselves."""
    of_folder = {run.name: c.name for c in competing for run in c.runs}
    before = {of_folder.get(name) for c in competing for name in (*c.teachers, *c.starts)}
    if control is not None or len(competing) == 1:
        named: dict[str, str | None] = {}
    else:
        named = {c.name: of_folder.get(Path(c.control).name) for c in competing if c.control}
    standards = {name for name in named.values() if name}
    if not standards:
        firsts = {c.subjects: c.name for c in reversed(competing)}
        several = control is None and len(firsts) < len(competing)
        standards = set(firsts.values()) if several else {competing[0].name}

    def fallback(own: Contender) -> str | None:
        """Whoever names no control is measured against the only one of its size, or the only one there is."""
        alike = [c.name for c in competing if c.name in standards and c.subjects == own.subjects]
        if len(alike) == 1:
            return alike[0]
        return next(iter(standards)) if len(standards) == 1 else None

    found = {c.name: named.get(c.name) or fallback(c) for c in competing}
    if control is None:  # teachers, and students that control and contender go on from, attempt to beat none
        standards |= {name for name in before if name and not named.get(name)}
    return {name: None if name in standards else other for name, other in found.items()}


def _means_over_structures(
    competing: Sequence[Contender], structures: Iterable[str], metric: str
) -> dict[str, dict[str, float]]:
    """Contender -> case -> mean over the structures of that case.

    A structure for which no contender has a value is taken as absent from the case and left out. If only this
    contender lacks a value (it missed the structure), its mean is undefined: dropping just that structure
    would reward the miss.
    """
    means: dict[str, dict[str, float]] = {}
    for contender in competing:
        of_case: dict[str, list[float]] = {}
        for structure in structures:
            own = contender.values.get((structure, metric), {})
            others = [c.values.get((structure, metric), {}) for c in competing]
            for case in own:
                if any(math.isfinite(other.get(case, math.nan)) for other in others):
                    of_case.setdefault(case, []).append(own[case])
                else:
                    of_case.setdefault(case, [])
        means[contender.name] = {
            case: math.fsum(values) / len(values) if values else math.nan for case, values in of_case.items()
        }
    return means


def _lacking(contender: Contender, metric: str, means: Values) -> int:
    """How many values of single structures these means over a case's structures are made without.

    A structure that neither reference nor prediction has, by its Dice, is not lacking.
    """
    return sum(
        not math.isfinite(value)
        and math.isfinite(means.get(case, math.nan))
        and not _absent(contender.values.get((structure, "dice"), {}).get(case))
        for (structure, name), of_case in contender.values.items()
        if name == metric
        for case, value in of_case.items()
    )


def _absent(dice: float | None) -> bool:
    """By its Dice: undefined, or by some conventions 1, where both are empty."""
    return dice is not None and (math.isnan(dice) or dice == 1)


def _differences(
    values: Mapping[Key, Values],
    controls: Mapping[str, str | None],
    structures: Sequence[str],
    metrics: Sequence[Metric],
    relevant: float,
) -> dict[Key, Difference]:
    found: dict[Key, Difference] = {}
    for metric in metrics:
        pairs = {
            (name, structure, metric.name): (
                values[name, structure, metric.name],
                values[control, structure, metric.name],
            )
            for name, control in controls.items()
            for structure in structures
            if control is not None
        }
        for mean in (False, True):
            family = {key: pair for key, pair in pairs.items() if (key[1] == MEAN) == mean}
            found |= differences(family, metric, relevant)
    return found


def differences(
    pairs: Mapping[K, tuple[Values, Values]], metric: Metric, relevant: float = RELEVANT
) -> dict[K, Difference]:
    """Each pair's first less its second, by case; p is corrected for the number of pairs.

    relevant: see `compare_runs`. A pair without a case that has a value in both is left out.
    """
    tested: dict[K, tuple[Values, Paired]] = {}
    for key, (own, other) in pairs.items():
        by_case = {case: own[case] - other[case] for case in own if case in other}
        by_case = {case: value for case, value in by_case.items() if math.isfinite(value)}
        if by_case:
            tested[key] = (by_case, paired([own[n] for n in by_case], [other[n] for n in by_case]))
    p_holm = holm([test.p_wilcoxon for _, test in tested.values()])
    p_t_holm = holm([test.p_t for _, test in tested.values()])
    return {
        key: Difference(
            values=by_case,
            own=fmean(pairs[key][0][case] for case in by_case),
            other=fmean(pairs[key][1][case] for case in by_case),
            mean=test.mean_difference,
            interval=test.interval,
            n=test.n,
            p=test.p_wilcoxon,
            p_holm=p,
            p_t=test.p_t,
            p_t_holm=p_t,
            outcome=outcome_of(test.interval, p, metric, test.mean_difference, relevant),
        )
        for (key, (by_case, test)), p, p_t in zip(tested.items(), p_holm, p_t_holm, strict=True)
    }


def outcome_of(
    interval: tuple[float, float],
    p_holm: float,
    metric: Metric,
    mean: float = math.inf,
    relevant: float = 0.0,
) -> Outcome:
    """What may honestly be said of a difference with this interval, corrected p and mean."""
    low, high = interval
    if not p_holm < ALPHA or low <= 0 <= high or math.isnan(low):
        return "none"
    if metric.is_share and round(abs(mean), metric.decimals) < relevant:
        return "small"
    return "helped" if (low > 0) == metric.higher_is_better else "hurt"
