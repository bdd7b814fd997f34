"""Answers as files: the teacher that needs no code at all, for any model that wrote its predictions down.

    <case>.nii.gz   a label map on the scan's grid; any ending that scans have
    <case>.npz      `probabilities` [K z y x] as nnU-Net writes them, z y x being the scan's K J I; preferred
    dataset.json, card.json    beside them: `labels` names the classes or regions (see `naming.py`)

Without names classes are called by their value, such as "label_1". A probability becomes the logit log p (of
regions log p / (1 - p)); a label is taken for certain, as the probability 1 would be: with `SURE` = 1e-7 left
for the others, so that logits stay finite. Voxels of the value "ignore" have equal logits: nothing is known.
"""

from __future__ import annotations

import difflib
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..data.formats.common import by_stem, image_files
from ..data.preparing.preprocess import same_grid
from ..data.scans.reading import read_scan
from ..data.scans.scan import Scan
from ..errors import UserError
from ..json_files import read_object
from .certain import TableLogits
from .identity import digest_of, file_digest, only, summary
from .naming import Named, Naming, naming_of
from .restoring import SURE, label_values, logits_of, probabilities_of
from .showing import any_scan
from .teacher import Answer, Head, Labels, Placement, Provenance, TeacherOptions

KEY = "probabilities"
DESCRIPTIONS = ("card.json", "dataset.json")  # the first that is there
_MOST_VALUES = 256  # a label map with more distinct values is taken for a scan
_SUM_TOLERANCE = 1e-2  # float16 probabilities of many classes
_AGAIN = "predict the case again, or leave its answer out"


