"""Logits block by block are those of the whole volume, and take the memory of its cross-section."""

from __future__ import annotations

import gc
import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg import scratch
from distilseg.data.preparing import preprocess
from distilseg.data.scans import limits
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.functional.windows import axis_windows, window_steps
from distilseg.runtime import blocks, label_export
from distilseg.runtime.blocks import Block, Volume, whole
from distilseg.runtime.handing_on import handed_on
from distilseg.runtime.inferers import Inferer, at_once, logits_of_mean, make_inferer, to_average
from distilseg.runtime.label_export import LabelMap, export, export_labels, export_regions, likeliest, painted
from distilseg.runtime.predictor import ArtefactPredictor
from distilseg.runtime.times import StageTimes

from ..test_views import plan

several = settings(max_examples=40, deadline=None)
sizes = st.tuples(*[st.integers(1, 22)] * 3)
patches = st.tuples(*[st.integers(1, 8)] * 3)
overlaps = st.sampled_from([0, 0.25, 0.5, 0.8])
averages = st.sampled_from(
    [("logits", "softmax"), ("probabilities", "softmax"), ("probabilities", "sigmoid")]
)


def network(windows: Volume) -> Volume:
    """Four classes that depend on where a voxel lies in its window."""
    ramp = np.cumsum(windows[:, 0], -1)
    heads = [windows[:, 0], ramp, np.flip(ramp, 1) * np.float32(0.3), -windows[:, 0] + np.float32(0.1)]
    return np.stack(heads, 1).astype(np.float32)


def image_of(shape: tuple[int, ...], seed: int = 0) -> Volume:
    return np.random.default_rng(seed).normal(size=(1, *shape)).astype(np.float32)


def all_at_once(
    image: Volume, patch: tuple[int, ...], overlap: float, average: str, activation: str
) -> Volume:
    """Every window added to a map of the whole volume, in the order of the axes."""
    steps = window_steps(patch, overlap, None)
    axes = [axis_windows(*axis, "gaussian") for axis in zip(image.shape[1:], patch, steps, strict=True)]
    total = np.zeros((4, *image.shape[1:]), np.float32)
    for place in itertools.product(*axes):
        box = (slice(None), *(window.voxels for window in place))
        weight = np.float32(1) * place[0].weight[:, None, None] * place[1].weight[:, None] * place[2].weight
        total[box] += to_average(network(image[box][None]), average, activation)[0] * weight
    return logits_of_mean(total, average, activation)


def held_to_whole(inferer: Inferer, image: Volume, expected: Volume) -> None:
    """Each voxel is done once, and each block begins a voxel below its box, where there is one."""
    seen, last = np.zeros(image.shape[1:], int), []
    for block in inferer.blocks(image, network):
        seen[block.box] += 1
        last.append(block.last)
        box = tuple(slice(max(0, side.start - 1), side.stop) for side in block.box)
        np.testing.assert_array_equal(block.logits, expected[(slice(None), *box)])
    assert (seen == 1).all()
    assert last == [False] * (len(last) - 1) + [True]


@several
@given(shape=sizes, patch=patches, overlap=overlaps, average=averages, batch=st.integers(1, 3))
def test_windows_in_blocks_are_those_of_the_whole_bit_for_bit(
    shape: tuple[int, ...], patch: tuple[int, ...], overlap: float, average: tuple[str, str], batch: int
) -> None:
    shape = tuple(map(max, shape, [size + 1 for size in patch]))
    how = {"overlap": overlap, "batch": batch, "average": average[0], "activation": average[1]}
    inferer = make_inferer({"kind": "sliding_window", "patch": patch, **how})
    image = image_of(shape)
    expected = all_at_once(image, patch, overlap, *average)
    np.testing.assert_array_equal(inferer(image, network), expected)
    held_to_whole(inferer, image, expected)


