"""The page about results/hippocampus-thickened, its figures and its table in the README, from those files alone.

    python scripts/evidence_thickened_page.py
    python scripts/evidence_thickened_page.py --results FOLDER --page PAGE.md    # a trial; README untouched

A row appears with the first of its seeds, and the page says which are not complete.
"""

from __future__ import annotations

import evidence_arguments as arguments
import evidence_row_tables as tables
from evidence_rows import Evidence
from evidence_tables import ROOT, command, put_into_readme
from evidence_thickened import RESULTS
from evidence_thickened_figures import against_seconds, against_thickness
from evidence_thickened_rows import (
    LABELS,
    PAPER_PARTS,
    PAPER_SWEEP,
    RIVALS,
    SSA,
    STRIDED,
    VIEWS,
    read,
    waiting,
)
from evidence_thickened_words import reading

from distilseg.report import words
from distilseg.report.pictures import standalone

PAGE = ROOT / "docs" / "evidence" / "hippocampus-thickened.md"
HEAD = """\
# Thickened 2D networks on hippocampus MR

*Written by `python scripts/evidence_thickened_page.py` from `results/hippocampus-thickened`; do not edit.*
"""
EMPTY = """
No runs have been collected yet: `python scripts/evidence_thickened.py train`, then `collect`, then this script.
What the method is: [Thickened 2D networks](../explanation/thickened-2d.md).
"""


def main() -> None:
    given = arguments.page(__doc__, RESULTS, PAGE)
    found = read(given.results)
    if found is None:
        given.page.write_text(HEAD + EMPTY, encoding="utf-8")
        return
    drawn = {"thickness": against_thickness(found), "seconds": against_seconds(found)}
    figures = {name: given.page.with_name(f"{given.page.stem}-{name}.svg") for name in drawn}
    for name, path in figures.items():
        path.write_text(standalone(drawn[name]), encoding="utf-8")
    given.page.write_text(page(found, {name: path.name for name, path in figures.items()}), encoding="utf-8")
    if given.page == PAGE:
        put_into_readme("thickened", short_table(found))


def page(found: Evidence, figures: dict[str, str]) -> str:
    run = next(iter(found.rows.values())).runs[0]
    about, split = run.read(run.experiment), run.read(run.split)
    lacking = f" Not complete yet: {'; '.join(missing)}." if (missing := waiting(found)) else ""
    seeds = f"seed{'s' * (len(found.seeds) > 1)} {', '.join(map(str, found.seeds))}"
    parts = [
        HEAD,
        "A 2D network is shown slabs of slices and answers for each of them"
        " ([what that is](../explanation/thickened-2d.md)). How thick should a slab be, which part helps, what do"
        f" three views give, and what does a 3D network give for as much work? {len(split['train'])} cases to train,"
        f" {len(split['validation'])} to validate, {len(found.comparison.cases)} to judge, split once; {seeds}."
        f"{lacking}\n",
        f"![Dice against thickness]({figures['thickness']})\n",
        "*Lines: 95 % bootstrap intervals over cases. Small points: the seeds.*\n",
        f"![Dice against seconds a case]({figures['seconds']})\n",
        "## What to make of it\n",
        "Differences are paired by case; in brackets their 95 % interval. p is of Wilcoxon's signed-rank test, then, in"
        " brackets, corrected (Holm) for the comparisons of its question. A difference counts as shown where the"
        " interval excludes 0 and the corrected p is below 0.05. A case's value is the mean over seeds.\n",
        reading(found),
        *_undefined(found),
        "## The table\n",
        "Mean over cases and structures (95 % bootstrap interval of that mean). Work is 10⁹ multiply–accumulates of a"
        " whole case, every window of it; seconds were taken one run after another, on one thread of"
        f" {found.rows[next(iter(found.rows))].cost['processor']}.\n",
        table(found),
        "## Comparisons\n",
        tables.comparisons(found, LABELS.__getitem__),
        "## Structures\n",
        tables.structures(found, LABELS.__getitem__),
        "## Seeds\n",
        tables.seeds(found, LABELS.__getitem__),
        "## Cost and budget\n",
        _costs(found),
        _budget(found),
        "## Beside the paper\n",
        _beside(found),
        "## Make it again\n",
        "The whole table: `python scripts/evidence_thickened.py train`, then `collect`, then this page's script;"
        " `--steps` lengthens everything. One row (one seed each; the views are fused by naming them together in"
        " `distilseg evaluate`, or trained and fused by `--view all`):\n",
        "```text",
        *(command(found.comparison, c.name) for row, c in found.rows.items() if row != "fused"),
        "```\n",
        f"*Scans: {about['dataset']['licence']}, Medical Segmentation Decathlon, Task04.*\n",
    ]
    return "\n".join(parts)


def _undefined(found: Evidence) -> list[str]:
    """Values that a mean leaves out: a network that misses a structure must not win by that."""
    lines = [
        f"- {metric.title} is undefined in {score.excluded} case(s) of {LABELS[row]}, which its mean leaves out."
        for metric in found.comparison.metrics
        for row in found.rows
        if (score := found.score(row, metric.name)).excluded
    ]
    return ["Before you trust this:\n", *lines, ""] if lines else []


