"""The page about results/hippocampus-students, its figure and its table in the README, from those files alone.

    python scripts/evidence_students_page.py
    python scripts/evidence_students_page.py --results FOLDER --page PAGE.md    # a trial; README untouched

A row appears with the first of its seeds, and the page says which are not complete.
"""

from __future__ import annotations

from pathlib import Path

import evidence_arguments as arguments
import evidence_row_tables as tables
from evidence_rows import Evidence
from evidence_students import RESULTS, SEEDS, TIMES
from evidence_students_figure import MIB, against_cost
from evidence_students_rows import LARGE, NETWORKS, OF_KEY, ROWS, WAYS, Row, read
from evidence_tables import ROOT, command, put_into_readme

from distilseg.report import words
from distilseg.report.pictures import standalone
from distilseg.runs import Run

PAGE = ROOT / "docs" / "evidence" / "hippocampus-students.md"
HEAD = """\
# Students for CPUs on hippocampus MR

*Written by `python scripts/evidence_students_page.py` from `results/hippocampus-students`; do not edit.*
"""
SHORT = ("supervised", "teach_former_pwd")  # in the README
EMPTY = """
No runs have been collected yet: `python scripts/evidence_students.py train`, then `collect`, then this script.
What the networks are: [Students for CPUs](../explanation/students.md).
"""


def main() -> None:
    given = arguments.page(__doc__, RESULTS, PAGE)
    found = read(given.results)
    if found is None:
        given.page.write_text(HEAD + EMPTY, encoding="utf-8")
        return
    figure = given.page.with_suffix(".svg")
    figure.write_text(standalone(against_cost(found)), encoding="utf-8")
    given.page.write_text(page(found, figure.name, given.results), encoding="utf-8")
    if given.page == PAGE:
        put_into_readme("students", table(found, short=True))


def page(found: Evidence, figure: str, results: Path) -> str:
    run = next(iter(found.rows.values())).runs[0]
    about, split = run.read(run.experiment), run.read(run.split)
    lacking = [
        row.label
        for row in ROWS
        if row.key not in found.rows or len(found.rows[row.key].seeds) < len(found.seeds)
    ]
    waiting = f" Not complete: {'; '.join(lacking)}." if lacking else ""
    parts = [
        HEAD,
        "What is shipped is judged: every run was exported (`distilseg export --to openvino` and `openvino-int8`), the"
        " artefact predicted the test scans without torch, and those files were scored."
        f" {len(split['train'])} cases to train, {len(split['validation'])} to validate (they also choose the layers"
        f" that int8 leaves in float), {len(found.comparison.cases)} to judge, split once; seeds"
        f" {', '.join(map(str, found.seeds))}; {about['budget']['steps']:,} steps for every network.{waiting}\n",
        f"![Dice against seconds and size]({figure})\n",
        "*Lines: 95 % bootstrap intervals over cases, mean of the seeds.*\n",
        "## What to make of it\n",
        "Differences are paired by case, a case's value is the mean over seeds; in brackets their 95 % interval, p of"
        " Wilcoxon's signed-rank test and, in brackets, p corrected (Holm) for the comparisons of its question. A"
        " difference counts as shown where the interval excludes 0 and the corrected p is below 0.05.\n",
        *(f"- {line}" for line in reading(found)),
        "",
        "## The table\n",
        "Mean over cases and structures (95 % bootstrap interval of that mean). Seconds: a process that predicts all"
        f" {len(found.comparison.cases)} scans, from its start to its end, median of {TIMES}; milliseconds: a warm case"
        " without reading and writing files. Times and sizes are of seed"
        f" {SEEDS[0]}, on {_machine(found)}.\n",
        table(found),
        "## Comparisons\n",
        tables.comparisons(found, _label),
        "## Structures\n",
        tables.structures(found, _label),
        "## Seeds\n",
        tables.seeds(found, _label),
        "## Parity and int8\n",
        _shipped(found),
        "## Make it again\n",
        f"The whole table: `python scripts/evidence_students.py train`, then `collect`, then this page's script."
        f" {_hours(results)} One row, one seed; the teacher is the run of the first line:\n",
        "```text",
        *_commands(found),
        "distilseg export RUN --to openvino-int8",
        "distilseg predict RUN/export/openvino-int8 SCANS OUT",
        "```\n",
        f"*Scans: {about['dataset']['licence']}, Medical Segmentation Decathlon, Task04.*\n",
    ]
    return "\n".join(parts)


def reading(found: Evidence) -> list[str]:
    """What the numbers say, from the numbers alone."""
    return [*_against_large(found), *_taught(found), *_int8(found), *tables.noise(found)]


def _against_large(found: Evidence) -> list[str]:
    lines = []
    for (own, other), test in found.tests("large").items():
        row = OF_KEY[own]
        if row.way == "dsd_ds":
            continue
        faster = found.cost(other, "end_to_end_s") / found.cost(own, "end_to_end_s")
        warm = found.cost(other, "seconds_per_case") / found.cost(own, "seconds_per_case")
        smaller = found.cost(other, "bytes_on_disk") / found.cost(own, "bytes_on_disk")
        lines.append(
            f"{NETWORKS[row.network]}, {WAYS[row.way]}: Dice {test.told}, {tables.shown(test)}; {faster:.1f} times faster with process start,"
            f" {warm:.1f} times a warm case, {smaller:.1f} times smaller"
        )
    return [f"**Against DynUNet 32…320, plain, in float.** {'. '.join(lines)}."] if lines else []


