"""The same batches whoever makes them: workers, ranks, a resume; and errors that name their case."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.preparing.cache import CachedCase, sample_foreground
from distilseg.data.preparing.grid import Grid
from distilseg.data.sampling.augmentation import PRESETS, Augmentation
from distilseg.data.sampling.batches import batches
from distilseg.data.sampling.patches import Patch, PatchSampler
from distilseg.errors import UserError
from distilseg.types import Batch

pytestmark = pytest.mark.filterwarnings(
    # Python 3.12 warns whenever a process with threads forks, as torch's loader does.
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)


def cases(n: int = 5) -> list[CachedCase]:
    rng = np.random.default_rng(0)
    made = []
    for index in range(n):
        image = rng.standard_normal((2, 14, 15, 10)).astype(np.float32)
        label = rng.integers(0, 3, (14, 15, 10)).astype(np.uint8)
        grid = Grid(label.shape, (), (0, 1, 2), (False,) * 3, tuple((0, k) for k in label.shape), label.shape)
        made.append(
            CachedCase(f"c{index}", Path(), image, label, sample_foreground(label), grid, (1.0, 1.0, 2.0))
        )
    return made


def made(sampler: PatchSampler | None = None, **changes: Any) -> list[Batch]:
    sampler = sampler or PatchSampler(cases(), patch=(8, 8, 12), seed=11)
    augmentation = changes.pop("augmentation", PRESETS["light"])
    options: dict[str, Any] = {"batch_size": 4, "first_step": 0, "steps": 6, **changes}
    return list(batches(sampler, augmentation, **options))


def assert_same(a: list[Batch], b: list[Batch]) -> None:
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.case_ids == other.case_ids
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.label, other.label)


def test_a_batch_says_what_it_holds():
    sampler = PatchSampler(cases(), patch=(8, 8, 12), seed=11)
    (batch,) = made(sampler, augmentation=Augmentation(), first_step=3, steps=1)
    assert batch.image.shape == (4, 2, 8, 8, 12)
    assert batch.image.dtype == torch.float32
    assert batch.label.shape == (4, 1, 8, 8, 12)
    assert batch.label.dtype == torch.int64
    assert batch.spacing_mm == (1.0, 1.0, 2.0)
    for row in range(4):
        patch = sampler[3 * 4 + row]
        assert batch.case_ids[row] == patch.case_id
        np.testing.assert_array_equal(batch.image[row], patch.image)
        np.testing.assert_array_equal(batch.label[row, 0], patch.label)
    (changed,) = made(sampler, first_step=3, steps=1)
    assert not torch.equal(changed.image, batch.image)


def test_any_number_of_workers_makes_the_same_batches():
    alone = made()
    assert_same(made(workers=1), alone)
    assert_same(made(workers=2), alone)
    assert not torch.equal(alone[0].image, alone[1].image)


def test_two_ranks_share_what_one_would_see():
    one = made()
    shares = [made(rank=rank, world=2, workers=rank) for rank in range(2)]
    for whole, first, second in zip(one, *shares, strict=True):
        assert first.image.shape[0] == 2
        assert whole.case_ids == first.case_ids + second.case_ids
        torch.testing.assert_close(torch.cat([first.image, second.image]), whole.image, rtol=0, atol=1e-6)
        assert torch.equal(torch.cat([first.label, second.label]), whole.label)


def test_a_resume_sees_what_was_left():
    assert_same(made(first_step=4, steps=2), made()[4:])
    assert_same(made(first_step=4, steps=2, workers=1), made()[4:])
    assert made(steps=0) == []


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_chance_is_not_touched(workers):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    made(workers=workers, steps=2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("workers", [0, 1])
def test_leaving_early_leaves_nothing_running(workers):
    before = set(threading.enumerate())  # one of which may end meanwhile
    sampler = PatchSampler(cases(), patch=(8, 8, 12), seed=11)
    endless = batches(sampler, PRESETS["light"], batch_size=2, first_step=0, steps=10**9, workers=workers)
    assert next(endless).image.shape[0] == 2
    endless.close()
    soon = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < soon:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before
    assert not multiprocessing.active_children()


def test_an_uneven_share_is_refused():
    with pytest.raises(UserError, match="a batch of 4 cannot be shared equally by 3 processes"):
        made(world=3)


class Struck(PatchSampler):
    """A sampler whose fifth patch breaks, in the way that `how` says."""

    how = "raise"

    def __getitem__(self, index: int) -> Patch:
        if index == 5 and self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if index == 5:
            raise UserError(f"case {self.case(index).id}: its cache entry is damaged", "delete it")
        return super().__getitem__(index)


class Dying(Struck):
    how = "die"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_as_it_was_raised(workers):
    struck = Struck(cases(), patch=(8, 8, 12), seed=11)
    with pytest.raises(UserError) as caught:
        made(struck, workers=workers)
    assert str(caught.value) == f"case {struck.case(5).id}: its cache entry is damaged; delete it"
    assert caught.value.fix == "delete it"
    started = time.monotonic()
    gc.collect()
    assert time.monotonic() - started < 4  # torch waits 5 s for each worker that was not ended properly
    good = batches(struck, Augmentation(), batch_size=4, first_step=0, steps=2, workers=workers)
    assert next(good).image.shape[0] == 4  # what was ready before is still delivered
    good.close()


def test_a_worker_that_dies_is_no_riddle():
    dying = Dying(cases(), patch=(8, 8, 12), seed=11)
    with pytest.raises(UserError, match="no batch came from the data workers") as caught:
        made(dying, workers=1)
    assert f"busy with case {dying.case(5).id}:" in str(caught.value)
    assert "fewer --workers" in str(caught.value)


def test_workers_without_shared_memory_say_so(monkeypatch):
    def full(tensor):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    sampler, own = PatchSampler(cases(), patch=(8, 8, 12), seed=11), os.getpid()
    share = torch.Tensor.share_memory_
    monkeypatch.setattr(torch.Tensor, "share_memory_", lambda t: share(t) if os.getpid() == own else full(t))
    with pytest.raises(
        UserError, match=r"shared memory .* cannot hold a batch: .*No space left.*--workers 0"
    ):
        made(sampler, workers=1)
