"""Verdicts: one sentence on a contender against its control. The level first, then the difference.

Each outcome has its sentence (see `comparison.py`). After it stand the structures for which it does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import words
from .comparison import MEAN, Comparison, Difference
from .contenders import Metric
from .learned import NEAR_NOTHING

SENTENCES = {
    "helped": "{name} helped at this budget: {levels} of {control}, {difference}.",
    "hurt": "{name} hurt at this budget: {levels} of {control}, {difference}.",
    "small": (
        "{name} made no relevant difference at this budget: {levels} of {control}, {difference}."
        " That is statistically shown, and smaller than {relevant:g}, the smallest that counts here."
    ),
    "none": "{name} was not shown to differ from {control} at this budget: {levels}, {difference}.",
    "early": "Too early to say at this budget whether {name} helps: {levels} of {control}, and {why}.",
}
LABELS = {
    "helped": "helped",
    "hurt": "hurt",
    "small": "shown, but too small to matter",
    "none": "no difference shown",
    "early": "too early to say",
}
MOST_NAMED = 4  # structures that went another way


def verdict(comparison: Comparison, name: str, metric: Metric) -> str:
    """On a contender against its control, for the mean over structures."""
    control = comparison.control_told(name)
    difference = comparison.differences.get((name, comparison.overall, metric.name))
    if control is None:
        return f"{name} is the control."
    if difference is None:
        return f"{name} cannot be compared with {control}: no test case has a {metric.title} of both."
    sentence = SENTENCES[difference.outcome].format(
        name=name,
        control=control,
        levels=levels(comparison, metric, difference),
        difference=difference_told(difference, metric),
        relevant=comparison.relevant,
        why=comparison.early.get(name, ""),
    )
    more = [other_way(comparison, name, metric, difference), unlearned(comparison, name, metric, difference)]
    return " ".join(filter(None, [sentence, *more]))


def verdicts(comparison: Comparison) -> list[str]:
    """For every contender but the controls: the verdict on the first metric."""
    if not comparison.metrics:
        return []
    first = comparison.metrics[0]
    return [verdict(comparison, c.name, first) for c in comparison.contenders if comparison.controls[c.name]]


def levels(comparison: Comparison, metric: Metric, difference: Difference) -> str:
    """`Dice 0.443 against 0.356`: both means over the cases that are compared."""
    where = f" ({comparison.overall})" if comparison.overall != MEAN else ""
    own, other = (words.number(value, metric.decimals) for value in (difference.own, difference.other))
    return f"{metric.title}{where} {own} against {other}{_unit(metric)}"


def difference_told(difference: Difference, metric: Metric) -> str:
    """The mean difference; in brackets its interval, p and n."""
    test = f"p {words.p_value(difference.p)}"
    if words.p_value(difference.p) != words.p_value(difference.p_holm):
        test += f", corrected {words.p_value(difference.p_holm).removeprefix('= ')}"
    return (
        f"{words.number(difference.mean, metric.decimals, sign=True)}{_unit(metric)}"
        f" (95 % interval {words.interval(difference.interval, metric)}, {test}, {difference.n} cases)"
    )


def in_short(comparison: Comparison, name: str, metric: Metric, difference: Difference) -> str:
    """The levels and, unless it is too early for one, the difference: of the metrics beside the first.

    A mean that was made without undefined values is marked, as in the table.
    """
    told = levels(comparison, metric, difference)
    for one in (name, comparison.controls[name] or name):
        score = comparison.scores.get((one, comparison.overall, metric.name))
        if score is not None and words.mark(score, metric):
            told += words.INCOMPLETE
            break
    return told if difference.outcome == "early" else f"{told}, {difference_told(difference, metric)}"


def other_way(comparison: Comparison, name: str, metric: Metric, difference: Difference) -> str:
    """Names the structures whose own mean difference has the other sign, the largest first.

    Where the mean over structures shows nothing, those that were shown to change: they may cancel each other.
    """
    if comparison.overall != MEAN or difference.outcome == "early":
        return ""
    single = {
        structure: comparison.differences[name, structure, metric.name]
        for structure in comparison.structures[:-1]
        if (name, structure, metric.name) in comparison.differences
    }
    if difference.outcome == "none":
        found = {structure: one for structure, one in single.items() if one.outcome in ("helped", "hurt")}
        return f"Shown of single structures: {_named(found, metric)}." if found else ""
    found = {
        structure: one
        for structure, one in single.items()
        if one.mean * difference.mean < 0 and round(one.mean, metric.decimals)
    }
    return f"The other way went {_named(found, metric)}." if found else ""


def unlearned(comparison: Comparison, name: str, metric: Metric, difference: Difference) -> str:
    """Names the structures that neither has learned: in the mean they hide what the two do elsewhere."""
    if metric.name != "dice" or comparison.overall != MEAN or difference.outcome == "early":
        return ""
    single = {s: comparison.differences.get((name, s, metric.name)) for s in comparison.structures[:-1]}
    missed = [s for s, one in single.items() if one is not None and max(one.own, one.other) < NEAR_NOTHING]
    return f"Neither learned {_some(missed)} (Dice below {NEAR_NOTHING:g})." if missed else ""


def _some(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _named(differences: dict[str, Difference], metric: Metric) -> str:
    ordered = sorted(differences.items(), key=lambda pair: -abs(pair[1].mean))
    told = [
        f"{structure} ({words.number(one.mean, metric.decimals, sign=True)}{_unit(metric)},"
        f" p {words.p_value(one.p_holm)})"
        for structure, one in ordered[:MOST_NAMED]
    ]
    more = len(ordered) - MOST_NAMED
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _unit(metric: Metric) -> str:
    return f" {metric.unit}" if metric.unit else ""
