"""The page about results/sarcoma-kd-net, and its table in the README, written from those files alone.

    python scripts/evidence_kd_net_page.py

The figures of slices are made by `evidence_kd_net.py collect`, because they need the runs' slices.
"""

from __future__ import annotations

import math
import statistics

from evidence_tables import ROOT, command, costs, put_into_readme, short_table, table

from distilseg.report import Comparison, compare_runs, verdicts, words
from distilseg.report.contenders import Contender
from distilseg.report.figures import paired_differences
from distilseg.report.folds import fold_scores
from distilseg.report.pictures import standalone
from distilseg.runs import Run, find_runs, read_rows

RESULTS = ROOT / "results" / "sarcoma-kd-net"
PAGE = ROOT / "docs" / "evidence" / "sarcoma-kd-net.md"
ORDER = ("kd_net_teacher", "kd_net_control", "kd_net_gt_kd", "kd_net_gt_kl", "kd_net")

PAPER_ALPHA = 10.0

PROTOCOL = """\
## Beside the paper

Hu et al. (2020, table 2) report for BraTS 2018 with T1ce alone, three folds, Dice of ET / TC / WT in percent, with
four skip connections: control 68.1 / 80.3 / 77.1, teacher 69.5 / 80.8 / 88.5, GT+KL 70.0 / 80.9 / 77.1, GT+KD 69.2 /
80.5 / 76.8, full 71.7 / 81.5 / 77.0. That is **+3.6, +1.2 and −0.1 points** of the full method over the control.
What differs here:

| | paper | this table |
|---|---|---|
| scans | BraTS 2018, 285 patients, four MR sequences | soft-tissue sarcoma, 40 patients, CT, PET and T1 MR |
| student sees | T1ce | CT, or T1 MR |
| volume | 64³ (128³ at half resolution), whole | patches of 64×64×48 at 1.95×1.95×3.27 mm, two at a time |
| network | five levels, widths not given | five levels, 8 … 128 |
| training | 500 epochs, Adam 1e-4, lowered on plateaus | 500 steps, AdamW 5e-3, cosine |
| augmentation | flips | flips, small rotations and scaling, gain, shift, gamma, blur, noise |
| distances | not reported | HD95 in mm |

The paper's own schedule on its own data is the recipe `kd_net_brats2018`, for whoever holds BraTS and a GPU.
"""


def main() -> None:
    runs = sorted(find_runs(RESULTS), key=_order)
    comparison = compare_runs(runs)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    for student in _students(comparison):
        figure = PAGE.with_name(f"{PAGE.stem}-{_sees(comparison, student).lower()}.svg")
        figure.write_text(standalone(paired_differences(comparison, student)), encoding="utf-8")
    PAGE.write_text(_page(comparison, runs), encoding="utf-8")
    put_into_readme("kd-net", short_table(comparison))


def _term(contender: Contender) -> str:
    """The recipe, and the weight of the bottleneck where it is not the paper's."""
    alpha = contender.options.get("alpha", PAPER_ALPHA)
    return contender.recipe if alpha in (0, PAPER_ALPHA) else f"{contender.recipe} with alpha {alpha:g}"


def _order(run: Run) -> tuple[int, str, int, float]:
    """The teacher, then by modality the control before the distilled, fold by fold."""
    about = run.read(run.experiment)
    place = ORDER.index(about["recipe"])
    sees = "+".join(about["options"].get("student_sees", ()))
    alpha = about["options"].get("alpha", 0.0)
    return (0, "", 0, 0.0) if place == 0 else (1, sees, place, -alpha)


def _sees(comparison: Comparison, name: str) -> str:
    return "+".join(comparison.contender(name).options.get("student_sees", ()))


def _students(comparison: Comparison) -> list[str]:
    """The full method as published, one for each modality."""
    return [
        c.name for c in comparison.contenders if c.recipe == "kd_net" and c.options["alpha"] == PAPER_ALPHA
    ]


