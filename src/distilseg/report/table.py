"""The comparison as tables: for the terminal (100 columns are enough) and as CSV."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..names import printable
from ..runs import write_rows
from . import folds, sizes, verdicts, words
from .comparison import Comparison
from .contenders import Metric

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {"helped": "green", "hurt": "red"}


def print_comparison(comparison: Comparison, console: Console | None = None) -> None:
    """Cautions, results, costs, and last, where the eye is, the verdict."""
    from rich.console import Console

    console = console or Console()
    if comparison.badge:
        console.print(_text(comparison.badge, style="bold"))
    for warning in comparison.warnings:
        console.print(_text(f"Caution: {warning}", style="yellow"))
    console.print(result_table(comparison))
    if folds.has_folds(comparison):
        console.print(fold_table(comparison))
    if comparison.metrics and sizes.families(comparison):
        console.print(size_table(comparison))
    console.print(cost_table(comparison))
    for sentence in verdicts.verdicts(comparison):
        console.print(_text(sentence, style="bold"))


def result_table(comparison: Comparison) -> Table:
    """A block per structure: every contender's mean ± standard deviation, under it the paired difference."""

    dataset = comparison.dataset.get("name") or "unknown dataset"
    judged = f", agreement with {comparison.labelled_by}" if comparison.labelled_by else ""
    table = _table(
        f"{dataset}: {len(comparison.cases)} test cases{judged}, mean ± standard deviation over cases",
        _legend(comparison),
    )
    table.add_column("run", overflow="fold")
    for metric in comparison.metrics:
        table.add_column(_text(words.heading(metric)), justify="right", no_wrap=True)
    for structure in comparison.structures:
        table.add_row(_text(structure, style="bold"))
        for contender in comparison.contenders:
            key = (contender.name, structure)
            scores = [_score(comparison, *key, metric) for metric in comparison.metrics]
            table.add_row(_text(f"  {contender.name}"), *scores)
            if control := comparison.control_told(contender.name):
                changes = [_change(comparison, *key, metric) for metric in comparison.metrics]
                table.add_row(_text(f"  difference from {control}", style="dim"), *changes)
        table.add_section()
    return table


def fold_table(comparison: Comparison) -> Table:
    """The mean over structures: every contender's mean ± standard deviation over folds, and each fold."""
    table = _table(
        f"Cross-validation, {comparison.overall}: mean ± standard deviation over folds",
        "in brackets: the mean over the cases of each fold; folds share training cases",
    )
    table.add_column("run", overflow="fold")
    for metric in comparison.metrics:
        table.add_column(_text(words.heading(metric)), justify="right")
    scores = folds.fold_scores(comparison)
    for contender in comparison.contenders:
        found = [scores.get((contender.name, comparison.overall, m.name)) for m in comparison.metrics]
        if any(found):
            cells = [
                words.fold_score(score, metric) if score else words.MISSING
                for score, metric in zip(found, comparison.metrics, strict=True)
            ]
            table.add_row(_text(contender.name), *cells)
    return table


def size_table(comparison: Comparison) -> Table:
    """The mean over structures: a row per number of training subjects, a column per recipe."""
    table = _table(
        f"{sizes.title(comparison)}, {comparison.overall}",
        "mean and 95 % bootstrap interval over test cases; under it the difference from the control",
    )
    found = sizes.families(comparison)
    table.add_column("subjects", justify="right")
    for family in found:
        table.add_column(_text(family), justify="right")
    metric = comparison.metrics[0]
    for n in sizes.numbers(found):
        cells = []
        for members in found.values():
            contender = next((c for c in members if c.subjects == n), None)
            key = (contender.name if contender else "", comparison.overall)
            score = comparison.scores.get((*key, metric.name))
            cell = _text(words.MISSING)
            if score:
                told = words.interval(score.interval, metric, sign=False)
                cell = _text(f"{words.number(score.mean, metric.decimals)} [{told}]")
            if comparison.controls.get(key[0]):
                cell = _text("\n").join([cell, _change(comparison, *key, metric)])
            cells.append(cell)
        table.add_row(str(n), *cells)
    return table


def cost_table(comparison: Comparison) -> Table:
    """Parameters, GFLOPs, seconds a case, peak memory; and the training budget that was spent."""
    table = _table(
        "Cost of prediction, and the training budget",
        "GFLOPs: multiply–accumulates of one forward pass / 10⁹, as the field counts",
    )
    longest = max(len(contender.name) for contender in comparison.contenders)
    table.add_column("run", overflow="fold", min_width=min(longest, 24))
    for name in words.COSTS:
        table.add_column(name, justify="right")
    for contender in comparison.contenders:
        table.add_row(_text(contender.name), *words.costs(contender).values())
    return table


