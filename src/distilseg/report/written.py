"""The comparison as a table for others' documents, by the file's ending: Markdown, LaTeX (booktabs) or CSV.

write_table      results of every run and structure, and the difference from the control
write_per_case   the value of every case
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import unknown
from ..files import written_whole
from ..names import printable
from ..runs import write_rows
from . import words
from .comparison import Comparison
from .table import csv_rows
from .verdicts import verdicts

Rows = Sequence[Sequence[str]]
ENDINGS = (".csv", ".md", ".tex")
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "±": r"$\pm$",
    "−": r"$-$",
    "<": r"$<$",
    ">": r"$>$",
    "–": "--",
    "†": r"\textdagger{}",
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
}


def check_ending(path: Path) -> None:
    """Raises UserError for a file whose ending says no kind of table."""
    if path.suffix not in ENDINGS:
        raise unknown(f"kind of table in {path}", path.suffix, ENDINGS)


def write_table(comparison: Comparison, path: Path) -> None:
    """Means and differences of all runs as the ending of `path` says it; CSV in full precision."""
    check_ending(path)
    if path.suffix == ".csv":
        write_rows(path, csv_rows(comparison))
        return
    columns = ["structure", "run"]
    for metric in comparison.metrics:
        columns += [words.heading(metric), "difference", "p"]
    rows = []
    for structure in comparison.structures:
        for contender in comparison.contenders:
            row = [structure, contender.name]
            for metric in comparison.metrics:
                key = (contender.name, structure, metric.name)
                value, change = comparison.scores.get(key), comparison.differences.get(key)
                row += [words.score(value, metric) if value else words.MISSING]
                row += [words.number(change.mean, metric.decimals, sign=True) if change else words.MISSING]
                row += [words.p_value(change.p_holm).removeprefix("= ") if change else words.MISSING]
            rows.append(row)
    notes = [
        *[comparison.badge] * bool(comparison.badge),
        f"{len(comparison.cases)} test cases: mean ± standard deviation; difference from the control,"
        " paired by case; p: Wilcoxon, corrected (Holm).",
        *[words.INCOMPLETE_TOLD] * words.any_incomplete(comparison.scores),
        *verdicts(comparison),
        *(f"Caution: {caution}" for caution in comparison.warnings),
    ]
    _write(path, columns, rows, notes)


def write_per_case(comparison: Comparison, path: Path) -> None:
    """The value of every case by structure and metric, a column for each run; empty where there is none."""
    check_ending(path)
    columns = ["case", "structure", "metric", *(contender.name for contender in comparison.contenders)]
    rows = []
    for case in comparison.cases:
        for structure in comparison.structures:
            for metric in comparison.metrics:
                key = (structure, metric.name)
                values = [one.values.get(key, {}).get(case) for one in comparison.contenders]
                if any(value is not None for value in values):
                    # NaN, where a metric is undefined, is written out: it is not the same as not measured.
                    shown = ["" if value is None else repr(float(value)) for value in values]
                    if path.suffix != ".csv":
                        shown = [words.number(value, metric.decimals) for value in values]
                    rows.append([case, structure, metric.name, *shown])
    if path.suffix == ".csv":
        write_rows(path, [dict(zip(columns, row, strict=True)) for row in rows])
        return
    _write(path, columns, rows, [])


def _write(path: Path, columns: Sequence[str], rows: Rows, notes: Sequence[str]) -> None:
    draw: Callable[[Sequence[str], Rows, Sequence[str]], str] = _latex if path.suffix == ".tex" else _markdown
    with written_whole(path) as aside:
        aside.write_text(draw(columns, rows, notes), encoding="utf-8")


def _markdown(columns: Sequence[str], rows: Rows, notes: Sequence[str]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"

    rule = "|" + "|".join(["---", "---", *["---:"] * (len(columns) - 2)]) + "|"
    return "\n".join([line(columns), rule, *map(line, rows), *(f"\n{_plain(note)}" for note in notes)]) + "\n"


def _latex(columns: Sequence[str], rows: Rows, notes: Sequence[str]) -> str:
    def line(cells: Sequence[str]) -> str:
        return "  " + " & ".join(map(_escaped, cells)) + r" \\"

    table = [
        "% \\usepackage{booktabs}",
        f"\\begin{{tabular}}{{ll{'r' * (len(columns) - 2)}}}",
        "  \\toprule",
        line(columns),
        "  \\midrule",
        *map(line, rows),
        "  \\bottomrule",
        "\\end{tabular}",
        *(f"% {_plain(note)}" for note in notes),
    ]
    return "\n".join(table) + "\n"


def _plain(text: str) -> str:
    return " ".join(printable(text).split())


def _escaped(text: str) -> str:
    return re.sub(r".", lambda sign: _LATEX.get(sign[0], sign[0]), _plain(text))
