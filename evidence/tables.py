"""Tables in Markdown that several pages share; each takes the evidence and gives the whole table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distilseg.report import words
from distilseg.report.folds import fold_scores

from .rows import VERDICTS, Evidence, Told


def table(heads: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    first, *rest = ("| " + " | ".join(map(str, line)) + " |" for line in [heads, *lines])
    return "\n".join([first, "|" + "---|" * len(heads), *rest])


def by_structure(found: Evidence, question: str) -> str:
    """Each row's scores by structure; under them what it gained over the row that the question names."""
    metrics, lines = found.comparison.metrics, []
    controls = dict(found.questions[question])
    for row, label in found.labels.items():
        for one in found.comparison.structures:
            lines.append([label, one, *(found.scored(row, metric.name, one) for metric in metrics)])
            if row in controls:
                told = (found.less(question, row, metric=metric.name, structure=one) for metric in metrics)
                lines.append(["", "*difference*", *(f"*{_difference(each)}*" for each in told)])
    return table(["run", "structure", *map(words.heading, metrics)], lines)


def short(found: Evidence, question: str, teachers: Sequence[str] = ()) -> str:
    """Dice alone, beside the difference from the control: for the README."""
    controls, lines = dict(found.questions[question]), []
    for row, label in found.labels.items():
        role = "teacher" if row in teachers else "control"
        told = _said(found.less(question, row)) if row in controls else role
        lines.append([label, found.scored(row), told, len(found.rows[row].runs)])
    return table(["run", "Dice", "difference from its control", "runs"], lines)


def _said(told: Told) -> str:
    """A difference; where it is too early for one, this beside it."""
    return _difference(told) + f"; {VERDICTS['early']}" * (told.outcome == "early")


def _difference(told: Told) -> str:
    """Without the unit, which stands in the heading, and with the corrected p alone."""
    mean = words.number(told.difference.mean, told.metric.decimals, sign=True)
    return f"{mean} ({told.interval}), p {words.p_value(told.difference.p_holm)}"


def comparisons(found: Evidence) -> str:
    """Every pair that any question asks about, by every metric."""
    metrics, lines = found.comparison.metrics, []
    for question, pairs in found.questions.items():
        for a, b in pairs:
            told = [found.less(question, a, b, metric.name) for metric in metrics]
            cells = (f"{one.gain} ({one.interval}), p {one.p}" for one in told)
            lines.append([found.labels[a], found.labels[b], *cells])
    return table(["run", "less", *map(words.heading, metrics)], lines)


def structures(found: Evidence) -> str:
    """Dice of each structure."""
    names = found.comparison.structures[:-1]
    lines = (
        [label, *(found.scored(row, "dice", one) for one in names)] for row, label in found.labels.items()
    )
    return table(["Dice", *names], lines)


def seeds(found: Evidence) -> str:
    """Mean Dice of each seed."""
    every = sorted({seed for contender in found.rows.values() for seed in contender.seeds})
    means = ((label, found.by_seed(row)) for row, label in found.labels.items())
    lines = ([label, *(words.number(of.get(seed), 3) for seed in every)] for label, of in means)
    return table(["mean Dice", *(f"seed {seed}" for seed in every)], lines)


def folds(found: Evidence, control: str = "", compared: Iterable[str] = ()) -> str:
    """Mean and spread over folds, and each fold; with a control, what those `compared` gain over it."""
    scores, metrics, lines = fold_scores(found.comparison), found.comparison.metrics, []
    for row, label in found.labels.items():
        name, overall = found.rows[row].name, found.comparison.overall
        cells = [words.fold_score(scores[name, overall, metric.name], metric) for metric in metrics]
        gains = found.by_fold(row, control) if row in compared else []
        less = [", ".join(words.number(gain, 3, sign=True) for gain in gains)] if control else []
        lines.append([label, *cells, *less])
    return table(["run", *map(words.heading, metrics), *(["Dice less control"] if control else [])], lines)


def costs(found: Evidence, *names: str) -> str:
    """What the rows cost; by default all that is known."""
    heads = names or words.COSTS
    lines = ([label, *(found.costs(row)[name] for name in heads)] for row, label in found.labels.items())
    return table(["run", *heads], lines)
