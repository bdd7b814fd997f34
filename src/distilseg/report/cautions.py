"""What a reader should know before trusting a comparison, one sentence each.

Nothing here stops a comparison; the sentences stand above the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from ..evaluation.agreement import limits, titled
from ..runs import seen_cases
from .contenders import METRICS, Contender, Metric, evaluation, training_cases
from .score import Score

CLOCKS = ("device", "processor", "threads")  # what seconds depend on, by their names in cost.json
SAME_SIZE = 1.1  # times: cases that are not larger cost about as much
SMALLEST_N = 6  # with 5 pairs the smallest two-sided p of the Wilcoxon signed-rank test is 2 / 2^5 = 0.0625


def cautions(
    competing: Sequence[Contender],
    controls: Mapping[str, str | None],
    metrics: Sequence[Metric],
    overall: str,
    scores: Mapping[tuple[str, str, str], Score],
    asked: Sequence[str],
    by: str = "case",
) -> Iterator[str]:
    """Every caution that applies, the gravest first."""
    if teacher := competing[0].labelled_by:  # of all alike, see `check_one_judge`
        yield limits(teacher)
    yield from leaks(competing)
    yield from _teachers_of_others(competing)
    yield from _unfinished(competing)
    yield from _one_seed(competing, controls)
    yield from _different_conditions(competing, controls, by)
    for name, control in controls.items():
        if control:
            own, other = (next(c for c in competing if c.name == n) for n in (name, control))
            yield from _different_cases(own, other)
            yield from _different_budgets(own, other)
    yield from _undefined(competing, metrics, overall, scores)
    yield from _clocks(competing)
    for name in asked:
        missing = [c.name for c in competing if all(metric != name for _, metric in c.values)]
        if missing:
            title = titled(METRICS[name].title if name in METRICS else name, competing[0].labelled_by)
            yield f"{title} was not measured for {', '.join(missing)}; run `distilseg evaluate` to have it."


def leaks(competing: Sequence[Contender]) -> Iterator[str]:
    """Cases that a run was tested on and that had shaped it."""
    for contender in competing:
        pairs = zip(contender.runs, contender.tested, strict=True)
        seen = sorted(set().union(*(tested & seen_cases(run) for run, tested in pairs)))
        if seen:
            yield (
                f"{contender.name} was trained or validated on {len(seen)} of its test cases ({_some(seen)});"
                " its scores are no evidence."
            )


def _teachers_of_others(competing: Sequence[Contender]) -> Iterator[str]:
    """Of every teacher that others trained: test cases that it saw, its terms, the traps that it met."""
    tested = frozenset[str]().union(*(cases for contender in competing for cases in contender.tested))
    for told in _by_digest(competing):
        name, saw = told["name"], told.get("saw")
        if saw is None:
            yield (
                f"Nobody said which cases the teacher {name} was trained on: where test cases are among them,"
                " scores of it and of its students are too good (--teacher-saw FILE says it)."
            )
        elif seen := sorted(tested & set(saw)):
            yield (
                f"The teacher {name} was trained on {len(seen)} of the test cases ({_some(seen)}); scores of"
                " it and of its students are no evidence."
            )
        for sentence in (*told.get("traps", ()), *told.get("warnings", ())):
            named = sentence if name in sentence else f"{name}: {sentence}"
            yield f"{named.removesuffix('.')}."


def _by_digest(competing: Sequence[Contender]) -> list[dict[str, Any]]:
    """What runs record of each teacher that others trained, all that any of them knows of it."""
    found: dict[str, dict[str, Any]] = {}
    for run in (run for contender in competing for run in contender.runs):
        about = run.read(run.experiment)
        itself = [about["teacher_of_others"]] if "teacher_of_others" in about else []
        for told in (*itself, *(about.get("teachers_of_others") or {}).values()):
            known = found.setdefault(str(told.get("digest", told["name"])), {})
            traps = dict.fromkeys([*known.get("traps", ()), *told.get("traps", ())])
            known.update(told, traps=list(traps))
    return list(found.values())


def _unfinished(competing: Sequence[Contender]) -> Iterator[str]:
    for contender in competing:
        names = [run.name for run in contender.runs if contender.trained_here and not run.finished]
        if names:
            yield f"{', '.join(names)}: training is not finished; these scores are of an earlier state."
        made = zip(contender.runs, contender.seeds, contender.tested, strict=True)
        for (one, seed, tested), (other, seed_too, tested_too) in combinations(made, 2):
            if seed == seed_too and tested & tested_too:
                yield f"{one.name} and {other.name} are alike, seed included; they are averaged all the same."


def _one_seed(competing: Sequence[Contender], controls: Mapping[str, str | None]) -> Iterator[str]:
    """Of runs that are compared, those of one training; a model of others has no other seed."""
    if not any(controls.values()):
        return
    trained = [c for c in competing if c.trained_here]
    single = [c.name for c in trained if len(set(c.seeds)) == 1]
    if single:
        told = "each run" if len(single) == len(trained) else "; ".join(single)
        yield (
            f"One seed was trained of {told}. Interval and p speak of other cases, not of other"
            " trainings: another seed can move a run by as much as the difference shown. Train more"
            " (--seed 1, --seed 2) and compare all."
        )


def _different_conditions(
    competing: Sequence[Contender], controls: Mapping[str, str | None], by: str
) -> Iterator[str]:
    plans = {c.name: c.runs[0].read(c.runs[0].plan) if c.runs[0].plan.is_file() else {} for c in competing}
    splits = {c.name: frozenset[str]().union(*map(training_cases, c.runs)) for c in competing}
    judged = {c.name: evaluation(c.runs[0], by) for c in competing}
    for one, other in combinations(competing, 2):
        a, b = plans[one.name], plans[other.name]
        keys = ["spacing_mm", "patch", "modalities", "normalisation", "labels"]
        if a and b:
            a, b = ({"tissue_windows": {}, **plan} for plan in (a, b))  # a plan without any does not say so
            keys.append("tissue_windows")
        unrelated = controls[other.name] != one.name and controls[one.name] != other.name
        if unrelated:
            # What a network is shown is a question of its own where none of the two is the other's control.
            keys = [key for key in keys if key not in ("modalities", "normalisation", "tissue_windows")]
        for key in (key for key in keys if a.get(key) != b.get(key) and key in a and key in b):
            told = f" ({a[key]} and {b[key]})" if key not in ("normalisation", "labels") else ""
            yield f"{one.name} and {other.name} were planned differently: {key}{told}."
        x, y = splits[one.name], splits[other.name]
        # Fewer of the same subjects are the question itself; the names tell how many.
        asked = unrelated and one.subjects != other.subjects and (x < y or y < x)
        if x and y and x != y and not asked:
            yield (
                f"{one.name} and {other.name} were trained on different cases"
                f" ({len(x)} and {len(y)}, {len(x & y)} shared)."
            )
        a, b = judged[one.name], judged[other.name]
        keys = ["tolerance_mm", "empty", "unit", "slice_axis"]
        keys += ["weights"] if one.trained_here and other.trained_here else []
        for key in (key for key in keys if a.get(key) != b.get(key)):
            told = f"{a.get(key, 'not recorded')} and {b.get(key, 'not recorded')}"
            yield f"{one.name} and {other.name} were judged differently: {key} ({told})."


def _different_cases(own: Contender, control: Contender) -> Iterator[str]:
    shared, apart = own.cases & control.cases, own.cases ^ control.cases
    if not shared:
        yield f"{own.name} and {control.name} share no test case; their difference cannot be tested."
        return
    if apart:
        yield (
            f"{own.name} and {control.name} were not tested on the same cases: {len(apart)} case(s) of one"
            f" only ({_some(sorted(apart))}); differences are over the {len(shared)} that both have."
        )
    if len(shared) < SMALLEST_N:
        yield (
            f"{own.name} and {control.name} share {len(shared)} test case(s): with fewer than"
            f" {SMALLEST_N} pairs the Wilcoxon test cannot reach p < 0.05, whatever the difference."
        )


def _different_budgets(own: Contender, control: Contender) -> Iterator[str]:
    def apart(a: float | None, b: float | None, tolerance: float) -> bool:
        return a is not None and b is not None and abs(a - b) > tolerance * max(a, b)

    if apart(own.steps, control.steps, 0.05) and apart(own.seconds, control.seconds, 0.1):
        yield (
            f"{own.name} and {control.name} had different budgets:"
            f" {own.steps:,.0f} and {control.steps:,.0f} steps,"
            f" {own.seconds:,.0f} and {control.seconds:,.0f} s."
        )


def _undefined(
    competing: Sequence[Contender],
    metrics: Sequence[Metric],
    overall: str,
    scores: Mapping[tuple[str, str, str], Score],
) -> Iterator[str]:
    """A method that misses structures must not win by having its misses left out."""
    dice = titled("Dice", competing[0].labelled_by)
    for metric in metrics:
        found = {c.name: scores.get((c.name, overall, metric.name)) for c in competing}
        counts = {name: score.excluded for name, score in found.items() if score and score.excluded}
        if counts:
            told = ", ".join(f"{count} case(s) of {name}" for name, count in counts.items())
            yield (
                f"{metric.title} is undefined in {told} (usually an empty prediction); these are left out of"
                f" the means and of the paired differences, so look at {dice} as well."
            )
        lacking = {name: score.lacking for name, score in found.items() if score and score.lacking}
        if lacking and not metric.is_share:
            told = ", ".join(f"{count} of {name}" for name, count in lacking.items())
            yield (
                f"The {overall} of {metric.title} is made without structures that nobody found or that are"
                f" not there: {told}. It flatters; look at {dice}, where a missed structure counts as 0."
            )


def _clocks(competing: Sequence[Contender]) -> Iterator[str]:
    """Seconds that should not be laid beside each other."""
    timed = [c for c in competing if c.cost.get("seconds_per_case") is not None]
    if disturbed := [f"{c.name} ({c.cost['waited']:.0%})" for c in timed if c.busy]:
        yield (
            f"The machine was busy while seconds a case were measured of {', '.join(disturbed)}: in brackets"
            " what part of its time it waited for a processor. Judge again when nothing else runs"
            " (distilseg evaluate RUN --again)."
        )
    if alone := [c.name for c in timed if _timed_alone(c, timed)]:
        yield (
            f"Seconds a case of {', '.join(alone)} were not measured in turns with those of others, and the"
            " machine may have been busier then; `distilseg cost RUN RUN` measures both in turns."
        )
    of_clock = {name: dict.fromkeys(c.cost[name] for c in timed if c.cost.get(name)) for name in CLOCKS}
    apart = [f"{name}: {', '.join(map(str, told))}" for name, told in of_clock.items() if len(told) > 1]
    if apart:
        yield f"Seconds a case were measured on different machines ({'; '.join(apart)}): do not compare them."
    sizes = {c.name: float(c.cost["voxels_per_case"]) for c in timed if c.cost.get("voxels_per_case")}
    if sizes and max(sizes.values()) > SAME_SIZE * min(sizes.values()):
        told = ", ".join(f"{size:,.0f} voxels for {name}" for name, size in sizes.items())
        yield f"Seconds a case were measured on cases of different sizes (medians: {told}): compare none."


def _timed_alone(contender: Contender, timed: Sequence[Contender]) -> bool:
    """Whether no run of it was measured in turns with one of another; False where that is not recorded."""
    told = [run.read(run.cost).get("in_turns_with") for run in contender.runs if run.cost.is_file()]
    others = {run.name for other in timed if other is not contender for run in other.runs}
    return bool(others) and all(names is not None and not others & {*names} for names in told)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
