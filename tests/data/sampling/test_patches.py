"""A patch follows from (seed, index) alone, lies where it should, and reads nothing but its box."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.preparing.cache import CachedCase, sample_foreground
from distilseg.data.preparing.grid import Grid
from distilseg.data.sampling.patches import PatchSampler, cut
from distilseg.errors import UserError
from distilseg.types import UNKNOWN


def case(id: str, label: np.ndarray, image: np.ndarray | None = None, **changes: Any) -> CachedCase:
    """A case whose image holds the running number of each voxel, unless told otherwise."""
    if image is None:
        image = np.arange(label.size, dtype=np.float32).reshape(1, *label.shape)
    n = label.ndim
    grid = Grid(
        label.shape, (), tuple(range(n)), (False,) * n, tuple((0, k) for k in label.shape), label.shape
    )
    foreground = sample_foreground(label)
    return CachedCase(id, Path(), image, label, foreground, grid, changes.get("spacing_mm", (1.0,) * n))


def blocks(shape: tuple[int, ...] = (20, 24, 28)) -> np.ndarray:
    """A large class 1, and a class 2 of a single voxel."""
    label = np.zeros(shape, np.uint8)
    label[(slice(4, 15),) * len(shape)] = 1
    label[(16,) * len(shape)] = 2
    return label


def sampler(cases: list[CachedCase] | None = None, **changes: Any) -> PatchSampler:
    options: dict[str, Any] = {"patch": (8, 8, 8), "seed": 3, "foreground_fraction": 0.5, **changes}
    return PatchSampler(cases or [case(f"c{k}", blocks()) for k in range(5)], **options)


def test_a_patch_follows_from_seed_and_index():
    first, second = sampler(), sampler()
    for index in (7, 0, 123456, 7):
        a, b = first[index], second[index]
        assert (a.case_id, a.start) == (b.case_id, b.start)
        np.testing.assert_array_equal(a.image, b.image)
    places = {(first[k].case_id, first[k].start) for k in range(200)}
    assert len(places) > 100
    assert {(sampler(seed=4)[k].start) for k in range(50)} != {first[k].start for k in range(50)}


def test_the_patch_is_the_box_of_the_case():
    whole = sampler()
    for index in range(50):
        patch = whole[index]
        box = tuple(slice(start, start + 8) for start in patch.start)
        source = next(c for c in whole.cases if c.id == patch.case_id)
        np.testing.assert_array_equal(patch.image, source.image[(slice(None), *box)])
        np.testing.assert_array_equal(patch.label, source.label[box])


def test_each_case_is_seen_equally_often_in_every_epoch_and_in_another_order():
    two = sampler(patches_per_case=2)
    assert len(two) == 10
    epochs = [[two.case(epoch * 10 + k).id for k in range(10)] for epoch in range(4)]
    assert all(Counter(epoch) == {f"c{k}": 2 for k in range(5)} for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_foreground_classes_are_equally_likely_however_small():
    always = sampler(foreground_fraction=1.0)
    centres = Counter(int(always[k].label[4, 4, 4]) for k in range(300))
    assert centres[0] == 0
    assert 110 < centres[2] < 190  # one voxel against 1331
    half = sampler(foreground_fraction=0.5)
    # 1/4 are centred on it; of the 13 x 17 x 21 starts of the others, 4 x 8 x 8 happen to see it.
    seen = sum((half[k].label == 2).any() for k in range(300))
    assert 55 < seen < 120
    never = sampler(foreground_fraction=0.0)
    starts = np.array([never[k].start for k in range(600)])
    assert (starts.min(0) == 0).all()
    assert (starts.max(0) == (12, 16, 20)).all()
    np.testing.assert_allclose(starts.mean(0), (6, 8, 10), rtol=0.1)


def test_a_case_without_foreground_gives_patches_from_anywhere():
    empty = sampler([case("e", np.zeros((9, 9, 9), np.uint8))], foreground_fraction=1.0)
    assert len({empty[k].start for k in range(30)}) > 4


@pytest.mark.parametrize(("pad", "mode"), [("edge", "edge"), ("reflect", "reflect"), ("zero", "constant")])
def test_small_volumes_are_padded_evenly(pad, mode):
    label = blocks((18, 20, 22))[12:18, :, 15:20]
    small = sampler([case("s", label)], patch=(9, 8, 16), pad=pad)
    for index in range(10):
        patch = small[index]
        inside = small.cases[0].image[0][:, patch.start[1] : patch.start[1] + 8]
        low = [-min(start, 0) for start in patch.start]  # 6 -> 9 voxels, 20 cut to 8, 5 -> 16
        widths = [(low[0], 3 - low[0]), (0, 0), (low[2], 11 - low[2])]
        assert abs(widths[0][0] - widths[0][1]) <= 1
        assert abs(widths[2][0] - widths[2][1]) <= 1
        np.testing.assert_array_equal(patch.image[0], np.pad(inside, widths, mode=mode))
        assert patch.label.shape == (9, 8, 16)


def test_two_dimensions():
    flat = sampler([case("f", blocks()[:, :, 8]), case("g", blocks()[:, :, 9])], patch=(8, 30))
    patch = flat[11]
    assert patch.image.shape == (1, 8, 30)
    assert patch.label.shape == (8, 30)


class Watched(np.memmap):
    """A memory map that notes how much of it was asked for."""

    asked: list[int] = []  # noqa: RUF012

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        Watched.asked.append(found.nbytes)
        return np.asarray(found)

    def __array__(self, *args: Any, **keywords: Any) -> Any:
        raise AssertionError("the whole volume was read")


def test_only_the_box_is_read(tmp_path):
    shape = (2, 200, 200, 200)
    np.memmap(tmp_path / "image", np.float32, "w+", shape=shape).flush()  # 64 MB of hole
    image = np.memmap(tmp_path / "image", np.float32, "r", shape=shape).view(Watched)
    label = np.zeros(shape[1:], np.uint8)
    label[60:80, 60:80, 60:80] = 1
    big = sampler([case("b", label, image)], patch=(16, 16, 16))
    box_bytes = 2 * 16**3 * 4
    Watched.asked.clear()
    tracemalloc.start()
    for index in range(20):
        assert big[index].image.shape == (2, 16, 16, 16)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert Watched.asked == [box_bytes] * 20
    assert peak < 4 * box_bytes


def test_the_patch_is_a_copy_of_its_own():
    one = sampler()
    patch = one[0]
    assert patch.image.flags.owndata
    assert patch.image.flags.writeable


def test_cut_by_hand():
    line = np.arange(5.0)
    assert cut(line, (1,), (3,), "edge").tolist() == [1, 2, 3]
    assert cut(line, (-2,), (9,), "edge").tolist() == [0, 0, 0, 1, 2, 3, 4, 4, 4]
    assert cut(line, (-2,), (9,), "reflect").tolist() == [2, 1, 0, 1, 2, 3, 4, 3, 2]
    assert cut(line, (-2,), (9,), "zero").tolist() == [0, 0, 0, 1, 2, 3, 4, 0, 0]
    assert cut(np.array([7.0]), (-3,), (6,), "reflect").tolist() == [7] * 6


def test_spacing_is_the_median():
    cases = [case(f"c{k}", blocks(), spacing_mm=(1.0, 1.0, z)) for k, z in enumerate((2.0, 2.1, 1.9))]
    assert sampler(cases).spacing_mm == (1.0, 1.0, 2.0)


def test_what_cannot_be_sampled_is_refused():
    with pytest.raises(UserError, match="no cases"):
        PatchSampler([], patch=(8, 8, 8), seed=0)
    with pytest.raises(UserError, match="no probability"):
        sampler(foreground_fraction=1.2)
    with pytest.raises(UserError, match=r"\(8, 8\) has 2 axes, case c0 3"):
        sampler(patch=(8, 8))
    unlabelled = case("u", blocks())
    object.__setattr__(unlabelled, "label", None)
    with pytest.raises(UserError, match="case u has no label"):
        sampler([unlabelled])


def test_an_error_names_the_case():
    broken = case("torn", blocks())
    object.__setattr__(broken, "image", np.zeros((1, 20, 24, 0)))
    with pytest.raises(RuntimeError, match="case torn: patch 2 could not be cut"):
        sampler([broken])[2]


def unlabelled(id: str) -> CachedCase:
    return replace(case(id, blocks()), label=None, foreground={})


def test_unlabelled_cases_give_their_share_of_the_patches_and_change_nothing_of_the_others():
    labelled = [case(f"c{k}", blocks()) for k in range(5)]
    others = [unlabelled(f"u{k}") for k in range(3)]
    mixed = sampler(labelled, unlabelled=others, unlabelled_share=0.25)
    drawn = [mixed[index] for index in range(80)]
    of_labelled = [patch for patch in drawn if patch.case_id.startswith("c")]
    of_others = [patch for patch in drawn if patch.case_id.startswith("u")]
    assert len(of_others) == 20
    assert all(sum(p.case_id[0] == "u" for p in drawn[at : at + 8]) == 2 for at in range(0, 80, 8))
    assert all((patch.label == UNKNOWN).all() for patch in of_others)
    assert all((patch.label != UNKNOWN).all() for patch in of_labelled)
    assert Counter(patch.case_id for patch in of_labelled) == dict.fromkeys([f"c{k}" for k in range(5)], 12)
    assert {patch.case_id for patch in of_others} == {"u0", "u1", "u2"}
    # The labelled cases come in the order in which they come alone.
    alone = sampler(labelled)
    assert [patch.case_id for patch in of_labelled] == [alone.case(index).id for index in range(60)]


def test_patches_of_unlabelled_cases_are_drawn_around_given_structures():
    voxels = np.array([[16, 16, 16]], np.int32)
    around = sampler(
        [case("c", blocks())],
        unlabelled=[unlabelled("u")],
        foreground_fraction=1.0,
        structures={"u": {3: voxels}},
    )
    starts = {around[index].start for index in range(20) if around[index].case_id == "u"}
    assert starts == {(12, 12, 12)}


def test_unlabelled_cases_alone_can_be_drawn_from():
    alone = PatchSampler([], (8, 8, 8), 0, unlabelled=[unlabelled("u0"), unlabelled("u1")])
    assert len(alone) == 2
    assert Counter(alone[index].case_id for index in range(10)) == {"u0": 5, "u1": 5}


def test_an_epoch_lasts_until_every_labelled_case_was_seen():
    labelled = [case(f"c{k}", blocks()) for k in range(5)]
    mixed = sampler(labelled, unlabelled=[unlabelled("u")], patches_per_case=2, unlabelled_share=0.5)
    assert len(mixed) == 20
    with pytest.raises(UserError, match=r"the share of unlabelled cases is 1\.5"):
        sampler(labelled, unlabelled_share=1.5)
