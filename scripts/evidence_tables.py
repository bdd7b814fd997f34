"""What the evidence pages share: tables in Markdown, written from comparisons alone."""

from __future__ import annotations

import re
from pathlib import Path

from distilseg.report import Comparison, compare_runs, words
from distilseg.runs import Run

ROOT = Path(__file__).resolve().parents[1]


def dice(run: Run) -> float:
    """Mean Dice of one run over cases and structures."""
    alone = compare_runs([run])
    return alone.scores[alone.contenders[0].name, alone.overall, "dice"].mean


def table(comparison: Comparison) -> str:
    lines = ["| run | structure | " + " | ".join(words.heading(m) for m in comparison.metrics) + " |"]
    lines += ["|---|---|" + "---|" * len(comparison.metrics)]
    for contender in comparison.contenders:
        for structure in comparison.structures:
            keys = [(contender.name, structure, metric.name) for metric in comparison.metrics]
            pairs = list(zip(keys, comparison.metrics, strict=True))
            cells = [
                f"{words.number(comparison.scores[key].mean, m.decimals)}"
                f" ({words.interval(comparison.scores[key].interval, m, sign=False)})"
                for key, m in pairs
            ]
            lines.append(f"| {contender.name} | {structure} | " + " | ".join(cells) + " |")
            if keys[0] in comparison.differences:
                told = [difference(comparison, key, m) for key, m in pairs]
                lines.append("| | *difference* | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def difference(comparison: Comparison, key: tuple[str, str, str], metric: object) -> str:
    d = comparison.differences[key]
    mean = words.number(d.mean, metric.decimals, sign=True)  # type: ignore[attr-defined]
    return f"*{mean} ({words.interval(d.interval, metric)}), p {words.p_value(d.p_holm)}*"  # type: ignore[arg-type]


def costs(comparison: Comparison) -> str:
    told = [(c.name, words.costs(c)) for c in comparison.contenders]
    heads = list(told[0][1])
    lines = ["| run | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    lines += [f"| {name} | " + " | ".join(cells.values()) + " |" for name, cells in told]
    return "\n".join(lines) + "\n"


def command(comparison: Comparison, name: str) -> str:
    contender = comparison.contender(name)
    run = contender.runs[0]
    return words.train_command(contender, run.read(run.experiment))


def short_table(comparison: Comparison) -> str:
    overlap = comparison.metrics[0]
    lines = ["| run | Dice | difference from its control | runs |", "|---|---|---|---|"]
    teaching = {name for contender in comparison.contenders for name in contender.teachers}
    for contender in comparison.contenders:
        key = (contender.name, comparison.overall, overlap.name)
        score = comparison.scores[key]
        told = difference(comparison, key, overlap).strip("*") if key in comparison.differences else "control"
        told = "teacher" if teaching & {run.name for run in contender.runs} else told
        mean = f"{words.number(score.mean, overlap.decimals)} ({words.interval(score.interval, overlap, sign=False)})"
        lines.append(f"| {contender.name} | {mean} | {told} | {len(contender.runs)} |")
    return "\n".join(lines) + "\n"


def put_into_readme(mark: str, table: str) -> None:
    """Replaces what stands between <!-- mark:begin --> and <!-- mark:end --> in the README."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    between = re.compile(rf"(<!-- {mark}:begin -->\n).*?(<!-- {mark}:end -->)", re.DOTALL)
    readme.write_text(between.sub(lambda m: m[1] + table + m[2], text), encoding="utf-8")
