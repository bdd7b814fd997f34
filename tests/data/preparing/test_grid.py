"""The grid leads there and back exactly."""

from __future__ import annotations

import itertools
import json

import hypothesis.strategies as st
import numpy as np
from hypothesis import given, settings

from distilseg.data.preparing.grid import Grid, make_grid

from .made_up import plan, scan


def oblique_affine(axes: tuple[int, ...], signs: tuple[int, ...], spacing: tuple[float, ...], angle: float):
    """Array axis a runs along signs[a] * world axis axes[a], all turned by `angle` about an oblique line."""
    line = np.array([1.0, 2.0, 2.0]) / 3
    cross = np.cross(np.eye(3), line)
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    for axis in range(3):
        affine[:3, axis] = turn[:, axes[axis]] * signs[axis] * spacing[axis]
    affine[:3, 3] = (-20.0, 5.0, 33.0)
    return affine


@settings(deadline=None, max_examples=60)
@given(
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    wanted=st.sampled_from(
        [
            "".join(p)
            for a, b, c in itertools.product("LR", "AP", "IS")
            for p in itertools.permutations(a + b + c)
        ]
    ),
    shape=st.tuples(*[st.integers(1, 7)] * 3),
    angle=st.floats(-0.4, 0.4),
    seed=st.integers(0, 10**6),
)
def test_restore_inverts_orientation_and_crop(axes, signs, wanted, shape, angle, seed):
    affine = oblique_affine(tuple(axes), signs, (0.5, 1.5, 3.0), angle)
    rng = np.random.default_rng(seed)
    image = (rng.random(shape) < 0.2).astype(np.int16)
    grid = make_grid([scan(image, affine)], plan(orientation=wanted, crop="nonzero"), case="a")
    assert grid == Grid.from_dict(json.loads(json.dumps(grid.to_dict())))

    labels = rng.integers(0, 200, grid.cropped_shape).astype(np.uint8)
    restored = grid.restore(labels)
    assert restored.shape == shape
    np.testing.assert_array_equal(grid.crop(restored), labels)
    # Nothing outside the box, and nothing that is not zero was cropped away.
    assert restored.astype(int).sum() == labels.astype(int).sum()
    np.testing.assert_array_equal(grid.restore(np.ascontiguousarray(grid.crop(image))), image)

    # Independent check of the directions: walk along each oriented axis and look where the world goes.
    indices = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    for world in range(3):
        mm = sum(affine[world, axis] * indices[axis] for axis in range(3)) + affine[world, 3]
        oriented = grid.orient(mm)
        positive = {0: "R", 1: "A", 2: "S"}[world]
        letter = next(name for name in wanted if name in {0: "RL", 1: "AP", 2: "SI"}[world])
        axis = wanted.index(letter)
        if oriented.shape[axis] > 1:
            steps = np.diff(oriented, axis=axis)
            assert (steps > 0).all() if letter == positive else (steps < 0).all()


def test_orientation_by_hand():
    array = np.arange(24).reshape(2, 3, 4)
    # Stored P S L: axis 0 runs to posterior, axis 1 to superior, axis 2 to left.
    affine = np.array([[0, 0, -3.0, 0], [-1.0, 0, 0, 0], [0, 2.0, 0, 0], [0, 0, 0, 1]])
    grid = make_grid([scan(array, affine)], plan(), case="a")
    np.testing.assert_array_equal(grid.orient(array), array.transpose(2, 0, 1)[::-1, ::-1, :])
    assert grid.cropped_spacing_mm == (3.0, 1.0, 2.0)
    assert grid.working_shape == (12, 2, 6)
    assert grid.spacing_mm == (1.0, 1.0, 1.0)


def test_an_image_of_zeros_is_not_cropped_to_nothing():
    grid = make_grid([scan(np.zeros((3, 4, 5)))], plan(crop="nonzero"), case="a")
    assert grid.cropped_shape == (3, 4, 5)
