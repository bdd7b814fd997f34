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
    most=st.tuples(*[st.sampled_from([4, 8, 16])] * 3),
    mirror=st.sampled_from([False, True, [0, 2]]),
    average=averages,
)
def test_fitted_windows(
    shape: tuple[int, ...], most: tuple[int, ...], mirror: Any, average: tuple[str, str]
) -> None:
    described = {"kind": "fitted_windows", "patch": [4, 4, 4], "multiple": [2, 2, 2], "least": [4, 2, 4]}
    bounds = {"most": list(most), "overlap": [1, 1, 2], "most_voxels": 300}
    how = {"mirror": mirror, "average": average[0], "activation": average[1]}
    compare({**described, **bounds, **how}, shape, 3)


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
    assert window_shape({"kind": "fitted_windows", "patch": [32, 48, 32]}) == ((32, 48, 32), (0, 1, 2))
    slabs = {"kind": "slabs", "patch": [3, 40, 48], "axis": 0, "divisor": 16}
    assert window_shape(slabs) == ((3, 48, 48), (1, 2))
    assert window_shape({"kind": "slabs", "patch": [40, 48, 1], "divisor": 16}) == ((48, 48), (0, 1))


def test_an_unknown_inferer_is_refused() -> None:
    with pytest.raises(UserError, match="unknown kind of inferer 'slab'; did you mean 'slabs'"):
        make_inferer({"kind": "slab"})
    with pytest.raises(UserError, match="the inferer slabs lacks patch"):
        make_inferer({"kind": "slabs"})


WINDOW = {"kind": "sliding_window", "patch": [8, 8, 8]}
SLICES = {"kind": "slices", "patch": [8, 8]}
SLABS = {"kind": "slabs", "patch": [8, 8, 3]}


@pytest.mark.parametrize(
    ("description", "told"),
    [
        (WINDOW | {"overlap": 1.0}, r"cannot overlap by 1\.0"),
        (WINDOW | {"overlap": -0.5}, r"cannot overlap by -0\.5"),
        (WINDOW | {"overlap": float("nan")}, "cannot overlap by nan"),
        (WINDOW | {"overlap": "0.5"}, "cannot overlap by '0.5'"),
        (WINDOW | {"blend": "gausian"}, "did you mean 'gaussian'"),
        (WINDOW | {"blend": ["gaussian"]}, "unknown blend"),
        (WINDOW | {"batch": 0}, "a pass of 0 patches"),
        (WINDOW | {"batch": 2.5}, r"a pass of 2\.5 patches"),
        (WINDOW | {"batch": True}, "a pass of True patches"),
        (WINDOW | {"batch": 10**9}, "larger than any memory"),
        (WINDOW | {"patch": [8, -8, 8]}, "cannot have the patch"),
        (WINDOW | {"patch": [10**6] * 3}, "larger than any memory"),
        (WINDOW | {"patch": [8] * 4}, "cannot have the patch"),
        (WINDOW | {"patch": {"a": 1}}, "cannot have the patch"),
        (WINDOW | {"stride": [1, 1, 9]}, "cannot stand"),
        (WINDOW | {"stride": 4}, "cannot stand 4 apart"),
        (WINDOW | {"patch": [64] * 3, "overlap": 0.99}, r"each voxel 262,144 times; let them overlap less"),
        (WINDOW | {"mirror": [3]}, "no axis 3 to mirror"),
        (WINDOW | {"mirror": [0, 0]}, "each once"),
        (WINDOW | {"mirror": 1}, "mirror is 1"),
        (WINDOW | {"average": "mean"}, "unknown average"),
        (WINDOW | {"overlaps": 0.5}, "did you mean 'overlap'"),
        (WINDOW | {"threads": 4}, "unknown option"),
        (SLICES | {"axis": 3}, "slices across axis 3"),
        (SLICES | {"patch": [8, 8, 8]}, "two sizes"),
        (SLICES | {"overlap": 1}, "cannot overlap by 1"),
        (SLABS | {"stride": 4}, "a stride from 1 to 3"),
        (SLABS | {"stride": -1}, "a stride from 1 to 3"),
        (SLABS | {"divisor": 10**9}, "divisor of 1000000000"),
        (SLABS | {"batch": 0}, "a pass of 0 patches"),
        (SLABS | {"pad": "mirror"}, "unknown padding"),
    ],
)
def test_what_one_engine_refuses_the_other_refuses_in_the_same_words(
    description: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told) as on_arrays:
        make_inferer(description)
    with pytest.raises(UserError) as on_tensors:
        build.make_inferer(description)
    assert str(on_arrays.value) == str(on_tensors.value)


def test_threads_blend_as_one_does() -> None:
    image = np.random.default_rng(0).normal(size=(1, 64, 48, 48)).astype(np.float32)
    description = {"kind": "sliding_window", "patch": (48, 48, 48), "overlap": 0.5}

    def network(windows: Volume) -> Volume:
        return np.concatenate([windows, windows + 1, 2 * windows], 1)

    one, three = (make_inferer(description, threads=n)(image, network) for n in (1, 3))
    np.testing.assert_array_equal(one, three)
    np.testing.assert_allclose(one[1], image[0] + 1, rtol=1e-5)