@several
@given(shape=sizes, patch=patches, overlap=overlaps)
def test_of_a_large_volume_the_cheapest_order_gives_the_same_but_for_rounding(
    shape: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> None:
    inferer = make_inferer({"kind": "sliding_window", "patch": patch, "overlap": overlap})
    image = image_of(shape)
    natural = inferer(image, network)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "_LARGE", 0)
        patched.setattr(blocks, "_MUCH_LESS", 1.0)
        found = inferer(image, network)
        held_to_whole(inferer, image, found)
    np.testing.assert_allclose(found, natural, rtol=1e-4, atol=1e-5)


@several
@given(
    shape=sizes, kind=st.sampled_from(["slices", "slabs"]), axis=st.integers(0, 2), batch=st.integers(1, 4)
)
def test_planes_in_blocks(shape: tuple[int, ...], kind: str, axis: int, batch: int) -> None:
    patch = [6, 6] if kind == "slices" else [3 if n == axis else 8 for n in range(3)]
    inferer = make_inferer({"kind": kind, "patch": patch, "axis": axis, "batch": batch})

    def in_plane(windows: Volume) -> Volume:
        return network(windows[..., None])[..., 0] if windows.ndim == 4 else network(windows)

    image = image_of(shape)
    expected, begun = inferer(image, in_plane), 0
    for block in inferer.blocks(image, in_plane):
        assert block.box[axis].start == begun
        begun = block.box[axis].stop
        before = [slice(None)] * 3
        before[axis] = slice(max(0, block.box[axis].start - 1), begun)
        np.testing.assert_array_equal(block.logits, expected[(slice(None), *before)])
    assert block.last
    assert begun == shape[axis]


def cut_up(logits: Volume, cuts: list[list[int]]) -> Iterator[Block]:
    """Logits [K *S] as blocks between `cuts` along each axis."""
    sides = [list(itertools.starmap(slice, itertools.pairwise(axis))) for axis in cuts]
    for box in itertools.product(*sides):
        there = tuple(slice(max(0, side.start - 1), side.stop) for side in box)
        yield Block(box, logits[(slice(None), *there)], box == tuple(side[-1] for side in sides))


@several
@given(
    shape=st.tuples(*[st.integers(1, 14)] * 3), regions=st.booleans(), seed=st.integers(0, 99), data=st.data()
)
def test_labels_of_blocks_are_those_of_the_whole(
    shape: tuple[int, ...], regions: bool, seed: int, data: st.DataObject
) -> None:
    """Also where voxels of the scan lie between two blocks, on finer grids and on coarser ones."""
    fine = data.draw(st.tuples(*[st.integers(1, 30)] * 3))
    cuts = [sorted({0, size, *data.draw(st.lists(st.integers(0, size), max_size=4))}) for size in shape]
    logits = np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)
    decide: label_export.Decide = likeliest
    expected = export_labels(logits, fine)
    if regions:
        expected = export_regions(logits, fine, (2, 1, 3))

        def decide(coarse: Volume, parts: Any) -> Any:
            return painted((2, 1, 3), coarse, parts)

    found = np.full(fine, 99, np.uint8)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(label_export, "_BLOCK", 5)
        for block in cut_up(logits, cuts):
            export(block, shape, fine, decide, found.__setitem__, threads=1)
    np.testing.assert_array_equal(found, expected)


def test_whole_undoes_blocks() -> None:
    logits = np.random.default_rng(0).normal(size=(2, 7, 5, 6)).astype(np.float32)
    pieces = cut_up(logits, [[0, 3, 4, 7], [0, 5], [0, 1, 6]])
    np.testing.assert_array_equal(whole(pieces, logits.shape[1:]), logits)


def predictor(
    of: Callable[[Volume], Volume] = network, classes: int = 4, patch: tuple[int, ...] = (8, 8, 8)
) -> ArtefactPredictor:
    labels = {k: f"structure {k}" for k in range(classes)}
    described = {"kind": "sliding_window", "patch": patch, "overlap": 0.25, "batch": 1}
    return ArtefactPredictor(of, plan(labels), make_inferer(described), threads=1)


