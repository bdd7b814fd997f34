"""`python -m benchmarks.dsd_step_options`: what makes a step of dual self-distillation cheaper, how much.

    as published        eight side outputs at full resolution
    own resolution      each at its own, compared by blocks: the recipe dsd_own_resolution
    half of the voxels  side outputs of a random half of the patch, anew in each step; the main output whole

Against a plain step of the same network, in turns. Processor time, one thread, medians of the rounds' ratios;
written to results/dsd-step-options.csv. What they do to Dice is measured by training, not here.
"""

from __future__ import annotations

import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from distilseg.distillation.dual_self_distillation import DualSelfDistillation
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.runs import write_rows
from distilseg.training.experiment import Study
from distilseg.training.loop import make_optimizer
from distilseg.training.objective import Objective
from distilseg.types import Batch, Outputs

from .common import Row, in_turns, machine
from .training import WIDTHS, made_ready, make_experiment, make_objective, stepper

RESULT = Path(__file__).resolve().parents[1] / "results" / "dsd-step-options.csv"
REPEATS = 20
PUBLISHED = "dual_self_distillation"


class HalfOfTheVoxels(DualSelfDistillation):
    """Side outputs of one half of the patch, cut across its first axis, drawn in each step."""

    of_sides = False  # while the side outputs' terms are made

    def __init__(self, whole: DualSelfDistillation, shapes: Mapping[str, tuple[int, ...]]) -> None:
        patch = next(shape[2:] for name, shape in shapes.items() if name == "encoder.0")
        halves = {name: (B, C, s // 2, *others) for name, (B, C, s, *others) in shapes.items()}
        super().__init__(halves, whole.classes, (patch[0] // 2, *patch[1:]), shared_heads=True)
        self.drawn = random.Random(0)

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student, part = outputs["student"], self.drawn.randrange(2)
        features = {name: value.chunk(2, 2)[part] for name, value in student.features.items()}
        of_half = {"student": Outputs(student.logits.chunk(2, 2)[part], features)}
        self.of_sides = True
        terms = super().terms(of_half, Batch(batch.image, batch.label.chunk(2, 2)[part]))
        self.of_sides = False
        return {"seg": dice_cross_entropy(student.logits, batch.label), **terms}

    def uses(self, term: str) -> bool:
        return super().uses(term) and not (term == "seg" and self.of_sides)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        study, _, ready = made_ready(Path(folder), quick=False)
        rows = [one for width in WIDTHS for one in _measured(study, ready, width)]
    for one in rows:
        print(f"{one['network']:18} {one['way']:20} {one['of_plain_step']:.3f}")
    write_rows(RESULT, [{**one, **machine()} for one in rows])


def _measured(study: Study, ready: list[Batch], width: str) -> list[Row]:
    calls: dict[str, Callable[[], None]] = {}

    def add(way: str, objective: Objective, recipe: str) -> None:
        optimizer = make_optimizer(objective.learned(), make_experiment(study, recipe, width).optimisation)
        calls[way] = stepper(objective, optimizer, itertools.cycle(ready))

    for way, recipe in (
        ("plain step", "supervised"),
        ("as published", PUBLISHED),
        ("own resolution", "dsd_own_resolution"),
    ):
        add(way, make_objective(make_experiment(study, recipe, width)), recipe)
    objective = make_objective(make_experiment(study, PUBLISHED, width))
    with torch.no_grad():
        student = objective.tapped["student"](ready[0].image)
    shapes = {name: tuple(student[name].shape) for name in objective.method.roles["student"].taps}
    assert isinstance(objective.method, DualSelfDistillation)
    objective.method = HalfOfTheVoxels(objective.method, shapes)
    add("half of the voxels", objective, PUBLISHED)
    seconds = in_turns(calls, repeats=REPEATS, clock=time.process_time)
    return [
        {
            "network": f"DynUNet {width}",
            "way": way,
            "ms": round(1000 * statistics.median(times), 2),
            "of_plain_step": round(
                statistics.median(a / b for a, b in zip(times, seconds["plain step"], strict=True)), 4
            ),
            "repeats": REPEATS,
        }
        for way, times in seconds.items()
    ]


if __name__ == "__main__":
    main()
