"""`python -m benchmarks.profile_dsd_step`: where the time of a step of dual self-distillation goes.

The whole steps, distilled and plain, and the parts of what is added, each alone on the features of one batch,
all in turns: the heads, the label in their order, deep supervision, the divergences of either side. "Rest" is
what no part alone shows: gradients added into the network's own, colder caches, memory asked for anew.
"Added" is the median of the rounds' differences, which varies less than the difference of the medians.

"Floor" is what any way of computing these terms must do at least, into memory that is there: per side output
one product up and two down at full size, per softmax one power, one sum and one product. Where the floor
alone is above the aim, the aim is out of reach on this processor.

Processor time, one thread, medians; written to results/profile-dsd-step.csv.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from distilseg.distillation.dual_self_distillation import DualSelfDistillation
from distilseg.functional.divergence import soft_label_divergence
from distilseg.functional.segmentation import dice_cross_entropy, one_hot
from distilseg.runs import write_rows
from distilseg.training.experiment import Study
from distilseg.training.loop import make_optimizer
from distilseg.types import Batch, Outputs

from .common import Row, in_turns, machine
from .training import WIDTHS, made_ready, make_experiment, make_objective, stepper

RESULT = Path(__file__).resolve().parents[1] / "results" / "profile-dsd-step.csv"
REPEATS = 40


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        study, _, ready = made_ready(Path(folder), quick=False)
        rows = [one for width in WIDTHS for one in _profile(study, ready, width)]
    for one in rows:
        print(f"{one['network']:18} {one['part']:40} {one['ms']:8.2f} ms  {one['of_plain_step']:7.1%}")
    write_rows(RESULT, [{**one, **machine()} for one in rows])


def _profile(study: Study, ready: list[Batch], width: str) -> list[Row]:
    calls: dict[str, Callable[[], object]] = {}
    for part, recipe in (("distilled step", "dual_self_distillation"), ("plain step", "supervised")):
        experiment = make_experiment(study, recipe, width)
        objective = make_objective(experiment)
        optimizer = make_optimizer(objective.learned(), experiment.optimisation)
        calls[part] = stepper(objective, optimizer, iter(ready * (REPEATS // len(ready) + 2)))
        if recipe == "dual_self_distillation":
            method = objective.method
            with torch.no_grad():
                student = objective.tapped["student"](ready[0].image)
    assert isinstance(method, DualSelfDistillation)
    parts = _parts(method, student, ready[0])
    seconds = in_turns(
        {**calls, **parts, "floor": _floor(method, student)}, repeats=REPEATS, clock=time.process_time
    )
    ms = {part: 1000 * statistics.median(times) for part, times in seconds.items()}
    added = [d - p for d, p in zip(seconds["distilled step"], seconds["plain step"], strict=True)]
    ms["added by distillation"] = 1000 * statistics.median(added)
    ms["rest"] = ms["added by distillation"] - sum(ms[part] for part in parts)
    order = ("plain step", "distilled step", "added by distillation", *parts, "rest", "floor")
    return [
        {
            "network": f"DynUNet {width}",
            "part": part,
            "ms": round(ms[part], 2),
            "of_plain_step": round(ms[part] / ms["plain step"], 4),
            "repeats": REPEATS,
        }
        for part in order
    ]


def _parts(
    method: DualSelfDistillation, student: Outputs, batch: Batch
) -> Mapping[str, Callable[[], object]]:
    """Every part forward and backward, on leaves of its own."""
    features = {name: student[name].detach().requires_grad_() for name in method._head_of}
    side = {name: method.heads[key](features[name]).detach() for name, key in method._head_of.items()}
    side = {name: logits.requires_grad_() for name, logits in side.items()}
    slopes = [torch.randn_like(logits) for logits in side.values()]
    label_B1N = method.order(batch.label)
    hot_BKN = one_hot(label_B1N, method.classes, like=student.logits)

    def heads() -> None:
        outputs = [method.heads[key](features[name]) for name, key in method._head_of.items()]
        torch.autograd.backward(outputs, slopes)
        _forget(features, method)

    def label() -> None:
        one_hot(method.order(batch.label), method.classes, like=student.logits)

    def deep_supervision() -> None:
        terms = [dice_cross_entropy(side[name], label_B1N, one_hot_BKS=hot_BKN) for name in method.decoder]
        torch.stack(terms).sum().backward()
        _forget(side)

    def divergence(teacher: str, students: tuple[str, ...]) -> Callable[[], None]:
        def both_ways() -> None:
            logits = [side[name] for name in students]
            loss = soft_label_divergence(logits, side[teacher], method.temperature)
            loss.backward()
            _forget(side)

        return both_ways

    return {
        "heads": heads,
        "label in the heads' order": label,
        "deep supervision": deep_supervision,
        "divergence of the encoder": divergence(method.encoder[-1], method.encoder[:-1]),
        "divergence of the decoder": divergence(method.decoder[0], method.decoder[1:]),
    }


def _forget(leaves: Mapping[str, Tensor], method: nn.Module | None = None) -> None:
    for leaf in leaves.values():
        leaf.grad = None
    if method is not None:
        method.zero_grad(set_to_none=True)


def _floor(method: DualSelfDistillation, student: Outputs) -> Callable[[], None]:
    """The products of the heads' last layers, and the powers, into memory that stays."""
    B, K = student.logits.shape[:2]
    N = student.logits[0, 0].numel()
    inputs, weights = [], []
    for name in method._head_of:
        # What the last product reads: the finest feature itself, or K maps of half the size along each axis.
        axes = student[name].ndim - 2
        shape = (student[name].shape[1], N) if name == "encoder.0" else (K, N >> axes)
        inputs.append(torch.randn(B, *shape))
        weights.append(torch.randn(1, K * N // shape[1], shape[0]).expand(B, -1, -1))
    full = torch.empty(B, K, N)
    total = torch.empty(B, 1, N)
    downs = [torch.empty_like(x) for x in inputs]
    weight_downs = [torch.empty(B, *reversed(w.shape[1:])) for w in weights]
    softmaxes = len(inputs) + len(method.ds_levels)

    def work() -> None:
        for x, w, down, weight_down in zip(inputs, weights, downs, weight_downs, strict=True):
            blocks = full.view(B, w.shape[1], -1)
            torch.bmm(w, x, out=blocks)
            torch.bmm(w.mT, blocks, out=down)
            torch.bmm(x, blocks.mT, out=weight_down)
        for _ in range(softmaxes):
            torch.sum(full.exp2_(), 1, keepdim=True, out=total)
            full.mul_(total.reciprocal_())

    return work


if __name__ == "__main__":
    main()
