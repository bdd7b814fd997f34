"""Two folders of label maps: what anybody drew is judged, named or not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg import commands
from distilseg.errors import UserError

from ..data.small_datasets import label, write, write_json


def dice(references: Path, predictions: Path, **options: Any) -> dict[tuple[str, str], float]:
    """(case, structure) -> Dice."""
    rows = commands.evaluate(references, predictions, **options).rows
    return {(row["case"], row["label"]): row["value"] for row in rows if row["metric"] == "dice"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Case a: 1 in both, 2 predicted alone, 3 in the reference alone. Case b: 1 in both and no more."""
    references, predictions = tmp_path / "references", tmp_path / "predictions"
    write(references / "a.nii.gz", label(1, 3))
    write(predictions / "a.nii.gz", label(1, 2))
    for folder in (references, predictions):
        write(folder / "b.nii.gz", label(1))
    return references, predictions


def test_a_value_that_no_reference_shows_scores_zero(folders: tuple[Path, Path]) -> None:
    found = dice(*folders)
    assert found["a", "label 1"] == found["b", "label 1"] == 1
    assert found["a", "label 2"] == found["a", "label 3"] == 0
    assert math.isnan(found["b", "label 2"])  # in neither map: left out of the mean


def test_values_that_a_description_does_not_name_are_judged(folders: tuple[Path, Path]) -> None:
    write_json(folders[0] / "dataset.json", {"labels": {"background": 0, "organ": 1}})
    found = dice(*folders)
    assert (found["a", "organ"], found["a", "label 2"], found["a", "label 3"]) == (1, 0, 0)


def test_chosen_names_leave_out_what_references_hold_but_no_invention(folders: tuple[Path, Path]) -> None:
    found = dice(*folders, labels={1: "organ"})
    assert {structure for _, structure in found} == {"organ", "label 2"}
    assert found["a", "label 2"] == 0


def test_the_value_of_voxels_that_nobody_labelled_is_no_structure(folders: tuple[Path, Path]) -> None:
    write_json(folders[0] / "dataset.json", {"labels": {"background": 0, "organ": 1, "ignore": 3}})
    found = dice(*folders)
    assert {structure for _, structure in found} == {"organ", "label 2"}
    assert math.isnan(found["a", "label 2"])  # predicted where nobody knows alone


def test_slices_are_judged_by_the_same_union(folders: tuple[Path, Path]) -> None:
    rows = commands.evaluate(*folders, by="slice", empty="one").rows
    assert {row["label"] for row in rows} == {"label 1", "label 2", "label 3"}


def test_what_is_no_label_map_is_refused(folders: tuple[Path, Path]) -> None:
    write(folders[1] / "a.nii.gz", label(1).astype(np.int16) - 1)
    with pytest.raises(UserError, match="the value -1; label values start at 0"):
        commands.evaluate(*folders)
    write(folders[1] / "a.nii.gz", np.arange(8 * 7 * 6).reshape(8, 7, 6).astype(np.int16))
    with pytest.raises(UserError, match=r"of .*predictions hold 3\d\d values without a name"):
        commands.evaluate(*folders)


def test_a_table_replaces_neither_a_label_map_nor_a_runs_own(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    before = (folders[0] / "a.nii.gz").read_bytes()
    with pytest.raises(UserError, match=r"a\.nii\.gz is to be a CSV table; name a file that ends in \.csv"):
        commands.evaluate(*folders, out=folders[0] / "a.nii.gz")
    assert (folders[0] / "a.nii.gz").read_bytes() == before
    write_json(tmp_path / "run" / "experiment.json", {})
    with pytest.raises(UserError, match=r"metrics\.csv is a table of the run itself"):
        commands.evaluate(*folders, out=tmp_path / "run" / "metrics.csv")
    assert not (tmp_path / "run" / "metrics.csv").exists()


def test_a_name_that_an_unnamed_value_would_get_is_not_given_twice(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match=r"'label 2' stands twice, for the value 1 and the value 2"):
        commands.evaluate(*folders, labels={1: "label 2"})
