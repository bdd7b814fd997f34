"""Each inferer on NumPy gives what its torch counterpart gives, whatever the shapes and options."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.inference import build
from distilseg.runtime.inferers import Volume, make_inferer, window_shape

several = settings(max_examples=40, deadline=None)
sizes = st.tuples(*[st.integers(1, 15)] * 3)


class Blur(nn.Module):
    """Three classes that depend on a voxel's neighbours, so that where windows stand can be seen."""

    def __init__(self, modalities: int, axes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        convolution = nn.Conv3d if axes == 3 else nn.Conv2d
        self.convolution = convolution(modalities, 3, 3, padding=1)

    def forward(self, windows: Tensor) -> Tensor:
        blurred: Tensor = 3 * self.convolution(windows) + windows.mean(tuple(range(1, windows.ndim)), True)
        return blurred


@torch.inference_mode()
def compare(description: dict[str, Any], shape: tuple[int, ...], axes: int, seed: int = 0) -> None:
    image = np.random.default_rng(seed).normal(size=(2, *shape)).astype(np.float32)
    network = Blur(2, axes)
    expected = build.make_inferer(description)(torch.from_numpy(image)[None], network)[0].numpy()

    lent: list[Volume] = []

    def on_arrays(windows: Volume) -> Volume:
        """What was answered before is gone by now, as in an engine that lends its memory."""
        for answer in lent:
            answer.fill(np.nan)
        lent[:] = [network(torch.from_numpy(np.ascontiguousarray(windows))).numpy()]
        return lent[0]

    found = make_inferer(description)(image, on_arrays)
    lent[0].fill(np.nan)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-5)


averages = st.sampled_from(
    [("logits", "softmax"), ("probabilities", "softmax"), ("probabilities", "sigmoid")]
)


@several
@given(
    shape=sizes,
    patch=st.tuples(*[st.integers(1, 8)] * 3),
    overlap=st.sampled_from([0, 0.25, 0.5, 0.8]),
    blend=st.sampled_from(["gaussian", "constant"]),
    batch=st.integers(1, 5),
    mirror=st.sampled_from([False, True, [0, 2]]),
    average=averages,
)
def test_sliding_windows(
    shape: tuple[int, ...],
    patch: tuple[int, ...],
    overlap: float,
    blend: str,
    batch: int,
    mirror: Any,
    average: tuple[str, str],
) -> None:
    options = {"overlap": overlap, "blend": blend, "batch": batch, "mirror": mirror}
    described = {"kind": "sliding_window", "patch": list(patch), **options}
    compare({**described, "average": average[0], "activation": average[1]}, shape, 3)


def test_sliding_windows_by_stride() -> None:
    described = {"kind": "sliding_window", "patch": [8, 6, 4], "stride": [3, 6, 1], "average": "logits"}
    compare(described, (17, 6, 9), 3)


@several
@given(
    shape=sizes,
    patch=st.tuples(*[st.integers(1, 8)] * 2),
    axis=st.integers(0, 2),
    batch=st.integers(1, 9),
    mirror=st.booleans(),
)
def test_slices(shape: tuple[int, ...], patch: tuple[int, ...], axis: int, batch: int, mirror: bool) -> None:
    described = {"kind": "slices", "patch": list(patch), "axis": axis, "batch": batch, "mirror": mirror}
    compare(described, shape, 2)


@several
@given(
    shape=sizes,
    thickness=st.integers(1, 6),
    stride=st.integers(1, 6),
    axis=st.integers(0, 2),
    average=averages,
    batch=st.integers(1, 5),
    pad=st.sampled_from(["edge", "zeros"]),
)
def test_slabs(
    shape: tuple[int, ...],
    thickness: int,
    stride: int,
    axis: int,
    average: tuple[str, str],
    batch: int,
    pad: str,
) -> None:
    patch = [thickness if n == axis else 8 for n in range(3)]
    described = {"kind": "slabs", "patch": patch, "axis": axis, "stride": min(stride, thickness)}
    how = {"average": average[0], "activation": average[1], "batch": batch, "divisor": 4, "pad": pad}
    compare({**described, **how}, shape, 2 if thickness == 1 else 3)


def test_what_a_network_is_shown() -> None:
    assert window_shape({"kind": "sliding_window", "patch": [32, 48, 32]}) == ((32, 48, 32), ())
    assert window_shape({"kind": "slices", "patch": [32, 48], "axis": 1}) == ((32, 48), ())
    slabs = {"kind": "slabs", "patch": [3, 40, 48], "axis": 0, "divisor": 16}
    assert window_shape(slabs) == ((3, 48, 48), (1, 2))
    assert window_shape({"kind": "slabs", "patch": [40, 48, 1], "divisor": 16}) == ((48, 48), (0, 1))


def test_an_unknown_inferer_is_refused() -> None:
    with pytest.raises(UserError, match="unknown kind of inferer 'slab'; did you mean 'slabs'"):
        make_inferer({"kind": "slab"})
    with pytest.raises(UserError, match="the inferer slabs lacks its patch"):
        make_inferer({"kind": "slabs"})


def test_threads_blend_as_one_does() -> None:
    image = np.random.default_rng(0).normal(size=(1, 64, 48, 48)).astype(np.float32)
    description = {"kind": "sliding_window", "patch": (48, 48, 48), "overlap": 0.5}

    def network(windows: Volume) -> Volume:
        return np.concatenate([windows, windows + 1, 2 * windows], 1)

    one, three = (make_inferer(description, threads=n)(image, network) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_allclose(one[1], image[0] + 1, rtol=1e-5)
