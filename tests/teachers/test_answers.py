"""Answers on the student's grid: where a voxel's answer comes from, and what 8 bits keep of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from distilseg.data.preparing.grid import Grid
from distilseg.teachers.answers import (
    RANKED,
    blocks,
    channels_of,
    decoded,
    encoded,
    kept_as,
    likeliest,
)
from distilseg.teachers.classes import ClassMap, match_classes
from distilseg.teachers.teacher import Answer, Placement

from .small import Numbers, classes, edges_aligned

IDENTITY = tuple(tuple(row) for row in np.eye(4).tolist())


def grid(
    shape: tuple[int, ...],
    working: tuple[int, ...],
    *,
    order: tuple[int, ...] = (0, 1, 2),
    flipped: tuple[bool, ...] = (False, False, False),
    box: tuple[tuple[int, int], ...] | None = None,
) -> Grid:
    whole = tuple((0, shape[axis]) for axis in order)
    return Grid(shape, IDENTITY, order, flipped, box or whole, working)


def plain(teacher: Numbers) -> ClassMap:
    return match_classes(teacher, [head.name for head in teacher.heads])


def on(answer: Answer, where: Grid, mapped: ClassMap) -> np.ndarray:
    found = np.full((len(mapped.groups), *where.working_shape), np.nan, np.float32)
    for block in blocks(answer, where, mapped):
        found[:, *block.box] = block.probabilities.numpy()
    assert np.isfinite(found).all()
    return found


def numbers(shape: tuple[int, ...], heads: int = 3, seed: int = 0) -> Numbers:
    logits = np.random.default_rng(seed).normal(0, 3, (heads, *shape)).astype(np.float32)
    return Numbers(logits, classes("background", *(f"organ {n}" for n in range(1, heads))))


def test_on_the_same_grid_answers_are_the_teachers_own() -> None:
    teacher = numbers((7, 6, 5))
    answer = Answer(teacher.logits, edges_aligned((7, 6, 5), (7, 6, 5)), "softmax")
    found = on(answer, grid((7, 6, 5), (7, 6, 5)), plain(teacher))
    np.testing.assert_allclose(found, torch.from_numpy(teacher.logits).softmax(0), atol=1e-6)


def test_turned_flipped_and_cropped_grids_meet_the_same_voxels() -> None:
    teacher = numbers((7, 6, 5))
    answer = Answer(teacher.logits, edges_aligned((7, 6, 5), (7, 6, 5)), "softmax")
    where = grid(
        (7, 6, 5), (4, 7, 3), order=(1, 0, 2), flipped=(True, False, True), box=((1, 5), (0, 7), (2, 5))
    )
    expected = torch.from_numpy(np.stack([where.crop(head) for head in teacher.logits]).copy()).softmax(0)
    np.testing.assert_allclose(on(answer, where, plain(teacher)), expected, atol=1e-6)


def test_a_coarser_answer_is_interpolated_as_torch_does_between_aligned_edges() -> None:
    teacher = numbers((4, 3, 5))
    answer = Answer(teacher.logits, edges_aligned((9, 8, 10), (4, 3, 5)), "softmax")
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(teacher.logits)[None], (12, 6, 8), mode="trilinear", align_corners=False
    )[0].softmax(0)
    found = on(answer, grid((9, 8, 10), (12, 6, 8)), plain(teacher))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_teachers_own_axes_may_be_others() -> None:
    teacher = numbers((5, 4, 3))
    working = teacher.logits.transpose(0, 3, 1, 2)[:, ::-1]  # stored axes 2, 0, 1; the first one reversed
    placement = Placement(
        (5, 4, 3),
        (2, 0, 1),
        (2.0, 0.0, 0.0),
        (-1.0, 1.0, 1.0),
        (3, 5, 4),
        ((0, 3), (0, 5), (0, 4)),
    )
    found = on(
        Answer(np.ascontiguousarray(working), placement, "softmax"),
        grid((5, 4, 3), (5, 4, 3)),
        plain(teacher),
    )
    np.testing.assert_allclose(found, torch.from_numpy(teacher.logits).softmax(0), atol=1e-6)


def test_outside_of_the_teachers_box_all_is_background() -> None:
    teacher = numbers((3, 6, 5))
    placement = Placement(
        (7, 6, 5), (0, 1, 2), (2.0, 0.0, 0.0), (1.0,) * 3, (3, 6, 5), ((2, 5), (0, 6), (0, 5))
    )
    found = on(Answer(teacher.logits, placement, "softmax"), grid((7, 6, 5), (7, 6, 5)), plain(teacher))
    np.testing.assert_array_equal(found[0, [0, 1, 5, 6]], 1)
    np.testing.assert_array_equal(found[1:, [0, 1, 5, 6]], 0)
    np.testing.assert_allclose(found[:, 2:5], torch.from_numpy(teacher.logits).softmax(0), atol=1e-6)


def test_joined_classes_are_sums_of_probabilities_and_the_rest_is_what_is_left() -> None:
    teacher = numbers((4, 4, 4), heads=5)
    mapped = match_classes(
        teacher, ("background", "pair", "other"), joined={"pair": "organ 1 + organ 3", "other": "organ 4"}
    )
    answer = Answer(teacher.logits, edges_aligned((4, 4, 4), (4, 4, 4)), "softmax")
    p = torch.from_numpy(teacher.logits).softmax(0).numpy()
    found = on(answer, grid((4, 4, 4), (4, 4, 4)), mapped)
    np.testing.assert_allclose(found, [p[0] + p[2], p[1] + p[3], p[4]], atol=1e-6)


def test_few_groups_are_kept_whole_to_a_hundredth() -> None:
    p = torch.from_numpy(np.random.default_rng(1).dirichlet([0.3] * 6, 1000).T.astype(np.float32))
    kept = encoded(p, "whole")
    assert kept.shape == (6, 1000)
    back = np.exp(decoded(kept, "whole").astype(np.float32))
    np.testing.assert_allclose(back, p, atol=0.01)
    sure = p.max(0).values - p.topk(2, 0).values[1] > 0.01
    np.testing.assert_array_equal(likeliest(kept, "whole")[sure], p.argmax(0)[sure])


def test_of_many_groups_the_likeliest_are_kept_in_order() -> None:
    p = torch.from_numpy(np.random.default_rng(2).dirichlet([0.05] * 118, 500).T.astype(np.float32))
    kept = encoded(p, "ranked")
    assert (kept.shape, kept.dtype) == ((2 * RANKED, 500), np.uint8)
    np.testing.assert_array_equal(likeliest(kept, "ranked"), p.argmax(0))
    back = decoded(kept, "ranked").astype(np.float32)
    np.testing.assert_allclose(np.exp(back[RANKED:]), p.topk(RANKED, 0).values, atol=0.01)


def test_regions_are_kept_as_logits() -> None:
    p = torch.linspace(0, 1, 1001)[None]
    back = 1 / (1 + np.exp(-decoded(encoded(p, "regions"), "regions").astype(np.float32)))
    np.testing.assert_allclose(back, p, atol=0.013)


@pytest.mark.parametrize(("heads", "kept", "size"), [(3, "whole", 3), (8, "whole", 8), (9, "ranked", 8)])
def test_a_voxel_takes_as_many_bytes_as_it_must(heads: int, kept: str, size: int) -> None:
    mapped = plain(numbers((1, 1, 1), heads=heads))
    assert (kept_as(mapped), channels_of(mapped)) == (kept, size)
