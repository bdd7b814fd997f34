"""Slices: cut from volumes, augmented in their plane, planned across the coarsest axis."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.views import coarsest_axis, in_plane, slice_axis, view_axis
from distilseg.data.sampling.augmentation import Augmentation, Chance
from distilseg.data.sampling.batches import batches
from distilseg.data.sampling.patches import PatchSampler
from distilseg.data.sampling.slices import slabbed

from ..planning.test_plan import measured
from .test_batches import cases


@pytest.mark.parametrize(
    ("patch", "axis"), [((8, 8, 1), 2), ((1, 8, 8), 0), ((8, 8, 8), None), ((1, 8, 1), None), ((8, 1), None)]
)
def test_which_patch_is_a_slice(patch: tuple[int, ...], axis: int | None) -> None:
    assert slice_axis(patch) == axis


def test_the_axis_across() -> None:
    assert coarsest_axis((1.0, 1.0, 1.0)) == 2
    assert coarsest_axis((3.0, 1.0, 2.0)) == 0
    assert in_plane("ijk", 1) == ("i", "k")
    assert in_plane("ijk", None) == ("i", "j", "k")


@pytest.mark.parametrize("axis", [0, 2])
def test_a_batch_of_slices(axis: int) -> None:
    patch = tuple(1 if n == axis else 8 for n in range(3))
    sampler = PatchSampler(cases(), patch=patch, seed=3, foreground_fraction=1.0)
    (batch,) = batches(sampler, Augmentation(), batch_size=4, first_step=2, steps=1)
    assert batch.image.shape == (4, 2, 8, 8)
    assert batch.label.shape == (4, 1, 8, 8)
    assert batch.spacing_mm == in_plane((1.0, 1.0, 2.0), axis)
    assert (batch.label.flatten(1) > 0).any(1).all()  # each holds a structure
    for row in range(4):
        cut = sampler[8 + row]
        np.testing.assert_array_equal(batch.image[row], cut.image.squeeze(axis + 1))
        np.testing.assert_array_equal(batch.label[row, 0], cut.label.squeeze(axis))


def test_slices_turn_in_their_plane() -> None:
    """Turned by 90 degrees, a slice is its own voxels elsewhere; nothing comes in from other slices."""
    turned = Augmentation(rotate_degrees=Chance(1.0, 90, 90))
    sampler = PatchSampler(cases(), patch=(8, 8, 1), seed=3)
    (plain,) = batches(sampler, Augmentation(), batch_size=3, first_step=0, steps=1)
    (moved,) = batches(sampler, turned, batch_size=3, first_step=0, steps=1)
    quarter = [torch.rot90(plain.image, turns, (2, 3)) for turns in (1, 3)]
    assert any(torch.allclose(moved.image, one, atol=1e-5) for one in quarter)


def test_a_plan_of_slices() -> None:
    dataset, fingerprint = measured([(300, 320, 40)] * 3, [(0.8, 0.8, 4.0)] * 3)
    plan = make_plan(dataset, fingerprint, slices=True)
    assert (plan.patch[2], plan.slice_axis) == (1, 2)
    assert 200**2 < plan.patch[0] * plan.patch[1] <= 256**2
    assert plan.batch_size * 256**2 == 2 * 64**3  # as many voxels in a step as in 3D
    assert plan.network_patch == plan.patch[:2]
    assert plan.network_strides == ((1, 1), *((2, 2),) * 4)
    small = make_plan(*measured([(30, 60, 50)], [(2, 1, 1)]), slices=True)
    assert small.slice_axis == 0
    volume = make_plan(dataset, fingerprint)
    assert (volume.slice_axis, volume.network_patch) == (None, volume.patch)


@pytest.mark.parametrize(
    ("orientation", "axes"), [("RAS", (2, 1, 0)), ("LPI", (2, 1, 0)), ("SPL", (0, 1, 2)), ("ARS", (2, 0, 1))]
)
def test_the_axis_of_each_view(orientation: str, axes: tuple[int, ...]) -> None:
    assert tuple(view_axis(orientation, view) for view in ("axial", "coronal", "sagittal")) == axes


def test_a_plan_of_slabs() -> None:
    plan = make_plan(*measured([(70, 68, 58)], [(2, 2, 3)]))
    slabs = slabbed(plan, 1, 12, multiple=16)
    assert slabs.patch[1] == 12
    assert all(size % 16 == 0 and size >= plan.patch[n] for n, size in enumerate(slabs.patch) if n != 1)
    assert slabs.total_stride == (16, 1, 16)
    voxels, before = np.prod(slabs.patch) * slabs.batch_size, np.prod(plan.patch) * plan.batch_size
    assert 0.7 < voxels / before < 1.4
    assert slabs.preprocessing() == plan.preprocessing()
    single = slabbed(plan, 1, 1, multiple=16)
    assert single.slice_axis == 1
