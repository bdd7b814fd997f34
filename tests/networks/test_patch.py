"""Which patches a network takes: the refusals name what would work, and it does work."""

from __future__ import annotations

import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, divisor
from distilseg.networks.patch import check_patch, halving_strides, product, smallest_patch

SMALL_UNETR = {"feature_size": 4, "hidden": 8, "heads": 2, "mlp": 8}


@pytest.mark.parametrize(
    ("name", "patch", "options", "message"),
    [
        ("swin_unetr", (32, 32, 32), {}, "bottleneck of one voxel.*64x32x32"),
        ("swin_unetr", (48, 64, 64), {}, "multiple of 32x32x32.*64x64x64"),
        ("swin_unetr", (20, 20), {}, "multiple of 32x32; .*64x32$"),
        ("unetr", (40, 32, 32), SMALL_UNETR, "multiple of 16x16x16.*48x32x32"),
        ("vnet", (24, 32, 32), {}, "multiple of 16x16x16.*32x32x32"),
        ("vnet", (16, 16), {}, "bottleneck of one voxel.*32x16"),
        ("dynunet", (32, 32, 30), {"strides": [1, 2, 2, 2]}, "multiple of 8x8x8.*32x32x32"),
        ("dynunet", (8, 8, 8), {"strides": [1, 2, 2, 2]}, "bottleneck of one voxel.*16x8x8"),
        ("dynunet", (6, 6, 6), {}, "halved at least twice"),
        ("dynunet", (32, 32), {"strides": [2, 2, 2]}, "first level's stride is .*begin `strides` with 1"),
        ("dynunet", (32, 32), {"strides": [1, [2, 2, 1], 2]}, "do not fit a patch of 2 axes"),
        ("dynunet", (64, 64), {"strides": [1] + [2] * 5}, "6 strides, but the filters allow 3 to 5 levels"),
        ("ahnet", (32, 32, 32), {}, "bottleneck of one voxel.*64x32x32"),
        ("ahnet", (64, 64, 64), {"pyramid": 4}, "multiple of 128x128x32.*128x128x64"),
        ("segresnet", (30, 32, 32), {}, "multiple of 8x8x8.*32x32x32"),
    ],
)
def test_refusals(name: str, patch: tuple[int, ...], options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec(name, 1, 2, patch, options))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "patch", "options"),
    [("swin_unetr", (20, 20), {}), ("vnet", (16, 16), {}), ("unetr", (16, 16), SMALL_UNETR)],
)
def test_the_patch_that_a_refusal_offers_trains(name: str, patch: tuple[int, ...], options: dict) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec(name, 1, 2, patch, options))
    offered = tuple(int(size) for size in caught.value.fix.rpartition(" ")[2].split("x"))
    network = build(NetworkSpec(name, 1, 2, offered, options)).train()
    logits = network(torch.randn(1, 1, *offered))
    assert logits.shape == (1, 2, *offered)
    assert logits.isfinite().all()


def test_the_papers_strides_at_the_hippocampus_patch() -> None:
    assert halving_strides((32, 32, 32), 5) == ((1, 1, 1), *((2, 2, 2),) * 4)  # bottleneck 2x2x2


def test_a_thin_axis_stops_early() -> None:
    assert halving_strides((64, 64, 8), 5) == ((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 1), (2, 2, 1))


def test_an_odd_axis_is_not_halved() -> None:
    assert halving_strides((20, 15), 5) == ((1, 1), (2, 1), (2, 1))


@given(st.lists(st.integers(1, 200), min_size=2, max_size=3), st.integers(1, 7))
def test_halving_always_divides_and_leaves_something(patch: list[int], levels: int) -> None:
    strides = halving_strides(patch, levels)
    by = product(strides)
    assert len(strides) <= levels
    assert set(strides[0]) == {1}
    assert all(max(step) == 2 for step in strides[1:])
    assert all(size % d == 0 and (d == 1 or size // d >= 2) for size, d in zip(patch, by, strict=True))


@given(
    st.integers(2, 3).flatmap(
        lambda n: st.tuples(*[st.lists(st.integers(1, high), min_size=n, max_size=n) for high in (40, 16)])
    )
)
@settings(max_examples=200)
def test_the_smallest_patch_is_accepted_and_nothing_between_is(sizes: tuple[list[int], list[int]]) -> None:
    patch, by = sizes
    best = smallest_patch(patch, by, by)
    assert all(b >= p for b, p in zip(best, patch, strict=True))
    if math.prod(by) == 1 and math.prod(patch) == 1:
        return
    check_patch("net", best, by)
    for axis in range(len(best)):
        smaller = [size - by[axis] * (i == axis) for i, size in enumerate(best)]
        if smaller[axis] >= max(patch[axis], 1) and list(smaller) != list(by):
            pytest.fail(f"{smaller} is smaller than {best} and works for {patch} by {by}")


def test_divisor() -> None:
    def by(name: str, patch: tuple[int, ...], **options: object) -> tuple[int, ...]:
        return divisor(NetworkSpec(name, 1, 2, patch, options))

    assert by("dynunet", (64, 64, 8)) == (16, 16, 4)
    assert by("dynunet", (64, 64), filters=[4, 4, 4]) == (4, 4)
    assert by("unet", (64, 64), strides=[1, 2, [4, 1]]) == (8, 2)
    assert by("swin_unetr", (96, 96, 96)) == (32, 32, 32)
    assert by("segresnet", (64, 64), blocks_down=[1, 1], blocks_up=[1]) == (2, 2)
    assert by("ahnet", (128, 128, 64)) == (128, 128, 32)
