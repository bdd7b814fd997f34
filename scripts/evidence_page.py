"""The page about results/hippocampus-dsd, and the table in the README, written from those files alone.

python scripts/evidence_page.py
"""

from __future__ import annotations

from evidence_tables import ROOT, command, costs, dice, put_into_readme, short_table, table

from distilseg.report import Comparison, compare_runs, verdicts, words
from distilseg.report.figures import paired_differences
from distilseg.report.pictures import standalone
from distilseg.runs import Run, find_runs

RESULTS = ROOT / "results" / "hippocampus-dsd"
PAGE = ROOT / "docs" / "evidence" / "hippocampus-dsd.md"

PROTOCOL = """\
## Beside the paper

Banerjee et al. (2025, abstract) report for MSD Hippocampus, as a mean over their backbones, **+1.3 % Dice and
−0.76 mm Hausdorff distance** with DSD. What differs here:

| | paper and its code | this table |
|---|---|---|
| cases | 260; 170 train, 30 validate, 60 test | 200; 140 train, 20 validate, 40 test, split once by seed 0 |
| patch, batch | 32³, 16 patches of one case | 32×48×32, 2 patches |
| training | 300 epochs, AdamW 1e-4, constant | 600 to 1500 steps, AdamW, cosine; rates in each run's file |
| intensities | scaled to 0…1 | z-score per image |
| augmentation | flips, quarter turns, shift | flips, small rotations and scaling, gain, shift, gamma, blur, noise |
| distances | in voxels, although called mm | in mm (1 mm voxels, so the same numbers) |
| Hausdorff | 95th percentile | 95th percentile |
| weights judged | last checkpoint by default | best validation Dice |

The paper's own schedule is the recipe `dsd_paper_hippocampus`: the same code, a GPU's worth of time.
"""


def main() -> None:
    runs = sorted(find_runs(RESULTS), key=_order)
    comparison = compare_runs(runs)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    figure = PAGE.with_suffix(".svg")
    figure.write_text(standalone(paired_differences(comparison, _shown(comparison))), encoding="utf-8")
    PAGE.write_text(_page(comparison), encoding="utf-8")
    put_into_readme("results", short_table(comparison))


def _order(run: Run) -> tuple[str, int, int, int]:
    """By network and width, the control first, seeds in turn."""
    about = run.read(run.experiment)
    filters = about["options"].get("network_options", {}).get("filters", [0])
    recipes = ("supervised", "dsd_ds", "dsd_sdd", "dsd_sde", "dual_self_distillation")
    place = 2 * recipes.index(about["recipe"]) + bool(about["asked"].get("detach_teacher"))
    return about["options"]["network"], filters[0], place, about["seed"]


def _shown(comparison: Comparison) -> str:
    """The distilled run with the most seeds."""
    distilled = [c for c in comparison.contenders if c.recipe == "dual_self_distillation"]
    return max(distilled, key=lambda c: len(c.seeds)).name


def _page(comparison: Comparison) -> str:
    first = comparison.contenders[0].runs[0]
    about = first.read(first.experiment)
    machine, versions = about["machine"], about["versions"]
    cost = first.read(first.cost)
    parts = [
        "# Dual self-distillation on hippocampus MR\n",
        "*Written by `python scripts/evidence_page.py` from `results/hippocampus-dsd`; do not edit.*\n",
        "**In words:**\n",
        *(f"- {line}" for line in verdicts(comparison)),
        "\n## What to make of it\n",
        _reading(comparison),
        "## The table\n",
        f"\n{len(comparison.cases)} test cases that no run has seen. Mean over cases (95 % bootstrap interval of"
        " the mean over cases); differences are paired by case, run minus its control, p by Wilcoxon's"
        " signed-rank test, corrected by Holm over structures and networks within a metric. Where several seeds"
        " were run, a case's value is the mean over seeds; the interval is therefore over cases, not seeds.\n",
        table(comparison),
        f"![{_shown(comparison)} minus its control, case by case](hippocampus-dsd.svg)\n",
        "## Seeds\n",
        _seeds(comparison),
        "## Cost and budget\n",
        costs(comparison),
        f"Seconds a case were measured on {cost['processor']} with {cost['threads']} thread(s), beside three"
        " other trainings: take ratios. The heads are no part of the student; it costs what its control does.\n",
        PROTOCOL,
        "## Make it again\n",
        "The whole table: `python scripts/evidence_hippocampus.py train`, then `collect`, then this page's script."
        " One row (one seed each):\n",
        "```",
        *(command(comparison, name) for name in (c.name for c in comparison.contenders)),
        "```\n",
        f"distilseg {versions['distilseg']}, PyTorch {versions['torch']}, Python {versions['python']};"
        f" {machine['precision']}, {machine['threads']} thread a run. Data: Medical Segmentation Decathlon, Task04"
        " (CC-BY-SA 4.0).\n",
    ]
    return "\n".join(parts)


def _reading(comparison: Comparison) -> str:
    """What the numbers say beyond the verdicts, in numbers."""
    distilled = comparison.contender(_shown(comparison))
    control = comparison.contender(comparison.controls[distilled.name])
    by_seed = [dice(own) - dice(other) for own, other in zip(distilled.runs, control.runs, strict=True)]
    lines = [
        f"- **Over seeds.** {distilled.name} minus its control, seed by seed:"
        f" {', '.join(words.number(d, 3, sign=True) for d in by_seed)} mean Dice; the control's own seeds spread over"
        f" {words.number(max(map(dice, control.runs)) - min(map(dice, control.runs)), 3)}."
    ]
    parts = [c for c in comparison.contenders if comparison.controls[c.name] == control.name]
    if len(parts) > 2:
        told = ", ".join(
            f"{c.name.replace(', dynunet', '')} {dice(c.runs[0]) - dice(control.runs[0]):+.3f}" for c in parts
        )
        lines.append(f"- **Which term.** Seed 0 alone, minus its control: {told}.".replace("-0.", "−0."))
    slow = min(comparison.contenders, key=lambda c: dice(c.runs[0]))
    status = slow.runs[0].read(slow.runs[0].status)
    lines.append(
        f"- **Not converged.** {slow.name} reached {dice(slow.runs[0]):.3f} after {status['steps']} steps, its best"
        f" validation at step {status['best_step']}: what is gained over it says that extra outputs speed up the start, not"
        " that they end higher."
    )
    return "\n".join(lines) + "\n"


def _seeds(comparison: Comparison) -> str:
    """Mean Dice of each seed: how much a difference between runs is worth."""
    lines = [
        "| run | seed | mean Dice over cases and structures | best validation Dice | at step |",
        "|---|---|---|---|---|",
    ]
    for contender in comparison.contenders:
        for run, seed in zip(contender.runs, contender.seeds, strict=True):
            status = run.read(run.status)
            best = f"{status['best_validation_dice']:.3f} | {status['best_step']}"
            lines.append(f"| {contender.name} | {seed} | {dice(run):.3f} | {best} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
