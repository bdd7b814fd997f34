"""Which cases are predicted, where each label map goes, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ..data.case import Case, Source
from ..data.formats.inputs import label_ending
from ..data.scans.scan import ending
from ..errors import UserError
from ..names import component
from .seg_files import SEG_ENDING
from .times import StageTimes


@dataclass(frozen=True)
class Job:
    """One case to predict: its images by modality, and where its label map goes."""

    case: str
    images: Mapping[str, Source]
    out: Path


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


@dataclass(frozen=True)
class PredictSummary:
    """What became of every case."""

    written: dict[str, Path] = field(default_factory=dict)
    skipped: dict[str, Path] = field(default_factory=dict)  # there already, kept
    held: dict[str, Path] = field(default_factory=dict)  # another process is predicting it
    refused: dict[str, str] = field(default_factory=dict)  # why, in one line
    told: str = ""  # of a part or a list: "part 3 of 100: 40 of 4,000 cases"
    ignored: tuple[Path, ...] = ()  # files among the scans that are none
    notes: dict[str, str] = field(default_factory=dict)  # what of a case was left out, and why
    times: StageTimes = field(default_factory=StageTimes)


def place(
    cases: Sequence[Case],
    out: Path,
    refused: Mapping[str, str],
    as_: str = "",
    others: Sequence[Case] = (),
) -> list[Job]:
    """Where each label map goes, never over a scan; names are cases' own, as `find_cases` gives them.

    Its file ends as the scan's, or in `as_`. `others`: cases that other parts predict; of these no file is
    asked for.
    """
    is_seg = out.name.lower().endswith(SEG_ENDING)
    if (ending(out) or is_seg) and not out.is_dir() and is_seg != (as_ == SEG_ENDING):
        raise UserError(
            f"{out} is asked for as {'NIfTI' if is_seg else 'DICOM SEG'}, and its name says otherwise",
            f"name a folder, {'add --as seg' if is_seg else f'or a file that ends in {SEG_ENDING}'}",
        )
    one_file = bool(ending(out) or is_seg) and not out.is_dir()
    if one_file and (of := len(cases) + len(refused) + len(others)) > 1:
        raise UserError(f"{of} cases do not fit into the one file {out}", "name a folder")
    theirs = {source.path.resolve(): "scan" for case in cases for source in case.images.values()}
    sources = [source for case in cases for source in case.images.values()]
    studies = {source.path.resolve() for source in sources if source.path.is_dir()}
    theirs |= {case.label.resolve(): "label map" for case in cases if case.label is not None}
    theirs |= _entries(others)
    studies |= {
        path.resolve() for path in {s.path for case in others for s in case.images.values() if s.series}
    }
    jobs: list[Job] = []
    for case in cases:
        first = next(iter(case.images.values())).path
        place = out if one_file else out / component(case.id, as_ or label_ending(first), kind="case")
        if what := theirs.get(place.resolve()):
            raise UserError(
                f"the label map of {case.id} would replace the {what} {place}", "name another folder"
            )
        if any(place.resolve().is_relative_to(study) for study in studies):
            raise UserError(
                f"the label map of {case.id} would lie among the DICOM that it is of, as {place}",
                "name another folder",
            )
        jobs.append(Job(case.id, case.images, place))
    return jobs


def _entries(others: Sequence[Case]) -> dict[Path, str]:
    """Where the files of these cases lie: only their folders are looked at, which are few."""
    within = cache(Path.resolve)
    files = [(source.path, "scan") for case in others for source in case.images.values()]
    files += [(case.label, "label map") for case in others if case.label is not None]
    return {within(path.parent) / path.name: what for path, what in files}
