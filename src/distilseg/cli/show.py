"""Values as text: a console, and the tables that no room draws itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..names import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ..data.check import CheckReport
    from ..data.check.dicom import SeriesReport
    from ..data.planning.plan import Plan
    from ..export.within_budget import WithinBudget

FAR_OFF = 1.5  # of prediction and measurement, as a factor
WIDTH = 120  # where stdout is no terminal
_NAMES = 36  # columns for names of recipes


def console() -> Console:
    """Colours and the terminal's width where there is one; plain and wide enough otherwise."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False, soft_wrap=False)


def say(line: str) -> None:
    """One line; of names in it nothing that a terminal obeys."""
    print(printable(line), flush=True)


def say_json(value: Any) -> None:
    """A value for programs: in ASCII, so that no text in it is obeyed by a terminal."""
    print(json.dumps(value, indent=2).replace("\x7f", "\\u007f"), flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `right` hold numbers."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(header_style="bold")
    for name in columns:
        drawn.add_column(Text(printable(name)), justify="right" if name in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(printable(cell)) for cell in row))
    return drawn


def print_recipes() -> None:
    """All recipes by paper, each on a line, its ablations below it; in a terminal cut where the line ends.

    Below a paper stands when it pays.
    """
    from rich.text import Text

    from ..recipes import groups

    screen = console()
    for group in groups():
        screen.print(Text(group.title, style="bold"))
        screen.print(Text(f"  {group.when}", style="italic"))
        for recipe, ablations in group.recipes.items():
            for indent, one in (("  ", recipe), *(("    ", ablation) for ablation in ablations)):
                line = f"{indent}{one.name}".ljust(_NAMES) + printable(one.summary)
                if sys.stdout.isatty():
                    screen.print(Text(line), no_wrap=True, overflow="ellipsis")
                else:
                    say(line)


def print_check(report: CheckReport) -> None:
    """The problems by case, then one line that sums up."""
    if report.problems:
        rows = [
            (p.case or "(all)", p.severity, p.message, p.fix + (" (--fix does it)" if p.fixable else ""))
            for p in report.problems
        ]
        console().print(table(["case", "", "problem", "fix"], rows))
    for note in report.notes:
        say(note)
    fixable = sum(problem.fixable for problem in report.problems)
    told = f", {fixable} of them repaired by --fix FOLDER" if fixable else ""
    say(
        f"{report.dataset}: {report.cases_checked} cases ({report.files_checked} files) checked,"
        f" {len(report.errors)} errors, {len(report.warnings)} warnings{told}"
    )


def print_series(report: SeriesReport) -> None:
    """A line for each volume and refusal, then one that sums up."""
    for line in report.volumes:
        say(f"volume: {printable(line)}")
    for line in report.refused:
        say(f"refused: {printable(line)}")
    aside = [f"{count} {kind}" for kind, count in report.others.items()]
    aside += [f"{report.single} single images"] if report.single else []
    told = f"; no volumes: {', '.join(aside)}" if aside else ""
    say(f"{report.folder}: {len(report.volumes)} volumes, {len(report.refused)} refused{told}")


def print_plan(plan: Plan) -> None:
    """Every decision with its reason."""
    values = plan.model_dump(mode="json", exclude_none=True)
    rows = [
        (name, _plainly(value), plan.reasons.get(name, ""))
        for name, value in values.items()
        if name not in ("reasons", "dataset")
    ]
    say(f"{plan.dataset}:")
    console().print(table(["", "decided", "because"], rows))


