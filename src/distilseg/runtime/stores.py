"""Scans in an object store, label maps into it: s3://, gs:// and whatever else fsspec opens.

    get       a few scans at a time, the next while these are predicted, into a folder that goes
    predict   as from any folder (`pipeline.py`)
    put       each label map whole, and only where there is none yet (on S3 by If-None-Match)

A store has no locks that end with a process, so nothing is claimed in it: of two workers with one case both
compute it and one puts it. Parts (`data.formats.chosen`) keep them from that. Standard library and fsspec,
which brings a store's own package along: `pip install 'distilseg[s3]'`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from ..data.case import Case
from ..data.formats.chosen import ALL, Chosen
from ..data.formats.inputs import cases_among, label_ending
from ..data.scans.scan import ENDINGS, ending
from ..errors import UserError
from ..names import component
from .jobs import PredictSummary
from .pipeline import Segmenter, predict_files

AT_ONCE = 8  # cases
_URL = re.compile(r"([a-z][a-z0-9+.-]+):/+(.+)")  # more than a letter: C:/ is a drive


def url_of(path: Path | str) -> str | None:
    """The address in a store that `path` is, also where pathlib has taken a slash from it; None: a file's."""
    match = _URL.fullmatch(str(path).replace("\\", "/"))
    return f"{match[1]}://{match[2].rstrip('/')}" if match else None


def addresses(inputs: Path | str | Sequence[Path | str], out: Path | str) -> tuple[list[str], str] | None:
    """`inputs` and `out` as addresses in stores; None where all are files. UserError where some are."""
    named = [inputs] if isinstance(inputs, str | Path) else list(inputs)
    urls = [url for one in (*named, out) if (url := url_of(one)) is not None]
    if not urls:
        return None
    if len(urls) <= len(named):
        raise UserError(
            f"{urls[0]} lies in a store, and other scans or the place of the label maps do not",
            "name addresses for both, or folders for both",
        )
    return urls[:-1], urls[-1]


@dataclass(frozen=True)
class Place:
    """A folder, or an object, in a store."""

    url: str
    fs: Any = field(repr=False, compare=False)  # an fsspec.AbstractFileSystem
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """Raises `UserError` where nothing that is installed opens such an address."""
        try:
            import fsspec

            fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"{url} cannot be opened: {' '.join(str(error).split())}",
                "pip install 'distilseg[s3]' for s3://, or fsspec and the package of that store",
            ) from None
        return cls(url, fs, str(path).rstrip("/"))

    def files(self) -> list[str]:
        """The objects in it, not in folders of it; or itself. Hidden ones are passed over."""
        with self._reached():
            if self.fs.isfile(self.path):
                return [self.path]
            found = self.fs.ls(self.path, detail=True) if self.fs.isdir(self.path) else []
        files = sorted(str(one["name"]) for one in found if one["type"] == "file")
        return [file for file in files if not PurePosixPath(file).name.startswith(".")]

    def holds(self, name: str) -> bool:
        """Whether an object of that name is in it."""
        with self._reached():
            return bool(self.fs.exists(f"{self.path}/{name}"))

    def get(self, file: str, local: Path) -> None:
        """Copies one of its files."""
        with self._reached():
            self.fs.get_file(file, str(local))

    def put(self, local: Path, name: str, *, overwrite: bool = False) -> bool:
        """Puts a file whole; False where there is one already, which stays."""
        with self._reached():
            try:
                mode = "overwrite" if overwrite else "create"
                self.fs.put_file(str(local), f"{self.path}/{name}", mode=mode)
            except FileExistsError:
                return False
            except OSError as error:
                if "PreconditionFailed" in f"{error} {error.__cause__}":
                    return False
                raise
        return True

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # each store has errors of its own, some of them no OSError
            told = " ".join(str(error).split())[:300]
            raise UserError(
                f"{self.url} cannot be reached ({type(error).__name__}: {told})",
                "is the address right, and have you the right to it?",
            ) from error


def objects_of(inputs: Sequence[str]) -> dict[str, Place]:
    """The scans at these addresses, or in the folders there, each with where it is got from."""
    places = [Place.of(url) for url in inputs]
    found = {file: place for place in places for file in place.files() if ending(file)}
    if not found:
        raise UserError(f"no scan in {', '.join(inputs)}", f"looked for files ending in {', '.join(ENDINGS)}")
    return found


def label_map_of(case: Case) -> str:
    """What its label map is called."""
    first = next(iter(case.images.values())).path
    return component(case.id, label_ending(first), kind="case")


def predict_in_stores(
    predictor: Segmenter,
    inputs: Sequence[str],
    out: str,
    *,
    overwrite: bool = False,
    chosen: Chosen = ALL,
    progress: Callable[[int, int], object] | None = None,
) -> PredictSummary:
    """Puts the label map of every scan in `inputs` into `out`, addresses of scans or of folders of scans.

    Options and outcome are those of `predict_files`; the paths in the summary are the objects' names. Raises
    `UserError` where a store cannot be reached.
    """
    to, whose = Place.of(out), objects_of(inputs)
    if any(str(PurePosixPath(file).parent) == to.path for file in whose):
        raise UserError(f"the label maps would lie among the scans, in {out}", "name another folder")
    found = cases_among([Path(file) for file in whose], predictor.plan.modalities, chosen)
    summary = PredictSummary(refused=found.refused, told=found.told)
    names = {case.id: label_map_of(case) for case in found.cases}
    todo = []
    for case in found.cases:
        if not overwrite and to.holds(names[case.id]):
            summary.skipped[case.id] = Path(names[case.id])
        else:
            todo.append(case)
    with tempfile.TemporaryDirectory(prefix="distilseg-") as scratch:
        done = 0
        for number, (cases, files) in enumerate(_got_ahead(todo, whose, Path(scratch))):
            made = predict_files(predictor, files, Path(scratch, f"made_{number}"))
            summary.refused.update(made.refused)
            for id, label_map in made.written.items():
                is_first = to.put(label_map, names[id], overwrite=overwrite)
                (summary.written if is_first else summary.skipped)[id] = Path(names[id])
            for file in (*files, *made.written.values()):
                file.unlink()
            done += len(cases)
            if progress is not None:
                progress(done, len(todo))
    return summary


def _got_ahead(
    todo: Sequence[Case], whose: dict[str, Place], scratch: Path
) -> Iterator[tuple[Sequence[Case], list[Path]]]:
    """A few cases at a time with their scans as files in `scratch`; the next are got meanwhile."""
    chunks = [todo[start : start + AT_ONCE] for start in range(0, len(todo), AT_ONCE)]
    with ThreadPoolExecutor(1, thread_name_prefix="getting") as getting:
        coming: list[Future[list[Path]]] = []
        for number, chunk in enumerate(chunks):
            now = coming.pop() if coming else getting.submit(_got, chunk, whose, scratch / str(number))
            files = now.result()
            if number + 1 < len(chunks):
                after = chunks[number + 1], whose, scratch / str(number + 1)
                coming.append(getting.submit(_got, *after))
            yield chunk, files


def _got(cases: Sequence[Case], whose: dict[str, Place], folder: Path) -> list[Path]:
    """The scans of these cases as files in `folder`, under their own names."""
    folder.mkdir()
    files = dict.fromkeys(str(source.path) for case in cases for source in case.images.values())
    for file in files:
        whose[file].get(file, folder / PurePosixPath(file).name)
    return [folder / PurePosixPath(file).name for file in files]