@dataclass(frozen=True, eq=False)
class FilesTeacher(Named):
    """Answers that lie in a folder, one file a case."""

    folder: Path
    cases: Mapping[str, Path]
    naming: Naming
    about: Mapping[str, Any]  # what the description beside them says
    modalities: tuple[str, ...] = ()  # it is shown nothing: scans give their grid alone

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @cached_property
    def provenance(self) -> Provenance:
        """What the description beside the answers says, and a digest of every file."""
        about = self.about
        return Provenance(
            kind="answers in files",
            files={path.name: file_digest(path) for path in self.cases.values()},
            network=str(about.get("network") or ""),
            trainer=str(about.get("trainer") or ""),
            dataset=str(about.get("name") or about.get("dataset_name") or ""),
            licence=str(about.get("licence") or about.get("license") or ""),
            reference=str(about.get("reference") or ""),
        )

    @cached_property
    def digest(self) -> str:
        """Of every file, and of what its values mean."""
        heads = [[head.name, list(head.values)] for head in self.heads]
        return digest_of(
            "files", dict(self.provenance.files), heads, self.activation, self.naming.ignore, SURE
        )

    def summary(self) -> dict[str, Any]:
        """What it is, in plain values."""
        soft = sum(path.suffix.lower() == ".npz" for path in self.cases.values())
        return summary(self, cases=len(self.cases), with_probabilities=soft)

    def require(self, cases: Iterable[str]) -> None:
        """Raises `UserError`, naming them, where cases have no answer."""
        asked = list(cases)
        missing = [case for case in asked if case not in self.cases]
        if len(missing) == 1:
            close = difflib.get_close_matches(missing[0], self.cases, n=1)
            guess = f"did you mean {close[0]}? " if close else ""
            raise UserError(
                f"{self.folder} has no answer for case {missing[0]}",
                f"{guess}add {missing[0]}.nii.gz or .npz, or leave the case out",
            )
        if missing:
            raise UserError(
                f"{self.folder} has no answers for {len(missing)} of {len(asked)} cases: {_some(missing)}",
                f"predict them too, or leave them out; it has {_some(self.cases)}",
            )

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Its logits [K I J K] on the grid of `scans`, of which any one is enough.

        Of a label map they are made where they are looked at (`TableLogits`).
        """
        self.require([case])
        like, path = any_scan(scans, case=case), self.cases[case]
        if path.suffix.lower() == ".npz":
            logits = logits_of(self._soft(path, like, case), self.activation)
        else:
            logits = self._hard(path, like, case)
        return Answer(logits, _as_stored(like.geometry.shape), self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """The likeliest class, or the painted regions, [I J K]."""
        logits: Any = answer.logits
        if isinstance(logits, TableLogits):
            table, index = logits.table, logits.index
            placement = _as_stored((table.shape[1], 1, 1))  # as if each value were a voxel of its own
            by_value = probabilities_of(replace(answer, logits=table[..., None, None], placement=placement))
            found = label_values(by_value, self.heads, self.naming.paints).ravel()[index]
            return cast(Labels, found)
        return label_values(self.probabilities(answer, scans), self.heads, self.naming.paints)

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        """As they were read, [K I J K], but for what is certain."""
        return probabilities_of(answer)

    def _soft(self, path: Path, like: Scan, case: str) -> NDArray[np.float32]:
        expected = (len(self.heads), *like.geometry.shape[::-1])
        if (shape := _stored_shape(path)) != expected:
            raise UserError(
                f"case {case}: {path.name} has probabilities of shape {list(shape)}, its scan and the"
                f" {len(self.heads)} classes ask for {list(expected)} (classes, then z y x)",
                "was it predicted for another scan, or resampled? " + _AGAIN,
            )
        p = _stored(path)
        if not np.isfinite(p).all() or p.min() < 0 or p.max() > 1 + _SUM_TOLERANCE:
            raise UserError(
                f"case {case}: {path.name} holds values that are no probabilities (outside 0 to 1, or NaN)",
                "are they logits? write probabilities",
            )
        if self.activation == "softmax" and np.abs(p.sum(0) - 1).max() > _SUM_TOLERANCE:
            raise UserError(
                f"case {case}: the probabilities in {path.name} do not sum to 1",
                'if they are of regions that overlap, name those in "labels" of a dataset.json beside it',
            )
        return p.transpose(0, 3, 2, 1)

    def _hard(self, path: Path, like: Scan, case: str) -> NDArray[np.float32]:
        scan = read_scan(path)
        same_grid({"scan": like, "answer": scan}, case)
        values = [int(value) for value in _label_values(scan)]
        known = {value for head in self.heads for value in head.values} | {0, self.naming.ignore}
        if strange := [value for value in values if value not in known]:
            raise UserError(
                f"case {case}: {path.name} holds the label {strange[0]}, the teacher's are"
                f" {', '.join(str(value) for value in sorted(v for v in known if v is not None))}",
                "name it in the dataset.json beside it, or predict the case again",
            )
        holds_KV = np.array([[float(value in head.values) for value in values] for head in self.heads])
        table_KV = logits_of(holds_KV.astype(np.float32), self.activation)
        table_KV[:, [value == self.naming.ignore for value in values]] = 0
        index = np.searchsorted(values, scan.array).astype(np.min_scalar_type(len(values)))
        # Whoever reads an answer slices its logits, or turns them: that they can.
        return cast(NDArray[np.float32], TableLogits(table_KV, index))


def _as_stored(shape: tuple[int, ...]) -> Placement:
    """The grid of a scan of `shape` itself."""
    whole = tuple((0, n) for n in shape)
    return Placement(shape, (0, 1, 2), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), shape, whole)


def _some(cases: Iterable[str], most: int = 5) -> str:
    names = list(cases)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def recognises(path: Path) -> bool:
    """Whether `path` is a folder with label maps, or files of probabilities, right in it.

    A folder of weights is none: nnU-Net draws each fold's progress beside them.
    """
    if not path.is_dir() or any(path.glob("*.pth")) or any(path.glob("fold_*/*.pth")):
        return False
    return bool(image_files(path) or _probability_files(path))


def open_as_teacher(path: Path, options: TeacherOptions) -> FilesTeacher:
    """The answers in the folder `path`; the classes are known from here on.

    Raises `UserError` where no file is an answer, or names are missing and values cannot be classes.
    """
    only(options, "answers in files", ())
    cases = by_stem(image_files(path))
    soft = {file.stem: file for file in _probability_files(path)}
    cases |= soft
    description = next((path / name for name in DESCRIPTIONS if (path / name).is_file()), None)
    about = {} if description is None else read_object(description)
    if description is not None and ("labels" in about or "regions" in about):
        naming = naming_of(about, description)
    elif soft:
        naming = _of_probabilities(next(iter(soft.values())))
    else:
        naming = _of_label_maps(path, cases)
    return FilesTeacher(path, cases, naming, about)


def _of_probabilities(path: Path) -> Naming:
    """Classes if they sum to 1, else regions."""
    p = _stored(path)
    if len(p) > 1 and np.abs(p.sum(0) - 1).max() <= _SUM_TOLERANCE:
        names = ["background", *(f"label_{k}" for k in range(1, len(p)))]
        return Naming(tuple(Head(name, (k,)) for k, name in enumerate(names)), "softmax")
    values = range(1, len(p) + 1)
    return Naming(tuple(Head(f"region_{k}", (k,)) for k in values), "sigmoid", tuple(values))


def _of_label_maps(folder: Path, cases: Mapping[str, Path]) -> Naming:
    if all(re.search(r"_0000$", case) for case in cases):
        raise UserError(
            f"{folder} holds {_some(path.name for path in cases.values())}, which is how nnU-Net names scans",
            "give the folder of the answers, not that of the scans",
        )
    found = sorted({0}.union(*(map(int, _label_values(read_scan(path))) for path in cases.values())))
    if len(found) == 1:
        raise UserError(f"the label maps in {folder} hold nothing but 0", "give a folder of answers")
    heads = [Head("background" if value == 0 else f"label_{value}", (value,)) for value in found]
    return Naming(tuple(heads), "softmax")


def _label_values(scan: Scan) -> NDArray[Any]:
    values = np.unique(scan.array)
    if not np.isfinite(values).all() or values.min() < 0 or (values != np.floor(values)).any():
        raise UserError(
            f"{scan.path} is no label map: it holds values below 0, or that are not whole",
            "give the folder of the answers, not that of the scans",
        )
    if len(values) > _MOST_VALUES:
        raise UserError(
            f"{scan.path} is no label map: it holds {len(values)} different values",
            "give the folder of the answers, not that of the scans",
        )
    return values


def _probability_files(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".npz" and not p.name.startswith("."))
    return [path for path in found if _holds_probabilities(path)]


def _holds_probabilities(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as packed:
            return f"{KEY}.npy" in packed.namelist()
    except (OSError, zipfile.BadZipFile):
        return True  # half a download: said so when it is read


def _stored_shape(path: Path) -> tuple[int, ...]:
    """The shape that the file declares: nothing is unpacked."""
    return _opened(path)[0]


def _stored(path: Path) -> NDArray[np.float32]:
    return _opened(path, read=True)[1]


def _opened(path: Path, *, read: bool = False) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    nothing = np.empty(0, np.float32)
    try:
        with zipfile.ZipFile(path) as packed, packed.open(f"{KEY}.npy") as member:
            version = np.lib.format.read_magic(member)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else _header_2
            shape, _, dtype = header(member)
        if dtype.kind != "f" or len(shape) != 4 or not shape[0]:
            raise UserError(
                f"{path} holds probabilities of type {dtype} and shape {list(shape)}",
                "[classes z y x] in floating point were expected",
            )
        if not read:
            return shape, nothing
        with np.load(path, allow_pickle=False) as stored:
            return shape, stored[KEY].astype(np.float32, copy=False)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} cannot be read as probabilities ({error})", _AGAIN) from None


def _header_2(member: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    return np.lib.format.read_array_header_2_0(member)
