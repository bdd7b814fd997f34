"""`python -m benchmarks.compiled_losses`: would torch.compile make the losses of self-distillation cheaper?

Ours, whose gradients are written out, against the same formulas in PyTorch's operators, as they are and
through torch.compile, which needs a C++ compiler and has to compile first. One side: four outputs at full
resolution, three classes, two patches of 32 voxels along each axis; value and gradient.

Processor time, one thread, medians of the rounds' ratios; written to results/compiled-losses.csv.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from distilseg.functional.divergence import soft_label_divergence
from distilseg.functional.segmentation import one_hot, soft_dice_cross_entropy
from distilseg.runs import write_rows

from .common import in_turns, machine

RESULT = Path(__file__).resolve().parents[1] / "results" / "compiled-losses.csv"
REPEATS = 30
B, K, N, T = 2, 3, 32**3, 3.0


def divergence(teacher: Tensor, *students: Tensor) -> Tensor:
    log_teacher = (teacher / T).log_softmax(1)
    p = log_teacher.exp()
    return torch.stack([(p * (log_teacher - (z / T).log_softmax(1))).sum() for z in students]).sum() / (B * N)


def dice_cross_entropy(logits: Tensor, hot: Tensor) -> Tensor:
    p = logits.softmax(1)
    dice = 1 - (2 * (p * hot).sum(-1) + 1e-5) / (p.sum(-1) + hot.sum(-1) + 1e-5)
    return dice.mean() - (logits.log_softmax(1) * hot).sum() / (B * N)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    maps = [torch.randn(B, K, N, requires_grad=True) for _ in range(4)]
    hot = one_hot(torch.randint(0, K, (B, 1, N)), K, like=maps[0])
    losses: dict[str, dict[str, Callable[[], Tensor]]] = {
        "divergence": {
            "ours": lambda: soft_label_divergence(maps[1:], maps[0], T),
            "operators": lambda: divergence(*maps),
            "compiled": lambda: compiled_divergence(*maps),
        },
        "Dice and cross-entropy": {
            "ours": lambda: soft_dice_cross_entropy(maps[0], hot),
            "operators": lambda: dice_cross_entropy(maps[0], hot),
            "compiled": lambda: compiled_dice_cross_entropy(maps[0], hot),
        },
    }
    compiled_divergence = torch.compile(divergence, dynamic=False)
    compiled_dice_cross_entropy = torch.compile(dice_cross_entropy, dynamic=False)
    rows = []
    for loss, ways in losses.items():
        calls = {way: _with_gradient(call, maps) for way, call in ways.items()}
        start = time.perf_counter()
        calls["compiled"]()
        compiling_s = time.perf_counter() - start
        seconds = in_turns(calls, repeats=REPEATS, clock=time.process_time)
        for way, times in seconds.items():
            ratio = statistics.median(a / b for a, b in zip(times, seconds["operators"], strict=True))
            told = {"loss": loss, "way": way, "ms": round(1000 * statistics.median(times), 2)}
            told |= {"of_operators": round(ratio, 3), "repeats": REPEATS}
            rows.append({**told, "compiling_s": round(compiling_s) if way == "compiled" else ""})
            print(told)
    write_rows(RESULT, [{**one, **machine()} for one in rows])


def _with_gradient(loss: Callable[[], Tensor], maps: list[Tensor]) -> Callable[[], None]:
    def both_ways() -> None:
        for one in maps:
            one.grad = None
        loss().backward()  # type: ignore[no-untyped-call]

    return both_ways


if __name__ == "__main__":
    main()
