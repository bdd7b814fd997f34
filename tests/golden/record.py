"""Records the value of every method's terms for fixed inputs: `python tests/golden/record.py`.

The inputs and the methods' own parameters are drawn by NumPy, float64, so they are the same everywhere. A
changed value means a changed objective: record anew only when that is wanted, and say so in the commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distilseg.distillation import DualSelfDistillation, Method, Supervised
from distilseg.types import Batch, Outputs

RECORDED = Path(__file__).with_name("terms.json")
PATCH, CLASSES = (16, 16, 16), 3
SHAPES = {f"{side}.{i}": (2, 4 * 2**i, *(16 >> i,) * 3) for side in ("encoder", "decoder") for i in range(4)}
SHAPES["bottleneck"] = (2, 64, 1, 1, 1)

DSD_OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "DS": {"weights": {"encoder": 0, "decoder": 0}},
    "DS without dec4": {
        "weights": {"encoder": 0, "decoder": 0},
        "ds_levels": ("decoder.1", "decoder.2", "decoder.3"),
    },
    "SDD": {"weights": {"encoder": 0}},
    "SDE": {"weights": {"decoder": 0}},
    "T=1": {"temperature": 1.0},
    "shared heads": {"shared_heads": True},
    "single_deconv": {"head_upsample": "single_deconv"},
    "trilinear": {"head_upsample": "trilinear"},
    "nearest": {"head_upsample": "nearest"},
    "nearest, reversed": {"head_upsample": "nearest", "teacher": "reversed"},
    "mean": {"teacher": "mean"},
    "reversed": {"teacher": "reversed"},
    "foreground": {"include_background": False},
    "feature_l2": {"weights": {"feature_l2": 1e-4}},
}


def methods() -> dict[str, Method]:
    """Every method in every variant that is recorded."""
    variants = {
        f"dual_self_distillation, {name}": DualSelfDistillation(SHAPES, CLASSES, PATCH, **options)
        for name, options in DSD_OPTIONS.items()
    }
    return {"supervised": Supervised(), **variants}


def measured() -> dict[str, dict[str, float]]:
    """The terms and their weighted sum, by method."""
    return {name: _values(method) for name, method in methods().items()}


def _values(method: Method) -> dict[str, float]:
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.normal(size=shape))

    features = {name: draw(*shape) for name, shape in SHAPES.items()}
    outputs = {"student": Outputs(draw(2, CLASSES, *PATCH), features)}
    batch = Batch(draw(2, 1, *PATCH), torch.tensor(rng.integers(0, CLASSES, (2, 1, *PATCH))))
    method.double()
    with torch.no_grad():
        for _, parameter in sorted(method.named_parameters()):
            parameter.copy_(0.2 * draw(*parameter.shape))
        losses = method(outputs, batch)
    return {name: term.item() for name, term in losses.terms.items()} | {"total": losses.total.item()}


if __name__ == "__main__":
    RECORDED.write_text(json.dumps(measured(), indent=2) + "\n", encoding="utf-8")
