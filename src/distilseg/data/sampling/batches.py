"""Batches of augmented patches for the training loop, made ahead while the network works.

Sample j of the global batch at `step` has the index step * batch_size + j; everything about it follows from
that index, so a run that resumes at step n sees what an uninterrupted run sees there, and neither workers
nor ranks change a voxel. Rank r of w processes gets the r-th of w equal shares of each batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from ...errors import UserError
from ...types import Batch
from ..planning.views import in_plane, slice_axis
from .answers import AnswerMap
from .augment import Parameters, apply, apply_geometry, draw
from .augmentation import Augmentation
from .maps import CaseMap
from .patches import Patch, PatchSampler

_LONGEST_S = 600  # that a batch of a worker is waited for

Maps = Mapping[str, Mapping[str, CaseMap | AnswerMap]]  # case id -> name -> map


def batches(
    sampler: PatchSampler,
    augmentation: Augmentation,
    *,
    batch_size: int,
    first_step: int,
    steps: int,
    rank: int = 0,
    world: int = 1,
    workers: int = 0,
    maps: Maps | None = None,
) -> Iterator[Batch]:
    """The batches of steps `first_step` ... `first_step + steps - 1`, on the CPU.

    `batch_size` counts the samples of all `world` ranks together. `workers` are processes; with 0 a thread
    prepares one batch ahead. `maps` of each case are cut and moved with its image. An error names the case
    whose patch it struck.
    """
    if batch_size % world:
        raise UserError(
            f"a batch of {batch_size} cannot be shared equally by {world} processes",
            f"choose a multiple of {world} as the batch size",
        )
    share = batch_size // world
    first = first_step * batch_size + rank * share
    starts = range(first, first + steps * batch_size, batch_size)
    at = torch.full((max(workers, 1),), -1)
    if workers:
        _share(at)
    maker = _Maker(sampler, augmentation, share, at, maps or {})
    return _by_processes(maker, starts, workers) if workers else _by_thread(maker, starts)


@dataclass(frozen=True, eq=False)
class _Maker(TorchDataset["Batch | Exception"]):
    """The batch of the samples from `start` on; an error is returned, to be raised where it can be read."""

    sampler: PatchSampler
    augmentation: Augmentation
    size: int
    at: Tensor  # [workers], shared between processes: the sample each is busy with, or -1
    maps: Maps

    def __getitem__(self, start: int) -> Batch | Exception:
        try:
            batch = self.make(start)
            # Here, where an error can be told: a worker that finds no room later keeps everybody waiting.
            _share(batch.image, batch.label, *batch.maps.values())
            return batch
        except Exception as error:
            return error

    def make(self, start: int) -> Batch:
        sampler, indices = self.sampler, range(start, start + self.size)
        worker, patches = get_worker_info(), []
        for index in indices:
            self.at[worker.id if worker else 0] = index
            patches.append(sampler[index])
        axis = slice_axis(sampler.patch)
        spacing_mm = in_plane(sampler.spacing_mm, axis)
        image = _flat(torch.from_numpy(np.stack([patch.image for patch in patches])), axis)
        label = torch.from_numpy(np.stack([patch.label for patch in patches])[:, None].astype(np.int64))
        label = _flat(label, axis)
        parameters = draw(
            self.augmentation,
            sampler.seed,
            indices,
            len(spacing_mm),
            modalities=image.shape[1],
            spacing_mm=spacing_mm,
        )
        image, label = apply(image, label, parameters)
        maps = self._moved(patches, parameters)
        self.at[worker.id if worker else 0] = -1
        return Batch(image, label, spacing_mm, tuple(patch.case_id for patch in patches), maps=maps)

    def _moved(self, patches: Sequence[Patch], parameters: Parameters) -> dict[str, Tensor]:
        """The maps of these patches, moved as their images were; in half precision, as they are kept."""
        if not self.maps:
            return {}
        moved, axis = {}, slice_axis(self.sampler.patch)
        for name, first in self.maps[patches[0].case_id].items():
            cut = np.stack(
                [self.maps[p.case_id][name].cut(p.start, self.sampler.patch, p.shape) for p in patches]
            )
            coarser_mm = tuple(s * r for s, r in zip(self.sampler.spacing_mm, first.stride, strict=True))
            here = replace(parameters, spacing_mm=in_plane(coarser_mm, axis))
            moved[name] = apply_geometry(_flat(torch.from_numpy(cut), axis), here, first.interpolation)
        return moved

    def busy_with(self) -> str:
        return " or ".join(self.sampler.case(index).id for index in self.at.tolist() if index >= 0) or "none"


def _share(*tensors: Tensor) -> None:
    """Moves them to memory that processes share. Raises `UserError` where it is too small."""
    try:
        for tensor in tensors:
            tensor.share_memory_()  # type: ignore[no-untyped-call]
    except (RuntimeError, OSError) as error:
        told = " ".join(str(error).split())
        raise UserError(
            f"the shared memory of the data workers (/dev/shm) cannot hold a batch: {told}",
            "give --workers 0, or make it larger (docker run --shm-size)",
        ) from None


def _flat(maps: Tensor, axis: int | None) -> Tensor:
    """[B C I J 1] -> [B C I J], where the patch is a slice."""
    return maps if axis is None else maps.squeeze(2 + axis)


def _by_thread(maker: _Maker, starts: range) -> Iterator[Batch]:
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        ahead: deque[Future[Batch]] = deque()
        for start in starts:
            ahead.append(pool.submit(maker.make, start))
            if len(ahead) == 2:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def _by_processes(maker: _Maker, starts: range, workers: int) -> Iterator[Batch]:
    # Its own generator: the global one must not notice how many workers there are.
    generator = torch.Generator()
    loader = DataLoader(
        maker, sampler=starts, batch_size=None, num_workers=workers, generator=generator, timeout=_LONGEST_S
    )
    made = iter(loader)
    batch: Batch | Exception | None = None
    try:
        for _ in starts:
            try:
                batch = next(made)
            except RuntimeError as error:
                told = " ".join(str(error).split())
                raise UserError(
                    f"no batch came from the data workers, busy with case {maker.busy_with()}: {told}",
                    "are memory and shared memory (/dev/shm) large enough? use fewer --workers, or 0",
                ) from error
            if isinstance(batch, Exception):
                raise batch
            yield batch
    finally:
        # A raised error refers to this frame. Unless the frame lets go, the loader ends in some later garbage
        # collection, which waits five seconds for every worker.
        del batch, made
