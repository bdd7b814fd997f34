"""The page about results/hippocampus-dsd, and the table in the README, written from those files alone.

python scripts/evidence_page.py
"""

from __future__ import annotations

import re
from pathlib import Path

from distilseg.report import Comparison, compare_runs, verdicts, words
from distilseg.report.figures import paired_differences
from distilseg.runs import Run, find_runs

ROOT = Path(__file__).resolve().parents[1]
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
    figure.write_text(paired_differences(comparison, _shown(comparison)), encoding="utf-8")
    PAGE.write_text(_page(comparison), encoding="utf-8")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    between = re.compile(r"(<!-- results:begin -->\n).*?(<!-- results:end -->)", re.DOTALL)
    readme.write_text(between.sub(lambda m: m[1] + _short_table(comparison) + m[2], text), encoding="utf-8")


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
        _table(comparison),
        f"![{_shown(comparison)} minus its control, case by case](hippocampus-dsd.svg)\n",
        "## Seeds\n",
        _seeds(comparison),
        "## Cost and budget\n",
        _costs(comparison),
        f"Seconds a case were measured on {cost['processor']} with {cost['threads']} thread(s), beside three"
        " other trainings: take ratios. The heads are no part of the student; it costs what its control does.\n",
        PROTOCOL,
        "## Make it again\n",
        "The whole table: `python scripts/evidence_hippocampus.py train`, then `collect`, then this page's script."
        " One row (one seed each):\n",
        "```",
        *(_command(comparison, name) for name in (c.name for c in comparison.contenders)),
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
    by_seed = [_dice(own) - _dice(other) for own, other in zip(distilled.runs, control.runs, strict=True)]
    lines = [
        f"- **Over seeds.** {distilled.name} minus its control, seed by seed:"
        f" {', '.join(words.number(d, 3, sign=True) for d in by_seed)} mean Dice; the control's own seeds spread over"
        f" {words.number(max(map(_dice, control.runs)) - min(map(_dice, control.runs)), 3)}."
    ]
    parts = [c for c in comparison.contenders if comparison.controls[c.name] == control.name]
    if len(parts) > 2:
        told = ", ".join(
            f"{c.name.replace(', dynunet', '')} {_dice(c.runs[0]) - _dice(control.runs[0]):+.3f}"
            for c in parts
        )
        lines.append(f"- **Which term.** Seed 0 alone, minus its control: {told}.".replace("-0.", "−0."))
    slow = min(comparison.contenders, key=lambda c: _dice(c.runs[0]))
    status = slow.runs[0].read(slow.runs[0].status)
    lines.append(
        f"- **Not converged.** {slow.name} reached {_dice(slow.runs[0]):.3f} after {status['steps']} steps, its best"
        f" validation at step {status['best_step']}: what is gained over it says that extra outputs speed up the start, not"
        " that they end higher."
    )
    return "\n".join(lines) + "\n"


def _dice(run: Run) -> float:
    """Mean Dice of one run over cases and structures."""
    alone = compare_runs([run])
    return alone.scores[alone.contenders[0].name, alone.overall, "dice"].mean


def _table(comparison: Comparison) -> str:
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
                told = [_difference(comparison, key, m) for key, m in pairs]
                lines.append("| | *difference* | " + " | ".join(told) + " |")
    return "\n".join(lines) + "\n"


def _difference(comparison: Comparison, key: tuple[str, str, str], metric: object) -> str:
    d = comparison.differences[key]
    mean = words.number(d.mean, metric.decimals, sign=True)  # type: ignore[attr-defined]
    return f"*{mean} ({words.interval(d.interval, metric)}), p {words.p_value(d.p_holm)}*"  # type: ignore[arg-type]


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
            lines.append(f"| {contender.name} | {seed} | {_dice(run):.3f} | {best} |")
    return "\n".join(lines) + "\n"


def _costs(comparison: Comparison) -> str:
    told = [(c.name, words.costs(c)) for c in comparison.contenders]
    heads = list(told[0][1])
    lines = ["| run | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    lines += [f"| {name} | " + " | ".join(cells.values()) + " |" for name, cells in told]
    return "\n".join(lines) + "\n"


def _command(comparison: Comparison, name: str) -> str:
    contender = comparison.contender(name)
    run = contender.runs[0]
    return words.train_command(contender, run.read(run.experiment))


def _short_table(comparison: Comparison) -> str:
    dice = comparison.metrics[0]
    lines = ["| run | Dice | difference from its control | seeds |", "|---|---|---|---|"]
    for contender in comparison.contenders:
        key = (contender.name, comparison.overall, dice.name)
        score = comparison.scores[key]
        told = _difference(comparison, key, dice).strip("*") if key in comparison.differences else "control"
        mean = (
            f"{words.number(score.mean, dice.decimals)} ({words.interval(score.interval, dice, sign=False)})"
        )
        lines.append(f"| {contender.name} | {mean} | {told} | {len(contender.seeds)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
