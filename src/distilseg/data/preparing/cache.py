"""Preprocessed cases on disk, computed once and memory-mapped.

One folder per case, named by a digest of everything its voxels depend on: the contents of its files, the
part of the plan that changes voxels, and the version of `preprocess`. A name therefore never goes stale,
and runs may share a cache: an entry appears whole or not at all, whoever finishes first.

    <digest>/image.npy       [M *S] float32
             label.npy       [*S] uint8 class indices (absent for an unlabelled case)
             foreground.npy  [N 3] int32 voxel indices, grouped by class: at most 10 000 of each
             case.json       the grid and how many foreground voxels each class has
    digests.json             path -> size, time and digest of files, so that none is hashed twice
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError
from ...files import folder_written_whole, write_json
from ...hardware import usable_cores
from ...json_files import read_object
from ...types import UNKNOWN
from ...user_cache import caching_in, kept_if_possible, user_cache
from ..case import Case, Dataset
from ..planning.plan import Plan
from ..scans.detached import files_of
from ..scans.reading import read_label, read_scans
from .grid import Grid
from .preprocess import VERSION, preprocess
from .room import Room

FOREGROUND_VOXELS = 10_000  # kept per class: enough to start patches anywhere in it
# What a killed process left half-written is swept after a day, not at once: its writer may live on another
# machine, whose locks are not seen here.
DEAD_AFTER_S = 24 * 3600

Digests = dict[str, tuple[int, int, str]]


@dataclass(frozen=True, eq=False)
class CachedCase:
    """One preprocessed case; its arrays are read-only maps of files and cost no memory until touched."""

    id: str
    folder: Path
    image: NDArray[np.float32]  # [M *S]
    label: NDArray[np.uint8] | None  # [*S] class indices
    foreground: dict[int, NDArray[np.int32]]  # class index -> [N 3] some of its voxels; present classes only
    grid: Grid
    spacing_mm: tuple[float, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        return open_case, (self.id, self.folder)  # a worker process maps the files itself

    @property
    def disk_bytes(self) -> int:
        """Size of the entry's files."""
        return sum(file.stat().st_size for file in self.folder.iterdir())


def cache_cases(
    dataset: Dataset,
    ids: Iterable[str],
    plan: Plan,
    *,
    folder: Path | None = None,
    progress: Callable[[int, int], object] | None = None,
    workers: int | None = None,
) -> dict[str, CachedCase]:
    """Preprocesses the cases `ids` that `folder` (default: the user's cache) does not hold yet; opens all.

    `progress(done, total)` is called after each case. Threads, because reading, resampling and hashing leave
    Python's lock; `workers` of them, by default one per core this process may use. Raises `UserError`, naming
    the case, for what the user can mend, and where the disk will not hold them all.
    """
    folder = default_folder() if folder is None else folder
    cases = {id: dataset.case(id) for id in ids}
    with caching_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    known = _read_digests(folder)
    digests: Digests = {}
    done: dict[str, CachedCase] = {}
    room = Room(folder, len(cases))
    with ThreadPoolExecutor(workers or usable_cores()) as pool:
        waiting = {
            pool.submit(_entry, case, plan, folder, known, digests, room): id for id, case in cases.items()
        }
        try:
            for finished in as_completed(waiting):
                # Mapped here and not in the threads: NumPy reads a header with Python's own parser, in which
                # CPython 3.11 may fail (SystemError) where two threads use it at once.
                id = waiting[finished]
                done[id] = _opened(cases[id], plan, finished.result())
                if progress is not None:
                    progress(len(done), len(cases))
        finally:
            pool.shutdown(cancel_futures=True)
            if any(known.get(path) != entry for path, entry in digests.items()):
                # Read again: another run may have added its files meanwhile.
                with kept_if_possible("which files were read", folder):
                    write_json(folder / "digests.json", {**_read_digests(folder), **digests}, sweep=False)
    return {id: done[id] for id in cases}


def open_case(id: str, folder: Path) -> CachedCase:
    """Maps the entry at `folder`. Raises `UserError` if it is damaged, as after a power cut."""
    try:
        about = read_object(folder / "case.json")
        image = np.load(folder / "image.npy", mmap_mode="r")
        label = np.load(folder / "label.npy", mmap_mode="r") if about["labelled"] else None
        foreground, start = {}, 0
        if about["foreground"]:
            voxels = np.load(folder / "foreground.npy", mmap_mode="r")
            for index, count in about["foreground"].items():
                foreground[int(index)] = voxels[start : start + count]
                start += count
        grid = Grid.from_dict(about["grid"])
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _Damaged(
            f"case {id}: its cache entry {folder} is damaged ({error})", "delete that folder and start again"
        ) from error
    return CachedCase(id, folder, image, label, foreground, grid, grid.spacing_mm)


def default_folder() -> Path:
    """The user's cache folder for preprocessed cases."""
    return user_cache() / "cases"