def csv_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per contender, structure and metric, in full precision; empty where there is no value."""
    rows = []
    metrics = {metric.name: metric for metric in comparison.metrics}
    for (name, structure, metric), score in comparison.scores.items():
        contender = comparison.contender(name)
        difference = comparison.differences.get((name, structure, metric))
        rows.append(
            {
                "run": name,
                "training_subjects": contender.subjects or "",
                "structure": structure,
                "metric": f"agreement_{metric}" if comparison.labelled_by else metric,
                **({"agreement_with": comparison.labelled_by} if comparison.labelled_by else {}),
                "mean": _plain(score.mean),
                "std": _plain(score.std),
                "low": _plain(score.interval[0]),
                "high": _plain(score.interval[1]),
                "n": score.n,
                "excluded": score.excluded,
                "structures_undefined": score.lacking,
                "incomplete": "yes" if words.mark(score, metrics[metric]) else "",
                "control": comparison.controls[name] or "",
                "mean_of_pairs": _plain(difference.own) if difference else "",
                "control_mean_of_pairs": _plain(difference.other) if difference else "",
                "difference": _plain(difference.mean) if difference else "",
                "difference_low": _plain(difference.interval[0]) if difference else "",
                "difference_high": _plain(difference.interval[1]) if difference else "",
                "pairs": difference.n if difference else "",
                "p_wilcoxon": _plain(difference.p) if difference else "",
                "p_holm": _plain(difference.p_holm) if difference else "",
                "t_test_p": _plain(difference.p_t) if difference else "",
                "t_test_p_holm": _plain(difference.p_t_holm) if difference else "",
                "verdict": difference.outcome if difference else "",
                "parameters": contender.cost.get("parameters", ""),
                "multiply_accumulates": contender.cost.get("multiply_accumulates", ""),
                "seconds_per_case": contender.cost.get("seconds_per_case", ""),
                "waited_for_a_processor": _plain(contender.cost.get("waited")),
                "peak_memory_bytes": contender.cost.get("peak_memory_bytes", ""),
                "steps": _plain(contender.steps),
                "training_seconds": _plain(contender.seconds),
                "seeds": len(set(contender.seeds)),
            }
        )
    return rows


def write_csv(comparison: Comparison, path: Path) -> None:
    """`csv_rows` as a file, whole or not at all."""
    write_rows(path, csv_rows(comparison))


def _table(title: str, caption: str) -> Table:
    from rich.table import Table

    return Table(
        title=_text(title),
        caption=_text(caption),
        header_style="bold",
        title_justify="left",
        caption_justify="left",
    )


def _plain(value: float | None) -> float | str:
    return value if value is not None and math.isfinite(value) else ""


def _score(comparison: Comparison, name: str, structure: str, metric: Metric) -> str:
    score = comparison.scores.get((name, structure, metric.name))
    if score is None:
        return words.MISSING
    lines = [words.score(score, metric)]
    lines += [f"{score.excluded} undefined"] * bool(score.excluded)
    lines += [f"lacks {score.lacking}"] * bool(score.lacking and not metric.is_share)
    return "\n".join(lines)


def _change(comparison: Comparison, name: str, structure: str, metric: Metric) -> Text:
    difference = comparison.differences.get((name, structure, metric.name))
    if difference is None:
        return _text(words.MISSING)
    mean, low, high = (
        words.number(value, metric.decimals, sign=True) for value in (difference.mean, *difference.interval)
    )
    return _text(
        f"{mean}\n[{low}, {high}]\np {words.p_value(difference.p_holm)}",
        style=STYLES.get(difference.outcome, ""),
    )


def _legend(comparison: Comparison) -> str:
    legend = "↑ higher is better, ↓ lower is better"
    if comparison.by == "slice":
        legend += "; a case's value: the mean over its slices"
    if words.any_incomplete(comparison.scores):
        legend += (
            f";{words.INCOMPLETE} without undefined values, which are its worst (lacks n: of single"
            " structures): look at Dice as well"
        )
    if comparison.differences:
        legend += (
            "; difference: run minus its control, paired by case, [95 % bootstrap interval], Wilcoxon p"
            " corrected (Holm)"
        )
    return legend


def _text(text: str, style: str = "") -> Text:
    """Text as it is, no markup in it, and of names nothing that a terminal obeys."""
    from rich.text import Text

    return Text(printable(text), style=style)
