"""A model that somebody changed works or is refused: no other exception, no wait without an end."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilseg.commands import predict
from distilseg.errors import UserError

from ..test_predict import plan, save_plan
from . import models


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.make(tmp_path_factory.mktemp("models"))


@pytest.mark.parametrize("kind", models.FILES)
def test_a_changed_model_works_or_is_refused(kind: str, folder: Path) -> None:
    assert models.attempt(folder / kind, folder / "scans", folder / f"sound-{kind}") == "read"
    ends = list(models.sweep(folder, kind, tries=15))
    assert [end for end in ends if end[2] not in ("read", "refused")] == []
    assert "refused" in {end for _, _, end in ends}


@pytest.mark.parametrize("kind", ["onnx", "torch"])
def test_a_network_of_another_number_of_classes_is_refused(kind: str, folder: Path) -> None:
    three = plan().model_copy(update={"labels": {0: "background", 1: "blob", 2: "rim"}})
    before = (folder / kind / "plan.json").read_bytes()
    save_plan(folder / kind / "plan.json", three)
    models.sign(folder / kind)
    out = folder / f"out-{kind}"
    try:
        summary = predict(folder / kind, folder / "scans", out, device="cpu")
        told = "".join(summary.refused.values())
    except UserError as error:
        told = str(error)
    finally:
        (folder / kind / "plan.json").write_bytes(before)
        models.sign(folder / kind)
    assert not list(out.glob("*.nii.gz"))
    assert ("tells 2 classes apart, its plan names 3" in told) or ("names 1 and 3" in told)
