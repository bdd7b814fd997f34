"""Tables and sentences about rows, in Markdown, that several pages share; `label`: a row's key in words."""

from __future__ import annotations

from collections.abc import Callable

from evidence_rows import Evidence, Test

from distilseg.report import words

Label = Callable[[str], str]


def score(found: Evidence, row: str, metric: str, structure: str | None = None) -> str:
    """Mean and interval."""
    of = next(m for m in found.comparison.metrics if m.name == metric)
    told = found.score(row, metric, structure)
    return f"{words.number(told.mean, of.decimals)} ({words.interval(told.interval, of, sign=False)})"


def comparisons(found: Evidence, label: Label) -> str:
    """Every pair that a question asks about, by every metric."""
    metrics = found.comparison.metrics
    lines = [
        f"| run | less | {' | '.join(map(words.heading, metrics))} |",
        "|---|---|" + "---|" * len(metrics),
    ]
    for question in found.questions:
        by_metric = [found.tests(question, metric) for metric in metrics]
        lines += [
            f"| {label(a)} | {label(b)} | {' | '.join(tests[a, b].told for tests in by_metric)} |"
            for a, b in by_metric[0]
        ]
    return "\n".join(lines) + "\n"


def structures(found: Evidence, label: Label) -> str:
    """Dice of each structure."""
    names = [name for name in found.comparison.structures if name != found.comparison.overall]
    lines = [f"| Dice | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [
        f"| {label(row)} | {' | '.join(score(found, row, 'dice', name) for name in names)} |"
        for row in found.rows
    ]
    return "\n".join(lines) + "\n"


def seeds(found: Evidence, label: Label) -> str:
    """Mean Dice of each seed."""
    lines = [
        f"| mean Dice | {' | '.join(f'seed {seed}' for seed in found.seeds)} |",
        "|---|" + "---|" * len(found.seeds),
    ]
    for row, contender in found.rows.items():
        of = dict(zip(contender.seeds, found.by_seed(row), strict=True))
        told = (words.number(of.get(seed), 3) for seed in found.seeds)
        lines.append(f"| {label(row)} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def shown(test: Test, better: str = "higher", worse: str = "lower") -> str:
    """The verdict in words."""
    return {
        "better": f"shown to be {better}",
        "worse": f"shown to be {worse}",
        "none": "no difference shown",
    }[test.shown]


def noise(found: Evidence) -> list[str]:
    """How much of a difference the seeds alone may make; nothing of a single seed."""
    if not found.noise:
        return []
    return [
        f"**Seeds.** A row's mean Dice varies over seeds by {words.number(found.noise, 4)} (standard deviation,"
        " pooled over rows). Differences of that size between rows may be the seeds', whatever their p over cases."
    ]