def scan(shape: tuple[int, ...], spacing_mm: float = 1.0) -> dict[str, Scan]:
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return {"MR": Scan(array, Geometry(shape, np.diag([*[spacing_mm] * 3, 1.0])), Path("scan.nii"))}


@pytest.mark.parametrize("spacing_mm", [1.0, 0.6, 1.4])
def test_a_case_predicted_in_blocks_has_the_labels_of_all_logits(spacing_mm: float) -> None:
    one, seen = predictor(), scan((21, 25, 19), spacing_mm)
    prepared = one.prepare(seen, case="a")
    expected = one.labels(one.logits(prepared.image), prepared.grid)
    assert len(np.unique(expected)) == 4
    np.testing.assert_array_equal(one.segment(seen, case="a"), expected)


def test_labels_have_the_values_of_the_plan_and_background_outside() -> None:
    of = plan({0: "background", 7: "a", 300: "b", 301: "c"})
    one = replace(predictor(), plan=of.model_copy(update={"crop_voxels": (12, 12, 12)}))
    labels = one.segment(scan((20, 12, 12)), case="a")
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) <= {0, 7, 300, 301}
    assert not labels[:4].any()
    assert labels[4:16].any()


def peak_of(one: ArtefactPredictor, shape: tuple[int, ...]) -> int:
    """Bytes that the blocks of an image of this shape take at most, used in the same thread."""
    prepared = one.prepare(scan(shape), case="a")
    gc.collect()
    tracemalloc.start()
    for block in one.blocks(prepared.image):
        assert block.logits.any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_length_of_a_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first nor the last axis long; and as much is taken as was told before."""
    monkeypatch.setattr(blocks, "_LARGE", 0)
    classes = 40

    def many(windows: Volume) -> Volume:
        return np.repeat(windows, classes, 1)

    one = predictor(many, classes)
    short, *long = (peak_of(one, shape) for shape in [(30, 30, 60), (30, 30, 240), (240, 30, 30)])
    assert max(long) < 1.1 * short
    assert max(long) < 4 * classes * 30 * 30 * 240 / 4
    prepared = one.prepare(scan((30, 30, 240)), case="a")
    told = one.needed_bytes(prepared.grid) - LabelMap.bytes_of(prepared.grid, one.plan)
    assert 0.8 * long[0] < told < 1.25 * long[0]


@several
@given(shape=sizes, patch=patches, overlap=overlaps)
def test_layers_in_a_scratch_file_give_the_same_bit_for_bit(
    shape: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> None:
    inferer = make_inferer({"kind": "sliding_window", "patch": patch, "overlap": overlap})
    image = image_of(shape)
    in_memory = inferer(image, network)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocks, "LAYER", 0)
        np.testing.assert_array_equal(inferer(image, network), in_memory)


def test_large_layers_are_told_and_taken_as_memory_only_as_far_as_they_lie_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inferer = make_inferer({"kind": "sliding_window", "patch": [8, 8, 8], "overlap": 0.25})
    shape, classes = (40, 40, 40), 40
    told = inferer.held_bytes(shape, 1, classes)
    largest = 4 * classes * 40 * 40 * 3  # the layer of the outermost axis: an overlap of 2, a voxel below
    monkeypatch.setattr(blocks, "LAYER", 1000 * classes)
    peak = peak_of(predictor(lambda windows: np.repeat(windows, classes, 1), classes), shape)
    assert inferer.held_bytes(shape, 1, classes) < told - 0.9 * largest
    assert peak < told - 0.9 * largest


def test_a_disk_without_room_for_layers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "LAYER", 0)
    monkeypatch.setattr(scratch, "SPARE_BYTES", 2**62)
    inferer = make_inferer({"kind": "sliding_window", "patch": [8, 8, 8]})
    with pytest.raises(UserError, match=r"the sums between windows, of 4 classes, take .* of disk"):
        inferer(image_of((20, 20, 20)), network)


def test_many_classes_are_asked_for_in_fewer_windows_at_once() -> None:
    assert at_once(64**3, 5, 4) == 4
    assert at_once(64**3, 105, 4) == 1
    assert at_once(512**3, 105, 4) == 1
    described = {"kind": "sliding_window", "patch": [64, 64, 64], "batch": 4}
    assert make_inferer(described, classes=60).options.batch == 2


def test_what_will_never_fit_is_refused_before_anything_is_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*anything: Any) -> Any:
        raise AssertionError("it was begun")

    one, seen = predictor(never), scan((40, 30, 20))
    needed = one.needed_bytes(one.prepare(seen, case="a").grid)
    monkeypatch.setattr(limits, "memory_bytes", lambda: needed - 1)
    monkeypatch.setattr(limits, "most_voxels", lambda: 10**9)
    monkeypatch.setattr(preprocess, "resample", never)
    with pytest.raises(
        UserError, match=r"case a: to predict its 40 x 30 x 20 voxels .* in 4 classes takes"
    ) as told:
        one.prepare(seen, case="a")
    assert (
        f"takes {needed / 1e9:.2f} GB of memory, {(needed - 1) / 1e9:.2f} GB are all that" in told.value.cause
    )
    assert told.value.fix == "crop the scan, or export the student with smaller windows"


def test_what_does_not_fit_now_is_refused_before_the_network_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def counting(windows: Volume) -> Volume:
        asked.append(len(windows))
        return network(windows)

    one = predictor(counting)
    prepared = one.prepare(scan((40, 30, 20)), case="a")
    monkeypatch.setattr(limits, "free_bytes", lambda: one.needed_bytes(prepared.grid) - 1)
    with pytest.raises(UserError, match=r"are free; crop the scan, or .* or close other programs"):
        one.ask(prepared, case="a")
    assert not asked
    monkeypatch.setattr(limits, "free_bytes", lambda: one.needed_bytes(prepared.grid))
    one.ask(prepared, case="a")()
    assert asked


def test_one_block_is_used_beside_the_network_and_the_last_one_later() -> None:
    logits = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)
    used: list[int] = []
    finish = handed_on(
        cut_up(logits, [[0, 1, 2, 3], [0, 2], [0, 2]]),
        lambda block: used.append(block.box[0].start),
        StageTimes(),
    )
    assert used == [0, 1]
    finish()
    assert used == [0, 1, 2]


def test_what_fails_beside_the_network_is_told() -> None:
    def fails(block: Block) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        handed_on(
            cut_up(np.zeros((1, 3, 2, 2), np.float32), [[0, 1, 2, 3], [0, 2], [0, 2]]), fails, StageTimes()
        )


def test_a_lent_answer_is_not_used_after_the_next() -> None:
    """A case of a single window is exported while the network works on the next one."""
    memory = np.zeros((1, 4, 8, 8, 8), np.float32)

    def lending(windows: Volume) -> Volume:
        memory[...] = network(windows)
        return memory

    one = predictor(lending)
    first, second = (one.prepare(scan((8, 8, 8), mm), case="a") for mm in (1.0, 0.9))
    expected = predictor().ask(first, case="a")()
    finish = one.ask(first, case="a")
    one.ask(second, case="b")
    np.testing.assert_array_equal(finish(), expected)


def test_numbers_that_are_none_are_refused_in_any_block() -> None:
    def broken(windows: Volume) -> Volume:
        answer = network(windows)
        answer[:, 2][windows[:, 0] == 5] = np.nan
        return answer

    seen = scan((30, 12, 12))
    seen["MR"].array[29, 11, 11] = 5
    with pytest.raises(UserError, match="case a: the network answers with NaN or infinite logits"):
        predictor(broken).segment(seen, case="a")
