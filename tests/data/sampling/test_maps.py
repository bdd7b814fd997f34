"""A map is cut where its patch lies: exactly on the image's grid, between voxels on a coarser one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from distilseg.data.sampling.maps import open_map
from distilseg.data.sampling.patches import cut

SHAPE = (12, 10, 9)


@pytest.mark.parametrize("start", [(0, 0, 0), (3, 1, 1), (-2, 2, -1)])
def test_on_the_grid_of_the_image(tmp_path: Path, start: tuple[int, ...]) -> None:
    """Beyond the image its edge is repeated, whatever the map holds there."""
    values = np.random.default_rng(0).normal(size=(3, 16, 16, 16)).astype(np.float16)
    np.save(tmp_path / "logits.npy", values)
    piece = open_map(tmp_path / "logits.npy", (1, 1, 1)).cut(start, (8, 8, 8), SHAPE)
    inside = values[:, :12, :10, :9]
    assert piece.dtype == np.float16  # as it is kept: what uses it makes it float32
    np.testing.assert_array_equal(piece, cut(inside, start, (8, 8, 8), "edge"))


@pytest.mark.parametrize("start", [(0, 0, 0), (4, 8, 2), (3, 1, 1), (5, 2, 3)])
def test_a_linear_map_is_cut_exactly_between_its_voxels(tmp_path: Path, start: tuple[int, ...]) -> None:
    """A feature that is linear in millimetres is so at any offset."""
    stride, patch = (4, 4, 2), (8, 8, 8)
    grid = np.meshgrid(*[(np.arange(8) + 0.5) * r for r in stride], indexing="ij")  # voxels of the image
    np.save(tmp_path / "feature.npy", np.stack(grid).astype(np.float16))
    piece = open_map(tmp_path / "feature.npy", stride).cut(start, patch, SHAPE)
    expected = np.meshgrid(
        *[x + (np.arange(p // r) + 0.5) * r for x, p, r in zip(start, patch, stride, strict=True)],
        indexing="ij",
    )
    np.testing.assert_allclose(piece, np.stack(expected), atol=0.02)  # half precision


def test_beyond_its_edge_a_coarse_map_repeats(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", np.array([[1.0, 2.0, 4.0]], dtype=np.float16))
    piece = open_map(tmp_path / "f.npy", (2,)).cut((-2,), (12,), (6,))
    assert piece.tolist() == [[1, 1, 2, 4, 4, 4]]


@pytest.mark.parametrize(("start", "thickness"), [(0, 3), (5, 3), (2, 1), (7, 6)])
def test_a_thin_patch_gets_one_voxel_at_its_middle(tmp_path: Path, start: int, thickness: int) -> None:
    """A slab of a few slices of a map with stride 4, whose values are its voxels' centres."""
    centres = (np.arange(6) + 0.5) * 4
    np.save(tmp_path / "f.npy", centres[None].astype(np.float16))
    piece = open_map(tmp_path / "f.npy", (4,)).cut((start,), (thickness,), (24,))
    n = max(1, thickness // 4)
    expected = start + (np.arange(n) + 0.5) * thickness / n
    np.testing.assert_allclose(piece[0], np.clip(expected, centres[0], centres[-1]), atol=0.01)