def print_budget(found: WithinBudget) -> None:
    """The candidates with what they are predicted to cost, and the chosen one measured."""
    from ..export.within_budget import budget, listed, size

    rows = [
        (
            one.plan.network,
            f"{listed(one.plan.spacing_mm)} mm",
            f"{one.plan.overlap:g}",
            "x".join(map(str, one.plan.patch)),
            _seconds(one.median_s),
            _seconds(one.largest_s),
            size(one.peak_bytes),
            "chosen" if one is found.chosen else "fits" if one.fits(found.limits) else "no",
        )
        for one in found.best_patches()
    ]
    right = ["overlap", "median case [s]", "largest case [s]", "memory"]
    columns = ["network", "spacing", "overlap", "patch", *right[1:], budget(found.limits)]
    console().print(table(columns, rows, right=right))
    predicted = found.chosen.median_s, found.chosen.largest_s
    (median, largest), ids = found.measured, [case.id for case in found.cases]
    compared = [
        (f"seconds, median case {ids[0]}", predicted[0], median.seconds, _seconds),
        (f"seconds, largest case {ids[1]}", predicted[1], largest.seconds, _seconds),
        *[("memory, largest case", found.chosen.peak_bytes, largest.peak_bytes, size)]
        * bool(largest.peak_bytes),
    ]
    beside = [(what, shown(p), shown(m), f"{p / m - 1:+.0%}") for what, p, m, shown in compared]
    right = ["predicted", "measured", "error"]
    console().print(table(["the chosen plan", *right], beside, right=right))
    say(f"on {found.machine}; end to end after loading, one case at a time; the network is untrained")
    if median.seconds > found.limits.seconds or largest.peak_bytes > found.limits.bytes:
        say("measured, it is beyond the budget: ask for a little less")
    if not all(1 / FAR_OFF < p / m < FAR_OFF for _, p, m, _ in compared):
        say("that is far off: if the machine was busy with other things, --measure-again")


def _seconds(s: float) -> str:
    return f"{s:.3g}"


def _plainly(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{key}: {_plainly(inner)}" for key, inner in value.items())
    if isinstance(value, list) and value and isinstance(value[0], list):
        sizes = all(isinstance(n, int) for inner in value for n in inner)
        return " ".join(("x" if sizes else " to ").join(map(_plainly, inner)) for inner in value)
    if isinstance(value, list):
        return ", ".join(map(_plainly, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def print_scores(rows: Sequence[Mapping[str, Any]], *, by: str = "case", labelled_by: str = "") -> None:
    """A row per structure, a column per metric: mean, under it the deviation, over cases or slices.

    `labelled_by`: the teacher whose answers stood for labels.
    """
    from ..evaluation import accumulated, summarise_rows
    from ..evaluation.agreement import limits, titled
    from ..evaluation.by_slice import case_of
    from ..report.contenders import METRICS

    summary = summarise_rows(rows)
    names = list(dict.fromkeys(row["metric"] for row in summary))
    known = {name: METRICS[name] for name in names if name in METRICS}
    heads = {
        name: f"{titled(m.title, labelled_by)}{m.unit and f' [{m.unit}]'} {m.arrow}"
        for name, m in known.items()
    }
    columns = [heads.get(name, titled(name.replace("_", " "), labelled_by)) for name in names]
    cells = {(row["label"], row["metric"]): _score(row) for row in summary}
    labels = list(dict.fromkeys(row["label"] for row in summary))
    drawn = [[label, *(cells.get((label, name), "") for name in names)] for label in labels]
    console().print(table(["structure", *columns], drawn, right=columns))
    ids = {row["case"] for row in rows}
    if by == "slice":
        cases = len({case_of(id) for id in ids})
        say(f"{len(ids)} slices of {cases} cases; mean ± standard deviation over slices")
        say("slices of one case are not independent; `distilseg compare --by slice` tests over cases")
    else:
        say(f"{len(ids)} cases; mean ± standard deviation over cases")
        if over_all := accumulated(rows):
            told = ", ".join(f"{label} {value:.3f}" for label, value in over_all.items())
            say(f"inter-slice distance over all cases as one vector: {told}")
    if labelled_by:
        say(limits(labelled_by))


def _score(row: Mapping[str, Any]) -> str:
    lines = [f"{row['mean']:.3f}"] if row["n"] else []
    lines += [f"± {row['std']:.3f}"] if row["n"] > 1 else []
    lines += [f"{row['n_excluded']} undefined"] if row["n_excluded"] else []
    return "\n".join(lines)
