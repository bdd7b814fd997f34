"""Label maps on NumPy are those of the torch export, but where two classes are equal up to rounding."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.inference import label_export as in_torch
from distilseg.inference import region_export as regions_in_torch
from distilseg.runtime import label_export
from distilseg.runtime.label_export import export_labels, export_regions

several = settings(max_examples=60, deadline=None)
coarse = st.one_of(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 12)] * 2))


def logits_of(seed: int, classes: int, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(classes, *shape)).astype(np.float32)


def at_rounding(logits: np.ndarray[Any, Any], shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Where the two best classes are closer than rounding, or [bool]."""
    grown = torch.from_numpy(logits)[None]
    if grown.ndim == 4:  # 2D as one slice of 3D
        grown, shape = grown[..., None], (*shape, 1)
    fine = torch.nn.functional.interpolate(grown.double(), shape, mode="trilinear")[0]
    best = fine.topk(min(2, len(fine)), 0).values
    close: np.ndarray[Any, Any] = (best[0] - best[-1] < 1e-5).numpy()
    return close.reshape(shape[: logits.ndim - 1])


@several
@given(shape=coarse, classes=st.integers(2, 7), seed=st.integers(0, 999), data=st.data())
def test_equals_torch(shape: tuple[int, ...], classes: int, seed: int, data: st.DataObject) -> None:
    fine = data.draw(st.tuples(*[st.integers(1, 30)] * len(shape)))
    logits = logits_of(seed, classes, shape)
    expected = in_torch.export_labels(torch.from_numpy(logits), fine).numpy()
    found = export_labels(logits, fine)
    assert found.dtype == np.uint8
    assert ((found == expected) | at_rounding(logits, fine)).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_many_blocks_in_many_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_export, "_BLOCK", 16)
    logits, fine = logits_of(1, 5, (20, 9, 31)), (50, 61, 47)
    expected = in_torch.export_labels(torch.from_numpy(logits), fine).numpy()
    agree = (export_labels(logits, fine, threads=threads) == expected) | at_rounding(logits, fine)
    assert agree.all()
    assert at_rounding(logits, fine).mean() < 1e-3


@pytest.mark.parametrize("shape", [(40, 50, 60), (9, 8)])
def test_on_the_same_grid_it_is_the_argmax(shape: tuple[int, ...]) -> None:
    logits = logits_of(2, 6, shape).round(1)  # ties too: the lowest class wins
    np.testing.assert_array_equal(export_labels(logits, shape), logits.argmax(0))


def test_more_than_256_classes_need_16_bits() -> None:
    logits = logits_of(3, 300, (4, 4, 4))
    labels = export_labels(logits, (6, 6, 6))
    assert labels.dtype == np.uint16
    assert labels.max() > 255


@several
@given(shape=coarse, seed=st.integers(0, 999), data=st.data())
def test_regions_equal_torch(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    fine = data.draw(st.tuples(*[st.integers(1, 30)] * len(shape)))
    logits, paints = logits_of(seed, 3, shape), (2, 1, 3)
    expected = regions_in_torch.export_regions(torch.from_numpy(logits), fine, paints).numpy()
    found = export_regions(logits, fine, paints)
    mode = "trilinear" if len(shape) == 3 else "bilinear"
    grown = torch.nn.functional.interpolate(torch.from_numpy(logits)[None].double(), fine, mode=mode)[0]
    assert ((found == expected) | (grown.abs() < 1e-5).any(0).numpy()).all()


def test_memory_does_not_grow_with_the_classes() -> None:
    """Ten times the classes, half of them everywhere within reach: the same peak beside the logits."""
    peaks = []
    for classes in (4, 40):
        logits = logits_of(4, classes, (24, 24, 24))
        tracemalloc.start()
        export_labels(logits, (96, 96, 96), threads=1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