def sample_foreground(label: NDArray[np.uint8]) -> dict[int, NDArray[np.int32]]:
    """Class index -> [N 3] voxel indices, ascending; at most 10 000 a class, the same ones every time.

    Neither of the background nor of voxels whose label is unknown.
    """
    flat = np.flatnonzero((label != 0) & (label != UNKNOWN))
    classes = label.reshape(-1)[flat]
    flat = flat[np.argsort(classes, kind="stable")]
    voxels, start = {}, 0
    for index, count in enumerate(np.bincount(classes).tolist()):
        if count:
            chosen = flat[start : start + count]
            if count > FOREGROUND_VOXELS:
                chosen = np.sort(
                    np.random.default_rng(index).choice(chosen, FOREGROUND_VOXELS, replace=False)
                )
            voxels[index] = np.stack(np.unravel_index(chosen, label.shape), axis=1).astype(np.int32)
        start += count
    return voxels


def _entry(case: Case, plan: Plan, folder: Path, known: Digests, digests: Digests, room: Room) -> Path:
    """Where the case's entry lies, made if it is not there."""
    with _naming(case):
        entry = folder / _key(case, plan, known, digests)
        if entry.is_dir():
            room.found()
            return entry
        _make(case, plan, entry)
    room.made(entry)
    return entry


@contextlib.contextmanager
def _naming(case: Case) -> Iterator[None]:
    """Errors that name the case."""
    try:
        yield
    except UserError as error:
        if f"case {case.id}" in error.cause:
            raise
        raise UserError(f"case {case.id}: {error.cause}", error.fix) from error
    except OSError as error:
        raise UserError(f"case {case.id}: {error}", "check the file and the space on the disk") from error
    except Exception as error:
        raise RuntimeError(f"case {case.id}: preprocessing failed: {error!r}") from error


class _Damaged(UserError):
    """An entry that cannot be opened."""


def _opened(case: Case, plan: Plan, entry: Path) -> CachedCase:
    """The entry, made anew where it is damaged."""
    try:
        return open_case(case.id, entry)
    except _Damaged:
        shutil.rmtree(entry)
    with _naming(case):
        _make(case, plan, entry)
    return open_case(case.id, entry)


def _make(case: Case, plan: Plan, entry: Path) -> None:
    label = None if case.label is None else read_label(case)
    wanted = {name: case.images[name] for name in plan.modalities if name in case.images}
    done = preprocess(read_scans(wanted), label, plan, case=case.id)
    with caching_in(entry.parent), folder_written_whole(entry, sweep=False) as aside:
        np.save(aside / "image.npy", done.image)
        foreground: dict[int, NDArray[np.int32]] = {}
        if done.label is not None:
            np.save(aside / "label.npy", done.label)
            foreground = sample_foreground(done.label)
        if foreground:
            np.save(aside / "foreground.npy", np.concatenate(list(foreground.values())))
        about = {
            "case": case.id,
            "labelled": done.label is not None,
            "foreground": {index: len(voxels) for index, voxels in foreground.items()},
            "grid": done.grid.to_dict(),
        }
        write_json(aside / "case.json", about)


def _key(case: Case, plan: Plan, known: Digests, digests: Digests) -> str:
    """Names the entry by what its voxels depend on, and by nothing else (not by the case's name or place)."""
    images: list[Any] = []
    for name, source in ((name, case.images[name]) for name in plan.modalities if name in case.images):
        images.append([name, source.channel, _digest(source.path, known, digests, source.series)])
        if source.series:
            images.append(["series", source.series, source.straight])
        if source.onto is not None:
            images.append(["onto", _digest(source.onto, known, digests)])
        if source.box_mm:
            images.append(["box", source.box_mm])
        if source.slice is not None:
            images.append(["slice", source.slice])
    label: Any = None if case.label is None else _digest(case.label, known, digests)
    if case.painted is not None:
        label = [[_digest(path, known, digests), values] for path, values in case.painted.values]
    if case.merged:
        label = [label, sorted(case.merged.items())]
    recipe = json.dumps([VERSION, images, label, plan.preprocessing()], sort_keys=True)
    return hashlib.blake2b(recipe.encode(), digest_size=20).hexdigest()


def _digest(path: Path, known: Digests, digests: Digests, series: str = "") -> str:
    """Digest of an image: of all the files that it consists of."""
    return "".join(_file_digest(file, known, digests) for file in files_of(path, series))


def _file_digest(path: Path, known: Digests, digests: Digests) -> str:
    name, state = str(path.absolute()), path.stat()
    size, changed_ns, digest = known.get(name, (-1, -1, ""))
    if (size, changed_ns) != (state.st_size, state.st_mtime_ns):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()
    digests[name] = (state.st_size, state.st_mtime_ns, digest)
    return digest


def _read_digests(folder: Path) -> Digests:
    try:
        entries = read_object(folder / "digests.json")
        return {
            path: (int(size), int(time_ns), str(digest)) for path, (size, time_ns, digest) in entries.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # it only saves time


def _sweep(folder: Path) -> None:
    for left in folder.glob(".writing-*"):
        with contextlib.suppress(OSError):  # another run may sweep it at this moment
            if time.time() - left.stat().st_mtime > DEAD_AFTER_S:
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink()
