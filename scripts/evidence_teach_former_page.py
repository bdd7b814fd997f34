"""The page about results/sarcoma-teach-former, its figure and its table in the README, from those files alone.

    python scripts/evidence_teach_former_page.py
    python scripts/evidence_teach_former_page.py --results FOLDER --page PAGE.md    # a trial; README untouched

A row appears once every fold of it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import evidence_arguments as arguments
from evidence_tables import ROOT, command, put_into_readme
from evidence_teach_former_rows import (
    DICE,
    FOLDS,
    LABELS,
    PAPER,
    PAPER_COST,
    STUDENTS,
    TEACHERS,
    Evidence,
    corrected,
    listed,
    points,
    read,
    signed,
)
from evidence_teach_former_words import reading

from distilseg.report import words
from distilseg.report.bubbles import bubbles
from distilseg.report.contenders import Contender
from distilseg.report.folds import fold_scores
from distilseg.report.pictures import standalone

RESULTS = ROOT / "results" / "sarcoma-teach-former"
PAGE = ROOT / "docs" / "evidence" / "sarcoma-teach-former.md"
HEAD = """\
# Teach-Former on soft-tissue sarcoma

*Written by `python scripts/evidence_teach_former_page.py` from `results/sarcoma-teach-former`; do not edit.*
"""
EMPTY = """
No runs have been collected yet: `python scripts/evidence_teach_former.py train`, then `collect`, then this script.
"""


def main() -> None:
    given = arguments.page(__doc__, RESULTS, PAGE)
    found = read(given.results)
    if found is None:
        given.page.write_text(HEAD + EMPTY, encoding="utf-8")
        return
    names = {contender.name: LABELS[row] for row, contender in found.rows.items()}
    figure = given.page.with_name(f"{given.page.stem}-bubbles.svg")
    drawn = bubbles(found.comparison, names)
    figure.write_text(standalone(drawn), encoding="utf-8")
    given.page.write_text(page(found, figure.name), encoding="utf-8")
    if given.page == PAGE:
        put_into_readme("teach-former", table(found))


def page(found: Evidence, figure: str) -> str:
    control = found.rows["control"].runs[0]
    about, plan = control.read(control.experiment), control.read(control.plan)
    waiting = f" Not there yet: {', '.join(found.waiting)}." if found.waiting else ""
    parts = [
        HEAD,
        f"A light H-DenseFormer sees {' and '.join(plan['modalities'])} and is taught by up to three bigger networks"
        f" that see the same, each trained beforehand. {FOLDS}-fold cross-validation by patient,"
        f" {_seeds(found)}: each of {len(found.comparison.cases)} patients is judged once, by runs that never saw"
        f" him.{waiting}\n",
        f"![Dice against parameters; bubbles: multiply-accumulates]({figure})\n",
        "*Bubbles: multiply–accumulates of one forward pass of one patch. Lines: 95 % bootstrap intervals. The"
        " students and their control are one network and stand side by side.*\n",
        "## What to make of it\n",
        "Differences are paired by patient; p is given as computed and, in brackets, corrected (Holm) for the number"
        " of rows compared. A difference counts as shown where its 95 % interval excludes 0 and the corrected"
        " Wilcoxon p is below 0.05.\n",
        reading(found),
        *_cautions(found),
        "## The table\n",
        "Dice, HD95 and NSD: mean over all held-out patients (95 % bootstrap interval of that mean). Difference: of"
        " Dice, student less control, paired by patient. p by Wilcoxon's signed-rank test and by the paired t-test"
        " that the paper uses; in brackets corrected by Holm over the students. GFLOPs are multiply–accumulates of"
        f" one patch of {_size(plan['patch'])}, divided by 10⁹.\n",
        table(found),
        "## All three teachers, less each ablation\n",
        _ablations(found),
        "## Folds\n",
        "Mean ± standard deviation over the folds (in brackets each fold's mean). Folds share most of their training"
        " patients: this spread is no interval.\n",
        _folds(found),
        "## Beside the paper\n",
        _beside(found, about, plan),
        "## How the teachers taught\n",
        _teaching(found),
        "## Cost and budget\n",
        _costs(found),
        _budget(found, about),
        "## Make it again\n",
        "The whole table: `python scripts/evidence_teach_former.py train`, then `collect`, then this page's script;"
        " `--steps` lengthens everything, `--published-sizes` takes the paper's networks. One row, after"
        f" `distilseg plan {about['dataset']['folder']} --out plan.json --modalities {','.join(plan['modalities'])}"
        f" --patch {','.join(map(str, plan['patch']))}`:\n",
        "```text",
        *(
            f"{command(found.comparison, c.name)} --modalities {','.join(plan['modalities'])} --plan plan.json"
            f" --folds {FOLDS}"
            for c in found.rows.values()
        ),
        "```\n",
        f"*Scans: {about['dataset']['licence']}, {about['dataset']['reference']}.*\n",
    ]
    return "\n".join(parts)


def _cautions(found: Evidence) -> list[str]:
    """What the comparison warns of, by the names of this page."""
    names = {contender.name: LABELS[row] for row, contender in found.rows.items()}
    lines = []
    for warning in found.comparison.warnings:
        for name in sorted(names, key=len, reverse=True):
            warning = warning.replace(name, names[name])
        lines.append(f"- {warning}")
    return ["Before you trust this:\n", *lines, ""] if lines else []


# Tables


def table(found: Evidence) -> str:
    """Markdown: cost, quality, difference from the control with both tests."""
    comparison = found.comparison
    differences = found.over(STUDENTS, "control")
    heads = [words.heading(metric) for metric in comparison.metrics]
    lines = [
        f"| run | parameters | GFLOPs | {' | '.join(heads)} | difference | Wilcoxon p | t-test p |",
        "|---|---|---|" + "---|" * len(heads) + "---|---|---|",
    ]
    for row, contender in found.rows.items():
        cells = [
            words.count(contender.cost["parameters"]),
            words.giga(contender.cost["multiply_accumulates"]),
        ]
        for metric in comparison.metrics:
            score = comparison.scores[contender.name, comparison.overall, metric.name]
            cells.append(
                f"{words.number(score.mean, metric.decimals)}"
                f" ({words.interval(score.interval, metric, sign=False)})"
            )
        if row in differences:
            test = differences[row]
            cells += [
                f"{signed(test.mean)} ({words.interval(test.interval, DICE)})",
                corrected(test.p, test.p_holm),
                corrected(test.t, test.t_holm),
            ]
        else:
            cells += ["teacher" if row in TEACHERS else "control", "", ""]
        lines.append(f"| {LABELS[row]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _ablations(found: Evidence) -> str:
    against = found.against("t123", [row for row in STUDENTS if row != "t123"])
    if not against:
        return "Not there yet.\n"
    lines = [
        "Dice of the student with all three teachers and both terms, less that of the row; tests as above, corrected"
        " over the rows of this table.\n",
        "| less | difference | Wilcoxon p | t-test p | paper, points |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {LABELS[row]} | {signed(test.mean)} ({words.interval(test.interval, DICE)})"
        f" | {corrected(test.p, test.p_holm)} | {corrected(test.t, test.t_holm)} | {points('t123', row)} |"
        for row, test in against.items()
    ]
    return "\n".join(lines) + "\n"


def _folds(found: Evidence) -> str:
    scores, metrics = fold_scores(found.comparison), found.comparison.metrics
    lines = [f"| run | {' | '.join(map(words.heading, metrics))} | Dice less control |"]
    lines += ["|---|" + "---|" * (len(metrics) + 1)]
    for row, contender in found.rows.items():
        cells = [
            words.fold_score(scores[contender.name, found.comparison.overall, m.name], m) for m in metrics
        ]
        cells.append(listed(found.by_fold(row, "control")) if row in STUDENTS else "")
        lines.append(f"| {LABELS[row]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _beside(found: Evidence, about: Mapping[str, Any], plan: Mapping[str, Any]) -> str:
    settings, sampling = about["optimisation"], about["sampling"]
    rows = [row for row in found.rows if row in PAPER]
    dice = [
        f"| {LABELS[row]} | {PAPER[row]:.2f} | {points(row, 'control') if row in STUDENTS else ''}"
        f" | {100 * found.mean(row):.2f} |"
        f" {_in_points(found.mean(row) - found.mean('control')) if row in STUDENTS else ''} |"
        for row in rows
    ]
    sizes = [
        f"| {LABELS[row]} | {PAPER_COST[row][0]} M / {PAPER_COST[row][1]}"
        f" | {words.count(found.rows[row].cost['parameters'])}"
        f" / {words.giga(found.rows[row].cost['multiply_accumulates'])}{_smaller(found.rows[row])} |"
        for row in rows
        if row in PAPER_COST
    ]
    return "\n".join(
        [
            "Dice in percent, and points above the control. The paper's are of HECKTOR21's 44 test cases, with the"
            " same student; its row for T1 alone repeats T1's own score.\n",
            "| run | paper | less control | here | less control |",
            "|---|---|---|---|---|",
            *dice,
            "",
            "What differs here:\n",
            "| | paper | this table |",
            "|---|---|---|",
            "| scans | HECKTOR21, head and neck, CT and PET; 180 cases in five folds, 44 to test |"
            f" soft-tissue sarcoma, {len(found.comparison.cases)} patients, {' and '.join(plan['modalities'])};"
            f" {FOLDS} folds |",
            "| volume | 144³ at 1 mm, whole |"
            f" patches of {_size(plan['patch'])} at {_size(plan['spacing_mm'])} mm,"
            f" {sampling['batch_size']} at a time |",
            *sizes,
            "| training | 100 epochs, Adam 1e-3, decay 1e-4, falling as (1 − progress)^0.9, patience 40 |"
            f" {_steps(about)}, {settings['optimizer']} {_rates(found)}, decay {settings['weight_decay']:g},"
            f" {settings['schedule']} |",
            "",
            "Sizes are millions of parameters and 10⁹ multiply–accumulates, the paper's of a volume by `thop`, ours"
            " of a patch and with the products of attention counted. `--published-sizes` takes the paper's networks.\n",
        ]
    )


def _teaching(found: Evidence) -> str:
    runs = [run for row in STUDENTS if row in found.rows for run in found.rows[row].runs]
    told = [(run.read(run.experiment).get("machine") or {}).get("teacher_outputs") or {} for run in runs]
    recorded = [t for t in told if t.get("recorded")]
    if not runs:
        return "No student has been trained yet.\n"
    reasons = sorted({t["why"] for t in told if t.get("why")})
    why = f" Why, as the runs noted it: {'; '.join(reasons)}." if reasons else ""
    if not recorded:
        return f"In all {len(runs)} runs of students the teachers answered live, at every step.{why}\n"
    return (
        f"In {len(recorded)} of {len(runs)} runs of students the teachers' answers, logits and attention features,"
        " were recorded once per training case: on the image before augmentation, window by window, in half"
        " precision. The maps then move with the image through the same flips, turns and scaling. Changes of"
        " intensity do not reach the teacher: it answers for the clean image, where a live teacher answers for the"
        " image that the student is shown. Recorded and live are two different trainings; this table says"
        f" nothing about the other one.{why}\n"
    )


def _costs(found: Evidence) -> str:
    heads = ("seconds a case", "peak memory", "steps", "training time", "seeds")
    lines = [f"| run | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for row, contender in found.rows.items():
        told = words.costs(contender)
        lines.append(f"| {LABELS[row]} | {' | '.join(told[head] for head in heads)} |")
    return "\n".join(lines) + "\n"


def _budget(found: Evidence, about: Mapping[str, Any]) -> str:
    cost, machine, versions = found.rows["control"].cost, about["machine"], about["versions"]
    runs = [run for contender in found.rows.values() for run in contender.runs]
    hours = sum(run.read(run.status)["seconds"] for run in runs) / 3600
    weights = {run.read(run.folder / "evaluation.json").get("weights") for run in runs}
    return (
        f"{len(runs)} runs, {hours:.1f} hours of training in all, judged with their {' and '.join(sorted(weights))}"
        f" weights. Training time leaves out what recording the teachers took. Everything ran on"
        f" {cost['processor']}, {cost['device']}, {machine['precision']}, {machine['threads']} thread a run, with"
        f" other runs beside it: take ratios. distilseg {versions['distilseg']}, PyTorch {versions['torch']}, Python"
        f" {versions['python']}.\n"
    )


# Words


def _in_points(value: float) -> str:
    return words.number(100 * value, 2, sign=True)


def _size(values: Sequence[float]) -> str:
    return "×".join(f"{value:.3g}" for value in values)


def _seeds(found: Evidence) -> str:
    seeds = sorted({seed for contender in found.rows.values() for seed in contender.seeds})
    return f"one seed ({seeds[0]})" if len(seeds) == 1 else f"seeds {', '.join(map(str, seeds))}"


def _steps(about: Mapping[str, Any]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in about["budget"].items() if value)


def _rates(found: Evidence) -> str:
    """The learning rate; by row where they differ."""
    rates: dict[float, list[str]] = {}
    for row, contender in found.rows.items():
        run = contender.runs[0]
        rates.setdefault(run.read(run.experiment)["optimisation"]["learning_rate"], []).append(row)
    most = max(rates, key=lambda rate: len(rates[rate]))
    others = "".join(f" ({', '.join(rows)}: {rate:g})" for rate, rows in rates.items() if rate != most)
    return f"{most:g}{others}"


def _smaller(contender: Contender) -> str:
    """What was asked of the network other than its defaults."""
    told = ", ".join(f"{k} {v}" for k, v in (contender.options.get("student_options") or {}).items())
    return f" ({told})" if told else ""


if __name__ == "__main__":
    main()