def _page(comparison: Comparison, runs: list[Run]) -> str:
    first = comparison.contenders[0].runs[0]
    about, cost = first.read(first.experiment), first.read(first.cost)
    machine, versions = about["machine"], about["versions"]
    folds = len(comparison.contenders[0].runs)
    pictures = [
        part
        for student in _students(comparison)
        for part in (
            f"### {_sees(comparison, student)}\n",
            f"![{student} minus its control, case by case, sorted]"
            f"({PAGE.stem}-{_sees(comparison, student).lower()}.svg)\n",
            f"![Slices of the best, the median and the worst case: image with reference, control, student]"
            f"({PAGE.stem}-slices-{_sees(comparison, student).lower()}.svg)\n",
        )
    ]
    parts = [
        "# KD-Net on soft-tissue sarcoma\n",
        "*Written by `python scripts/evidence_kd_net_page.py` from `results/sarcoma-kd-net`; do not edit.*\n",
        "A teacher sees CT, PET and T1 MR. A student sees CT, or T1 MR, and its control sees the same, with no teacher."
        f" {folds}-fold cross-validation by patient, one seed: each of {len(comparison.cases)} patients is judged once, by"
        " runs that never saw him.\n",
        "**In words:**\n",
        *(f"- {line}" for line in verdicts(comparison)),
        "\n## What to make of it\n",
        _reading(comparison, runs),
        "## The table\n",
        "Mean over all held-out patients (95 % bootstrap interval of that mean); differences are paired by patient,"
        " run minus its control, p by Wilcoxon's signed-rank test, corrected by Holm over the runs within a metric.\n",
        table(comparison),
        "## Folds\n",
        "Mean ± standard deviation over the folds (in brackets each fold's mean). Folds share most of their training"
        " patients: this spread is no interval.\n",
        _folds(comparison),
        "## Volumes\n",
        "Predicted less reference volume over the held-out patients: the mean (bias), the mean without sign, and the"
        " median error relative to the reference.\n",
        _volumes(comparison),
        "## Pictures\n",
        "Dice, HD95 and NSD of the full method minus the control. Green is better, orange is worse.\n",
        *pictures,
        "*Scans: CC BY 3.0, IBSI chapter 1 validation data, derived from the TCIA Soft-tissue-Sarcoma collection"
        " (Vallières et al., Phys. Med. Biol. 60:5471, 2015).*\n",
        "## Cost and budget\n",
        costs(comparison),
        f"Seconds a case were measured on {cost['processor']} with {cost['threads']} thread(s), beside two other"
        " trainings: take ratios.\n",
        PROTOCOL,
        "## Make it again\n",
        "The whole table: `python scripts/evidence_kd_net.py train`, then `collect`, then this page's script; `--steps`"
        " and `--filters` lengthen and widen everything. One row:\n",
        "```text",
        *(f"{command(comparison, c.name)} --folds {folds}" for c in comparison.contenders),
        "```\n",
        f"distilseg {versions['distilseg']}, PyTorch {versions['torch']}, Python {versions['python']};"
        f" {machine['precision']}, {machine['threads']} thread a run.\n",
    ]
    return "\n".join(parts)


def _reading(comparison: Comparison, runs: list[Run]) -> str:
    """What was lost against the teacher, what distilling won back, and how much folds differ."""
    dice = comparison.metrics[0]
    teacher = comparison.contenders[0]
    against = compare_runs(runs, control=teacher.runs[0])
    lines = []
    for student in _students(comparison):
        control = comparison.controls[student]
        assert control is not None
        lost = against.differences[control, against.overall, "dice"]
        left = against.differences[student, against.overall, "dice"]
        lines.append(
            f"- **{_sees(comparison, student)} alone.** What the other scans are worth: the student's Dice less the"
            f" teacher's is {words.evidence_of(lost, dice)} without distillation, and"
            f" {words.evidence_of(left, dice)} with it."
        )
        alone = {
            _term(c): comparison.differences[c.name, comparison.overall, "dice"].mean
            for c in comparison.contenders
            if comparison.controls[c.name] == control
        }
        told = ", ".join(f"{name} {words.number(value, 3, sign=True)}" for name, value in alone.items())
        folds = _by_fold(comparison, student, control)
        lines.append(
            f"- **Terms.** {_sees(comparison, student)}, minus its control: {told}. The full method by fold:"
            f" {', '.join(words.number(value, 3, sign=True) for value in folds)}."
        )
        lines += [
            f"- **Why.** With the bottleneck weighing {c.options['alpha']:g} instead of {PAPER_ALPHA:g}, the full"
            f" method's difference is {words.number(alone[_term(c)], 3, sign=True)} instead of"
            f" {words.number(alone['kd_net'], 3, sign=True)}: at this budget its weight is part of what hurts, and"
            " not all of it."
            for c in comparison.contenders
            if comparison.controls[c.name] == control
            and c.options.get("alpha", 0) not in (0, PAPER_ALPHA)
            and alone["kd_net"] < alone[_term(c)] < 0
        ]
    return "\n".join(lines) + "\n"


def _by_fold(comparison: Comparison, student: str, control: str) -> list[float]:
    scores = fold_scores(comparison)
    own, other = (scores[name, comparison.overall, "dice"].means for name in (student, control))
    return [a - b for a, b in zip(own, other, strict=True)]


def _folds(comparison: Comparison) -> str:
    scores = fold_scores(comparison)
    lines = ["| run | " + " | ".join(words.heading(m) for m in comparison.metrics) + " |"]
    lines += ["|---|" + "---|" * len(comparison.metrics)]
    for contender in comparison.contenders:
        cells = [
            words.fold_score(scores[contender.name, comparison.overall, m.name], m)
            for m in comparison.metrics
        ]
        lines.append(f"| {contender.name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _volumes(comparison: Comparison) -> str:
    lines = ["| run | bias [ml] | error [ml] | relative error |", "|---|---|---|---|"]
    for contender in comparison.contenders:
        rows = [row for run in contender.runs for row in read_rows(run.metrics)]
        ml, relative = (
            [float(row["value"]) for row in rows if row["metric"] == f"volume_difference_{kind}"]
            for kind in ("ml", "relative")
        )
        known = [abs(value) for value in relative if math.isfinite(value)]
        lines.append(
            f"| {contender.name} | {words.number(statistics.fmean(ml), 1, sign=True)}"
            f" | {statistics.fmean(map(abs, ml)):.1f} | {statistics.median(known):.0%} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