def _taught(found: Evidence) -> list[str]:
    tests = found.tests("taught")
    told = {
        "dsd_ds": "**Deep supervision** (`dsd_ds`, what helped most on these scans before), less plain",
        "teach_former_pwd": "**The DynUNet's soft labels** (`teach_former_pwd`, what helped most of what has teachers),"
        " less its control",
    }
    lines = []
    for way, what in told.items():
        of_way = [
            f"{NETWORKS[OF_KEY[own].network]} {test.told}, {tables.shown(test)}"
            for (own, _), test in tests.items()
            if OF_KEY[own].way == way
        ]
        if of_way:
            lines.append(f"{what}: {'; '.join(of_way)}.")
    return lines


def _int8(found: Evidence) -> list[str]:
    tests = found.tests("int8")
    if not tests:
        return []
    least, most = (pick(tests.values(), key=lambda test: test.mean) for pick in (min, max))
    worse = [OF_KEY[own].label for (own, _), test in tests.items() if test.shown == "worse"]
    ratios = {
        name: [
            found.cost(a, name) / found.cost(b, name)
            for a, b in tests
            if name in found.rows[a].cost and name in found.rows[b].cost
        ]
        for name in ("bytes_on_disk", "seconds_per_case")
    }
    size, time = (f"{min(of):.2f} to {max(of):.2f}" for of in ratios.values())
    return [
        f"**int8, less float**: Dice from {least.told} to {most.told}; shown to be lower:"
        f" {'; '.join(worse) or 'none'}. It takes {size} of the size and {time} of the time of a warm case."
    ]


# Tables


def table(found: Evidence, *, short: bool = False) -> str:
    """Markdown: quality and cost of every row; short: plain and distilled alone."""
    metrics = found.comparison.metrics[: 2 if short else None]
    heads = " | ".join(words.heading(metric) for metric in metrics)
    lines = [
        f"| network | trained | numbers | {heads} | size [MiB] | {len(found.comparison.cases)} scans [s] |"
        " a warm case [ms] | peak memory [MiB] |",
        "|---|---|---|" + "---|" * (len(metrics) + 4),
    ]
    for key, contender in found.rows.items():
        row = OF_KEY[key]
        if short and row.way not in SHORT:
            continue
        costs = [
            words.number(contender.cost[name] / unit, decimals) if name in contender.cost else words.MISSING
            for name, unit, decimals in (
                ("bytes_on_disk", MIB, 1),
                ("end_to_end_s", 1, 2),
                ("seconds_per_case", 1e-3, 1),
                ("peak_memory_bytes", MIB, 0),
            )
        ]
        cells = [*_names(row), *(tables.score(found, key, metric.name) for metric in metrics), *costs]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shipped(found: Evidence) -> str:
    """Parity over all seeds; what int8 left in float, seed by seed."""
    costs = [(OF_KEY[key], run.read(run.cost)) for key, c in found.rows.items() for run in c.runs]
    parities = [cost["parity"] for _, cost in costs]
    lines = [
        f"Float artefacts against their runs in PyTorch, {parities[0]['cases']} validation cases each,"
        f" {len(parities)} exports: the largest difference of a logit"
        f" {max(p['largest_logit_difference'] for p in parities):.1e}, the least Dice"
        f" {min(p['least_dice'] for p in parities):.5f}.\n",
        "| int8 | kept | layers left in float | drop on validation cases [points] | size less float's |",
        "|---|---|---|---|---|",
    ]
    for key in found.rows:
        row = OF_KEY[key]
        of_row = [cost["quantisation"] for other, cost in costs if other == row and cost["quantisation"]]
        if of_row:
            told = (
                ", ".join(q["kept"] for q in of_row),
                ", ".join(f"{len(q['layers_in_float'])} of {q['layers']}" for q in of_row),
                ", ".join(words.number(q["drop"], 2) for q in of_row),
                ", ".join(f"{q['bytes_int8'] / q['bytes_float']:.2f}" for q in of_row),
            )
            lines.append(f"| {NETWORKS[row.network]}, {WAYS[row.way]} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _commands(found: Evidence) -> list[str]:
    return [command(found.comparison, c.name) for key, c in found.rows.items() if key.endswith(" openvino")]


def _hours(results: Path) -> str:
    runs = [run for folder in sorted(results.iterdir()) if (run := Run(folder)).experiment.is_file()]
    own = [run for run in runs if "shipped" not in run.read(run.experiment)["options"]]
    hours = sum(run.read(run.status)["seconds"] for run in own) / 3600
    about = own[0].read(own[0].experiment)
    versions = about["versions"]
    return (
        f"{len(own)} runs, {hours:.1f} hours of training in all, each on one thread with others beside it. distilseg"
        f" {versions['distilseg']}, PyTorch {versions['torch']}, Python {versions['python']}."
    )


def _machine(found: Evidence) -> str:
    cost = found.rows[LARGE].cost if LARGE in found.rows else next(iter(found.rows.values())).cost
    return f"{cost['threads']:.0f} threads of {cost['processor']}"


def _label(key: str) -> str:
    return OF_KEY[key].label


def _names(row: Row) -> tuple[str, str, str]:
    return NETWORKS[row.network], WAYS[row.way], "float" if row.numbers == "openvino" else "int8"


if __name__ == "__main__":
    main()
