"""The Dice of thickened networks: one ratio of each window, or of the batch, equal to the sums in NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distilseg.distillation.thickened import OverlapSupervised
from distilseg.errors import UserError
from distilseg.types import Batch, Outputs


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("reduce", ["sample", "batch"])
def test_equals_the_equation(classes: int, reduce: str) -> None:
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(3, classes, 4, 5, 6)), rng.integers(0, classes, (3, 1, 4, 5, 6))
    label[0] = 0  # a window without any structure
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    losses = []
    for k in range(1, classes):
        y = (label[:, 0] == k).astype(float)
        windows = [slice(0, 3)] if reduce == "batch" else [slice(b, b + 1) for b in range(3)]
        ratios = [(2 * (p[w, k] * y[w]).sum() + 1e-5) / ((p[w, k] + y[w]).sum() + 1e-5) for w in windows]
        losses.append(1 - np.mean(ratios))
    method = OverlapSupervised(reduce, weights={"cross_entropy": 0.5})  # type: ignore[arg-type]
    batch = Batch(torch.zeros(3, 1, 4, 5, 6), torch.from_numpy(label))
    found = method({"student": Outputs(torch.from_numpy(logits), {})}, batch)
    entropy = -np.log(np.take_along_axis(p, label, 1)).mean()
    assert found.terms["overlap"].item() == pytest.approx(np.mean(losses), abs=1e-12)
    assert found.total.item() == pytest.approx(np.mean(losses) + 0.5 * entropy, abs=1e-12)


def test_as_published_there_is_no_cross_entropy() -> None:
    assert OverlapSupervised().weights == {"overlap": 1.0, "cross_entropy": 0.0}
    with pytest.raises(UserError, match="unknown reduction of the overlap 'mean'"):
        OverlapSupervised("mean")  # type: ignore[arg-type]
