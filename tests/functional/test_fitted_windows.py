"""Windows fitted to a scan: one for a small scan, bounded for a large one, and nothing absurd is believed."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.errors import UserError
from distilseg.functional.window_options import (
    MOST_VOXELS,
    OPTIONS,
    FittedWindowsOptions,
    check_volumes,
    described,
)
from distilseg.functional.windows import even_starts

FITTED: dict[str, Any] = {
    "kind": "fitted_windows",
    "patch": [32, 48, 32],
    "multiple": [16, 16, 16],
    "least": [32, 32, 32],
    "most": [512, 512, 512],
    "overlap": [8, 12, 8],
    "most_voxels": 4 * 32 * 48 * 32,
}


def fitted(**changes: Any) -> FittedWindowsOptions:
    options = described({**FITTED, **changes}, OPTIONS)
    assert isinstance(options, FittedWindowsOptions)
    return options


def shown(options: FittedWindowsOptions, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many windows a scan is, and the voxels of one."""
    window = options.window(shape)
    axes = zip(shape, window.patch, window.strides, strict=True)
    return math.prod(len(even_starts(max(size, p), p, step)) for size, p, step in axes), math.prod(
        window.patch
    )


@pytest.mark.parametrize(
    ("shape", "patch"),
    [((36, 50, 35), (48, 64, 48)), ((33, 48, 31), (48, 48, 32)), ((3, 4, 5), (32, 32, 32))],
)
def test_a_small_scan_is_one_window_as_small_as_holds_it(
    shape: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    assert fitted().window(shape).patch == patch
    assert shown(fitted(), shape)[0] == 1


def test_a_large_scan_is_few_windows_of_bounded_size() -> None:
    windows, voxels = shown(fitted(), (240, 240, 120))
    assert windows > 1
    assert voxels <= 4 * 32 * 48 * 32
    assert shown(fitted(most_voxels=2**23), (240, 240, 120)) == (1, 240 * 240 * 128)
    held = fitted(most=[48, 64, 48], most_voxels=2**23).window((240, 240, 120))
    assert all(size <= most for size, most in zip(held.patch, (48, 64, 48), strict=True))


@settings(deadline=None, max_examples=100)
@given(
    shape=st.tuples(*[st.integers(1, 400)] * 3),
    most=st.tuples(*[st.sampled_from([48, 64, 128, 1024])] * 3),
    overlap=st.tuples(*[st.sampled_from([0, 8, 16])] * 3),
    most_voxels=st.integers(40_000, 4_000_000),
)
def test_windows_are_divisible_within_bounds_and_overlap_enough(
    shape: tuple[int, ...], most: tuple[int, ...], overlap: tuple[int, ...], most_voxels: int
) -> None:
    options = fitted(most=list(most), overlap=list(overlap), most_voxels=most_voxels)
    window = options.window(shape)
    assert math.prod(window.patch) * window.batch <= max(most_voxels, math.prod(window.patch))
    assert math.prod(window.patch) <= most_voxels
    for size, patch, step, least, largest, over in zip(
        shape, window.patch, window.strides, (32, 32, 32), most, overlap, strict=True
    ):
        assert patch % 16 == 0
        assert least <= patch <= largest
        starts = even_starts(max(size, patch), patch, step)
        assert starts[-1] + patch >= size
        assert all(second - first <= patch - over for first, second in itertools.pairwise(starts))


def test_no_way_to_cut_shows_fewer_voxels() -> None:
    """Against every window that there is, for a few scans."""
    options = fitted(most_voxels=200_000)
    for shape in ((36, 50, 35), (70, 68, 58), (120, 20, 90), (100, 100, 100)):
        windows, voxels = shown(options, shape)
        every = []
        for patch in (
            (i, j, k) for i in range(32, 129, 16) for j in range(32, 129, 16) for k in range(32, 129, 16)
        ):
            if math.prod(patch) <= 200_000:
                axes = zip(shape, patch, options.overlap, strict=True)
                counts = [max(0, math.ceil((size - p) / (p - over))) + 1 for size, p, over in axes]
                every.append(math.prod(counts) * math.prod(patch))
        assert windows * voxels == min(every)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"most_voxels": 0}, "up to 0 voxels"),
        ({"most_voxels": MOST_VOXELS + 1}, "give a whole number from 1 to"),
        ({"most_voxels": True}, "up to True voxels"),
        ({"most_voxels": 1000}, "where the smallest are"),
        ({"multiple": [0, 16, 16]}, "for their multiple"),
        ({"multiple": [16, 16]}, "for their multiple"),
        ({"multiple": [4096, 16, 16]}, "at most 1024"),
        ({"least": [33, 32, 32]}, "no multiples of"),
        ({"most": [16, 512, 512]}, "voxels at most, where the smallest are"),
        ({"most": [40, 512, 512]}, "no multiples of"),
        ({"overlap": [-1, 0, 0]}, "for their overlap"),
        ({"overlap": [31, 31, 31]}, "look at each voxel"),
        ({"overlap": "all"}, "for their overlap"),
        ({"patch": [32, 48]}, "for their multiple"),
        ({"batch": 0}, "a batch of 1 or more"),
        ({"blend": "none"}, "blend of windows"),
        ({"mirror": [5]}, "no axis 5 to mirror"),
        ({"shapes": [[1, 1, 1]]}, "option of the inferer fitted_windows"),
    ],
)
def test_a_damaged_description_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        fitted(**change)


def test_windows_for_volumes_have_three_axes() -> None:
    check_volumes(FITTED)
    flat = {name: value[:2] if isinstance(value, list) else value for name, value in FITTED.items()}
    with pytest.raises(UserError, match="give a patch of three axes"):
        check_volumes(flat)
