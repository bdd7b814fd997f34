"""Tables in Markdown that several pages share; each takes the evidence and gives the whole table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from distilseg.report import words
from distilseg.report.folds import fold_scores

from .rows import Evidence, Told


def table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [heads, *lines]
    told = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join([told[0], "|" + "---|" * len(heads), *told[1:]])


def by_structure(found: Evidence, question: str) -> str:
    """Each row's scores by structure; under them what it gained over the row that the question names."""
    metrics, lines = found.comparison.metrics, []
    controls = dict(found.questions[question])
    for row in found.rows:
        for structure in found.comparison.structures:
            scores = (found.scored(row, metric.name, structure) for metric in metrics)
            lines.append([found.label(row), structure, *scores])
            if row in controls:
                pair = (row, controls[row])
                tests = [found.tests(question, metric.name, structure)[pair] for metric in metrics]
                lines.append(
                    [
                        "",
                        "*difference*",
                        *(f"*{difference(Told(d, m))}*" for d, m in zip(tests, metrics, strict=True)),
                    ]
                )
    return table(["run", "structure", *map(words.heading, metrics)], lines)


def short(found: Evidence, question: str, teachers: Sequence[str] = ()) -> str:
    """Dice alone, beside the difference from the control: for the README."""
    controls, lines = dict(found.questions[question]), []
    for row, contender in found.rows.items():
        role = "teacher" if row in teachers else "control"
        told = difference(found.less(question, row)) if row in controls else role
        lines.append([found.label(row), found.scored(row), told, len(contender.runs)])
    return table(["run", "Dice", "difference from its control", "runs"], lines)


def difference(told: Told) -> str:
    """As these tables write it: without the unit, which stands in the heading, and corrected p alone."""
    mean = words.number(told.difference.mean, told.metric.decimals, sign=True)
    return f"{mean} ({told.interval}), p {words.p_value(told.difference.p_holm)}"


def comparisons(found: Evidence) -> str:
    """Every pair that any question asks about, by every metric."""
    metrics, lines = found.comparison.metrics, []
    for question, pairs in found.questions.items():
        tests = [[Told(d, m) for d in found.tests(question, m.name).values()] for m in metrics]
        for (a, b), *told in zip(pairs, *tests, strict=True):
            lines.append([*map(found.label, (a, b)), *(f"{t.gain} ({t.interval}), p {t.p}" for t in told)])
    return table(["run", "less", *map(words.heading, metrics)], lines)


def structures(found: Evidence) -> str:
    """Dice of each structure."""
    names = found.comparison.structures[:-1]
    lines = ([found.label(row), *(found.scored(row, "dice", s) for s in names)] for row in found.rows)
    return table(["Dice", *names], lines)


def seeds(found: Evidence) -> str:
    """Mean Dice of each seed."""
    every = sorted({seed for contender in found.rows.values() for seed in contender.seeds})
    lines = (
        [found.label(row), *(words.number(found.by_seed(row).get(seed), 3) for seed in every)]
        for row in found.rows
    )
    return table(["mean Dice", *(f"seed {seed}" for seed in every)], lines)


def folds(found: Evidence, control: str = "", compared: Iterable[str] = ()) -> str:
    """Mean and spread over folds, and each fold; with a control, what those `compared` gain over it by fold."""
    scores, metrics = fold_scores(found.comparison), found.comparison.metrics
    overall, lines = found.comparison.overall, []
    for row, contender in found.rows.items():
        cells = [words.fold_score(scores[contender.name, overall, m.name], m) for m in metrics]
        if control:
            gains = found.by_fold(row, control) if row in compared else []
            cells.append(", ".join(words.number(gain, 3, sign=True) for gain in gains))
        lines.append([found.label(row), *cells])
    less = ["Dice less control"] if control else []
    return table(["run", *map(words.heading, metrics), *less], lines)


def costs(found: Evidence, *names: str) -> str:
    """What the rows cost; by default all that is known."""
    heads = names or words.COSTS
    lines = ([found.label(row), *(found.costs(row)[name] for name in heads)] for row in found.rows)
    return table(["run", *heads], lines)
