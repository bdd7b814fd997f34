"""Students for CPUs: sizes, features, strides of any plan, and what they must not hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, divisor, feature_shapes, multiply_accumulates, parameters
from distilseg.networks.student import Head

PATCH = (32, 48, 32)  # that a plan of MSD's hippocampus cases has
FAMILY = ("student_tiny", "student_small", "student_base")


def student(name: str, patch: tuple[int, ...], modalities: int = 1, **options: Any) -> nn.Module:
    return build(NetworkSpec(name, modalities, 3, patch, options))


@pytest.mark.parametrize(
    ("name", "patch", "count", "macs"),
    [
        ("student_tiny", PATCH, 978_408, 247_529_472),
        ("student_small", PATCH, 995_491, 436_568_064),
        ("student_base", PATCH, 1_612_003, 1_103_142_912),
        ("student_tiny", (256, 256), 331_484, 458_489_856),
        ("student_small", (256, 256), 337_555, 589_299_712),
        ("student_base", (256, 256), 546_259, 1_333_264_384),
    ],
)
def test_sizes(name: str, patch: tuple[int, ...], count: int, macs: int) -> None:
    network = student(name, patch)
    assert (parameters(network), multiply_accumulates(network, (1, 1, *patch))) == (count, macs)


def test_the_largest_costs_less_than_a_tenth_of_a_large_u_net() -> None:
    with torch.device("meta"):
        large = build(NetworkSpec("dynunet", 1, 3, PATCH, {"filters": [32, 64, 128, 256, 320]}))
    image = (1, 1, *PATCH)
    assert multiply_accumulates(student("student_base", PATCH), image) < 0.1 * multiply_accumulates(
        large, image
    )


def test_features() -> None:
    """The finest level is the first at which a student works; the coarsest is the bottleneck."""
    assert feature_shapes(student("student_tiny", PATCH), (1, 1, *PATCH)) == {
        "encoder.1": (1, 16, 16, 24, 16),
        "encoder.2": (1, 32, 8, 12, 8),
        "encoder.3": (1, 64, 4, 6, 4),
        "bottleneck": (1, 64, 2, 3, 2),
        "decoder.3": (1, 64, 4, 6, 4),
        "decoder.2": (1, 32, 8, 12, 8),
        "decoder.1": (1, 16, 16, 24, 16),
    }
    assert {"encoder.0", "decoder.0"} < feature_shapes(student("student_base", PATCH), (1, 1, *PATCH)).keys()


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(
    ("patch", "strides"),
    [
        ((40, 24, 24), None),
        ((20, 28, 12), None),
        ((24, 48, 5), [[1, 1, 1], [2, 2, 1], [2, 2, 1], [2, 2, 1]]),
        ((32, 48, 1), [[1, 1, 1], [2, 2, 1], [2, 2, 1], [2, 2, 1]]),
        ((18, 36, 8), [[1, 1, 1], [3, 3, 1], [2, 2, 2]]),
        ((64, 32, 16), [1, 2, 2, 2, 2, [2, 1, 1]]),
        ((24, 40), None),
        ((12, 20), [1, 2, 2]),
    ],
)
def test_patches_of_any_plan(name: str, patch: tuple[int, ...], strides: list[Any] | None) -> None:
    for modalities in (1, 3):
        network = student(name, patch, modalities, strides=strides)
        image = torch.randn(2, modalities, *patch)
        logits = network(image)
        assert logits.shape == (2, 3, *patch)
        logits.square().mean().backward()
        for parameter, weight in network.named_parameters():
            assert weight.grad is not None, parameter
            assert weight.grad.isfinite().all(), parameter


def test_levels_are_as_many_as_widths() -> None:
    """Of a plan with more strides than there are widths, the first count."""
    deep = {"strides": [1, 2, 2, 2, 2, 2]}
    assert divisor(NetworkSpec("student_tiny", 1, 2, (64, 64), deep)) == (16, 16)
    assert divisor(NetworkSpec("student_tiny", 1, 2, (64, 64), {**deep, "widths": [8, 8]})) == (4, 4)
    assert divisor(NetworkSpec("student_base", 1, 2, (64, 64), {**deep, "widths": [8] * 6})) == (32, 32)
    assert divisor(NetworkSpec("student_base", 1, 2, (64, 64), {**deep, "finest": 2})) == (32, 32)


def test_a_single_slice_costs_what_an_image_costs() -> None:
    """Kernels have no length along an axis of one voxel."""
    flat: dict[str, Any] = {"strides": [[1, 1], [2, 2], [2, 2], [2, 2]]}
    thin: dict[str, Any] = {"strides": [[1, 1, 1], [2, 2, 1], [2, 2, 1], [2, 2, 1]]}
    image, volume = student("student_tiny", (48, 32), **flat), student("student_tiny", (48, 32, 1), **thin)
    assert parameters(volume) == parameters(image)
    assert multiply_accumulates(volume, (1, 1, 48, 32, 1)) == multiply_accumulates(image, (1, 1, 48, 32))


def test_the_head_puts_each_voxel_s_answers_where_it_stands() -> None:
    head = Head(1, 2, (2, 1, 3))
    nn.init.zeros_(head.project.weight)
    assert head.project.bias is not None
    with torch.no_grad():
        head.project.bias.copy_(torch.arange(12.0))
        logits = head(torch.zeros(1, 1, 2, 2, 2))
    voxel = torch.arange(12.0).reshape(2, 2, 1, 3)  # class, then the voxels of a block
    assert torch.equal(logits[0], voxel.tile(1, 2, 2, 2))


@pytest.mark.parametrize("name", FAMILY)
def test_only_what_is_fast_and_folds(name: str) -> None:
    """No transposed convolution, no norm but batch norm, channels in multiples of 8."""
    leaves = [module for module in student(name, PATCH).modules() if not list(module.children())]
    assert {type(leaf) for leaf in leaves} == {nn.Conv3d, nn.BatchNorm3d, nn.ReLU, nn.Upsample}
    assert all(leaf.num_features % 8 == 0 for leaf in leaves if isinstance(leaf, nn.BatchNorm3d))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"finest": 3}, "finest level 3; give 0, 1 or 2"),
        ({"depth": -1}, "-1 residual blocks"),
        ({"widths": [8]}, "1 widths; give at least 2"),
        ({"finest": 2, "strides": [1, 2, 2]}, "too few; give finest=1"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as refusal:
        student("student_tiny", (16, 16), **options)
    assert words in str(refusal.value)


def test_a_patch_that_does_not_fit_is_answered_with_one_that_does() -> None:
    with pytest.raises(UserError, match="every axis must be a multiple of 16x16") as refusal:
        student("student_tiny", (40, 40), strides=[1, 2, 2, 2, 2])
    assert "48x48" in str(refusal.value)
