"""The prototype file: read back as written, refused where it does not fit, and no word of a patient in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.prototypes import PrototypeFile, load_prototypes, match_classes, save_prototypes
from distilseg.errors import UserError

CLASSES = ("background", "liver", "spleen", "aorta")


def made(**changes: Any) -> PrototypeFile:
    fields: dict[str, Any] = {
        "feature": "logits",
        "prototypes": {
            "background": (5.5, 0.25, 0.0, -1.0),
            "liver": (0.0, 6.0, 1.0, 2.0),
            "spleen": None,
            "aorta": (1.0, 2.0, 3.0, 1 / 3),
        },
        "slices": dict(zip(CLASSES, (9, 5, 0, 4), strict=True)),
        "voxels": dict(zip(CLASSES, (900, 50, 0, 40), strict=True)),
        "reduce": "slice_mean",
        "softmax": False,
        "across": "axial",
        "slice_range": {"by": "organs", "organs": ["liver"], "from": 0.0, "to": 1.0},
        "dataset": "Phantoms",
        "cases": 3,
        "modalities": ("CT",),
        "preprocessing": {"spacing_mm": [1.5, 1.5, 2.0]},
        "network": {"name": "unet", "in_channels": 1, "classes": 4, "patch": [16, 16, 16], "options": {}},
        "weights": "abc",
        "made_by": "0.1",
    }
    return PrototypeFile(**{**fields, **changes})


def test_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "prototypes.json"
    save_prototypes(path, made())
    found = load_prototypes(path)
    assert found == made()
    assert found.classes == CLASSES
    assert found.channels == 4
    assert found.valid_K.tolist() == [True, True, False, True]
    assert found.values_KC[3].tolist() == [1.0, 2.0, 3.0, 1 / 3]
    assert '"liver": [0.0, 6.0, 1.0, 2.0]' in path.read_text()  # a class is a line
    assert [file.name for file in path.parent.iterdir()] == ["prototypes.json"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2}, "version: Input should be 1"),
        ({"prototypes": {"background": [1.0], "liver": [1.0, 2.0]}}, r"have \[1, 2\] channels"),
        ({"prototypes": dict.fromkeys(CLASSES)}, "have no channels"),
        ({"prototypes": {c: [1.0, 2.0] for c in CLASSES}}, "logits of 4 classes have 2 channels"),
        ({"slices": {"liver": 3}}, "slices are counted for other classes"),
        ({"surplus": 1}, "surplus: Extra inputs"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({**made().model_dump(mode="json"), **changes}))
    with pytest.raises(UserError, match=match):
        load_prototypes(path)


def test_no_file_half_a_file_and_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(UserError, match="there is no prototype file"):
        load_prototypes(path)
    save_prototypes(path, made())
    path.write_text(path.read_text()[:300])
    with pytest.raises(UserError, match="is not valid JSON"):
        load_prototypes(path)
    path.write_text(json.dumps({**made().model_dump(mode="json"), "cases": float("nan")}))
    with pytest.raises(UserError, match="is no prototype file: cases"):
        load_prototypes(path)


def test_other_classes_are_refused_with_both_lists() -> None:
    with pytest.raises(
        UserError,
        match="of the classes background, liver, spleen, aorta; the student's are background, liver, kidney",
    ):
        match_classes(made(), ("background", "liver", "kidney"))


def test_the_same_names_in_another_order_are_put_in_order() -> None:
    found = match_classes(made(), ("background", "aorta", "spleen", "liver"))
    order = [0, 3, 2, 1]
    np.testing.assert_array_equal(found.values_KC, made().values_KC[np.ix_(order, order)])
    assert found.valid_K.tolist() == [True, True, False, True]
    assert found.classes == found.channels == (0, 1, 2, 3)


def test_a_map_picks_rows_and_columns() -> None:
    """The student's classes 1 and 3 are the prototypes' aorta and liver; its kidney takes no part."""
    student = ("none", "vessel", "kidney", "Liver")
    found = match_classes(made(), student, {"vessel": "aorta", "Liver": "liver"})
    assert found.classes == found.channels == (0, 1, 3)
    assert found.values_KC.tolist() == [[5.5, -1.0, 0.25], [1.0, 1 / 3, 2.0], [0.0, 2.0, 6.0]]
    feature = made(feature="decoder.0", prototypes=dict.fromkeys(CLASSES, (1.0, 2.0)))
    found = match_classes(feature, student, {"vessel": "aorta"})
    assert found.values_KC.shape == (2, 2)
    assert found.channels is None


def test_an_impossible_map_is_refused() -> None:
    student = ("background", "liver", "kidney")
    with pytest.raises(UserError, match=r"unknown class of the student in class_map 'Liver'; did you mean"):
        match_classes(made(), student, {"Liver": "liver"})
    with pytest.raises(UserError, match="unknown class of the prototypes in class_map 'kidney'"):
        match_classes(made(), student, {"kidney": "kidney"})
    with pytest.raises(UserError, match=r"the same prototype \(.*, liver = spleen, kidney = spleen\)"):
        match_classes(made(), student, {"liver": "spleen", "kidney": "spleen"})
