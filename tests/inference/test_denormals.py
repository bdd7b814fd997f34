"""Flushed inside the block, exact after it, whatever happens inside."""

from __future__ import annotations

import pytest
import torch

from distilseg.inference.denormals import denormals_flushed

DENORMAL = 1e-40


def half() -> float:
    return float(torch.tensor([DENORMAL]) / 2)


def test_flushed_inside_and_exact_after() -> None:
    assert half() > 0
    with denormals_flushed():
        assert half() == 0.0
    assert half() > 0


def test_exact_again_after_an_error() -> None:
    def fail() -> None:
        with denormals_flushed():
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert half() > 0
