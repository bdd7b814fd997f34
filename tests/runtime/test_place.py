"""Where label maps go: never over a scan, never among the DICOM that they are of, by the name that fits."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilseg.data.case import Case, Source
from distilseg.errors import UserError
from distilseg.runtime.jobs import SEG_ENDING, place


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(b"")
    return folder


def case_of(study: Path) -> Case:
    return Case("study", {"MR": Source(study)}, None)


@pytest.mark.parametrize(
    ("out", "as_"),
    [("study/1.dcm", SEG_ENDING), ("study", SEG_ENDING), ("study", ""), ("study/below", SEG_ENDING)],
)
def test_nothing_is_written_among_the_slices(study: Path, out: str, as_: str) -> None:
    with pytest.raises(UserError, match=r"would lie among the DICOM that it is of, .*; name another folder"):
        place([case_of(study)], study.parent / out, {}, as_)


def test_beside_them_it_is(study: Path) -> None:
    (seg,) = place([case_of(study)], study.parent / "out", {}, SEG_ENDING)
    assert seg.out == study.parent / "out" / "study.dcm"
    (one,) = place([case_of(study)], study.parent / "ONE.DCM", {}, SEG_ENDING)
    assert one.out == study.parent / "ONE.DCM"


@pytest.mark.parametrize(
    ("name", "as_", "said"),
    [
        (
            "a.nii.gz",
            SEG_ENDING,
            "as DICOM SEG, .* name a folder, or a file that ends in .dcm",
        ),
        (
            "a.dcm",
            "",
            "as NIfTI, and its name says otherwise; name a folder, add --as seg",
        ),
    ],
)
def test_a_name_that_says_otherwise_is_refused(study: Path, name: str, as_: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        place([case_of(study)], study.parent / name, {}, as_)
