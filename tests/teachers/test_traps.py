"""What a teacher would answer to wrongly is told, orientations and intensities; what is sound is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.teachers.saw import read_saw
from distilseg.teachers.traps import Seen, traps

from .small import Numbers, classes

STORED = {"orientation": "as stored"}


class Told(Numbers):
    """A teacher of CT that says this of itself."""

    def __init__(self, says: Mapping[str, Any]) -> None:
        super().__init__(np.zeros((2, 1, 1, 1), np.float32), classes("background", "liver"))
        object.__setattr__(self, "says", says)

    def summary(self) -> dict[str, Any]:
        return dict(self.says)  # type: ignore[attr-defined]


def scan(*values: float, turned: bool = False) -> Scan:
    array = np.array(values, np.float32).reshape(-1, 1, 1)
    affine = np.diag([-1.0 if turned else 1.0, 1.0, 1.0, 1.0])
    return Scan(array, Geometry(array.shape, affine), Path("scan.nii.gz"))


def seen(**scans: Scan) -> dict[str, Seen]:
    return {id: Seen.of({"CT": one}) for id, one in scans.items()}


def test_different_orientations_are_a_trap_for_who_ignores_them() -> None:
    mixed = seen(a=scan(-1000, 1000), b=scan(-1000, 1000), c=scan(-1000, 1000, turned=True))
    (told,) = traps(Told(STORED), mixed)
    assert "(2 RAS, 1 LAS)" in told
    assert "--teacher-orientation, such as RAS" in told
    assert traps(Told({"orientation": "RAS"}), mixed) == []
    assert traps(Told(STORED), {id: mixed[id] for id in ("a", "b")}) == []


def test_scans_that_are_not_in_hounsfield_units_are_told() -> None:
    cases = seen(
        sound=scan(-1024, 40, 900),
        offset=scan(0, 1064, 1924),
        scaled=scan(-300, 0, 1),
        holes=scan(-1024, np.nan, 900),
    )
    offset, scaled = traps(Told({"intensities": {"CT": [-17.0, 201.0]}}), cases)
    assert offset.startswith("1 of 4 CT scans hold no value below -200 (offset)")
    assert "had -17 to 201 in training" in offset
    assert scaled.startswith("1 of 4 CT scans hold no value above 100 (scaled)")


def test_only_ct_has_a_scale() -> None:
    assert traps(Told({}), {"a": Seen.of({"MR": scan(0, 1)})}) == []
    assert Seen.of_plain(Seen.of({"CT": scan(-5, 7)}).plain()) == Seen("RAS", {"CT": (-5.0, 7.0)})


@pytest.mark.parametrize(
    ("name", "text", "cases"),
    [
        ("saw.txt", "case_1\n\n# others\ncase_2.nii.gz  # the last\ncase_1\n", ("case_1", "case_2")),
        ("saw.json", '["case_1", "case_2"]', ("case_1", "case_2")),
        ("splits_final.json", '[{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]', ("a", "b")),
        ("split.json", '{"train": ["a"], "validation": ["b"], "test": ["c"]}', ("a", "b")),
    ],
)
def test_what_a_teacher_saw_is_read(tmp_path: Path, name: str, text: str, cases: tuple[str, ...]) -> None:
    (tmp_path / name).write_text(text)
    assert read_saw(tmp_path / name) == cases


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("none.txt", None, "cannot be read"),
        ("empty.txt", "# nothing\n", "names no case"),
        ("broken.json", "[", "not valid JSON"),
        ("numbers.json", "[3]", "holds 3, which names no case"),
    ],
)
def test_a_file_that_names_no_case_is_refused(tmp_path: Path, name: str, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=told):
        read_saw(tmp_path / name)