# Tables


def table(found: Evidence) -> str:
    """Markdown: cost and quality of every row."""
    metrics = found.comparison.metrics
    heads = " | ".join(words.heading(metric) for metric in metrics)
    lines = [
        f"| run | parameters | work | seconds a case | {heads} |",
        "|---|---|---|---|" + "---|" * len(metrics),
    ]
    for row, contender in found.rows.items():
        cells = [
            words.count(contender.cost["parameters"]),
            words.giga(contender.cost["multiply_accumulates_per_case"]),
            words.seconds(contender.cost["seconds_per_case"]),
            *(tables.score(found, row, metric.name) for metric in metrics),
        ]
        lines.append(f"| {LABELS[row]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def short_table(found: Evidence) -> str:
    """For the README: one axial view, three, the plain network, single slices and the 3D rivals."""
    lines = [
        "| run | Dice | inter-slice distance | work of a case | seconds a case |",
        "|---|---|---|---|---|",
    ]
    for row in ("k1", "plain", "esm", *VIEWS, "fused", *RIVALS):
        if row in found.rows:
            cost = found.rows[row].cost
            told = (
                tables.score(found, row, "dice"),
                tables.score(found, row, "slice_similarity"),
                f"{words.giga(cost['multiply_accumulates_per_case'])} GMAC",
                words.seconds(cost["seconds_per_case"]),
            )
            lines.append(f"| {LABELS[row]} | {' | '.join(told)} |")
    return "\n".join(lines) + "\n"


def _costs(found: Evidence) -> str:
    heads = ("steps", "training time", "peak memory", "seeds")
    lines = [f"| run | batch | {' | '.join(heads)} |", "|---|---|" + "---|" * len(heads)]
    for row, contender in found.rows.items():
        told, run = words.costs(contender), contender.runs[0]
        batch = run.read(run.experiment)["sampling"]["batch_size"]
        lines.append(
            f"| {LABELS[row]} | {batch if row != 'fused' else words.MISSING} |"
            f" {' | '.join(told[head] for head in heads)} |"
        )
    return "\n".join(lines) + "\n"


def _budget(found: Evidence) -> str:
    run = next(iter(found.rows.values())).runs[0]
    about = run.read(run.experiment)
    machine, versions = about["machine"], about["versions"]
    alone = [row for row in found.rows if row != "fused" and row not in STRIDED]  # the others share weights
    runs = [run for row in alone for run in found.rows[row].runs]
    hours = sum(run.read(run.status)["seconds"] for run in runs) / 3600
    return (
        f"{len(runs)} runs, {hours:.1f} hours of training in all, each on {machine['threads']} thread with others"
        f" beside it, {machine['precision']}. A batch holds about as many voxels whatever the thickness. The rows of the"
        " DynUNet are named by what they share with the thickened network at cost of prediction (multiply–accumulates of"
        " a case) and at training (steps, or seconds on one idle thread, from which their steps were set beforehand)."
        f" distilseg {versions['distilseg']}, PyTorch {versions['torch']}, Python {versions['python']}.\n"
    )


def _beside(found: Evidence) -> str:
    sweep = [
        f"| {LABELS[f'k{k}']} | {value:.2f} |{_ours(found, f'k{k}')} |"
        for k, value in PAPER_SWEEP.items()
        if f"k{k}" in LABELS
    ]
    parts = [
        f"| {LABELS[row]} | {value:.2f} |{_ours(found, row)} |"
        for row, value in PAPER_PARTS.items()
        if row != SSA
    ]
    run = next(c for row, c in found.rows.items() if row not in RIVALS).runs[0]
    about = run.read(run.experiment)
    settings = about["optimisation"]
    return "\n".join(
        [
            "Dice in percent. The paper's are of the superior mesenteric artery, three views fused; ours of one axial"
            " view, both structures.\n",
            "| run | paper | here |",
            "|---|---|---|",
            *sweep,
            *parts,
            "",
            "What differs here:\n",
            "| | paper | this table |",
            "|---|---|---|",
            "| scans | 200 abdominal CTs, slices of 512×512, vessels, pancreas, duodenum; a model for each organ |"
            " hippocampus MR of about 35×50×36 voxels, its two parts at once |",
            "| trunk | ResNet-50 with ImageNet's weights | `light`: a ResNet-18 of half the width, from scratch |",
            "| objective | Dice | Dice and cross-entropy |",
            f"| training | SGD 0.005, 100,000 iterations of 8 windows | {settings['optimizer']}"
            f" {settings['learning_rate']:g}, {settings['schedule']}, {about['budget']['steps']:,} steps |",
            "| augmentation | none stated | flips, small rotations and scaling, gain, shift, gamma, blur, noise |",
            "",
        ]
    )


def _ours(found: Evidence, row: str) -> str:
    return f" {100 * found.mean(row):.2f}" if row in found.rows else ""


if __name__ == "__main__":
    main()
