"""Options that would change nothing are refused, by the kind of model that is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from distilseg.commands import export, predict
from distilseg.errors import UserError
from distilseg.teachers.teacher import TeacherOptions
from tests.teachers.nnunet.small import write_model


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"probabilities": True}, "chosen at its export; leave out --probabilities"),
        ({"teacher": TeacherOptions(mirror=True)}, "leave out options of models of others"),
        ({"codes": "codes.json"}, "say how DICOM SEG is written; add --as seg, or leave them out"),
        ({"seg": "labelmap"}, "say how DICOM SEG is written"),
        ({"modality": "MR"}, "one model, with its own modalities and weights"),
    ],
)
def test_of_an_artefact(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    """Before any of its files is opened."""
    (tmp_path / "artefact.json").write_text("")
    with pytest.raises(UserError, match=said):
        predict(tmp_path, tmp_path / "scans", tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"weights": "last"}, "leave out --weights"),
        ({"modality": "MR", "skip_empty": True}, "leave out --modality, --skip-empty"),
        ({"trust": "a.py:f"}, "leave out --trust"),
        ({"device": "cuda"}, "cuda"),
    ],
)
def test_of_a_model_of_others(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    """The device is passed on, and refused where there is none."""
    model = write_model(tmp_path)
    with pytest.raises(UserError, match=said):
        predict(model, tmp_path / "scans", tmp_path / "out", **given)


@pytest.mark.parametrize(
    ("to", "given", "said"),
    [
        ("onnx", {"even_if_slower": True}, "--even-if-slower is for openvino-int8, onnx is asked for"),
        ("onnx", {"window_memory": "100MB"}, "add --windows fitted"),
        ("nnunet", {"windows": "fitted"}, "nnunet has windows of its own; leave out --windows"),
        ("monai-bundle", {"windows": "fitted"}, "monai-bundle has windows of its own"),
    ],
)
def test_of_an_export(tmp_path: Path, to: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        export(tmp_path, to, **given)
