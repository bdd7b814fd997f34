"""Powers of two give the same softmax, and the logarithms that come with it."""

from __future__ import annotations

import pytest
import torch

from distilseg.functional.softmax import LN2, normalised_, shifted


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("T", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_is_the_softmax(dtype: torch.dtype, T: float, scale: float) -> None:
    logits = scale * torch.randn(2, 5, 3, 4, dtype=dtype)
    before = logits.clone()
    shifted_BKS = shifted(logits, T)
    kept = shifted_BKS.clone()
    probabilities, log_total = normalised_(shifted_BKS)
    assert torch.equal(logits, before)
    torch.testing.assert_close(probabilities, (logits / T).softmax(1))
    torch.testing.assert_close((kept - log_total) * LN2, (logits / T).log_softmax(1))
    assert probabilities.data_ptr() == shifted_BKS.data_ptr()


def test_by_hand() -> None:
    # e^z = 1, 3 over T = 1; the larger one is moved to 0
    logits = torch.tensor([[[1.0], [3.0]]], dtype=torch.float64).log()
    assert shifted(logits).flatten().tolist() == pytest.approx([-1.584962500721156, 0.0])
    probabilities, log_total = normalised_(shifted(logits))
    assert probabilities.flatten().tolist() == pytest.approx([0.25, 0.75])
    assert log_total.item() == pytest.approx(0.4150374992788438)  # log₂(4/3)
