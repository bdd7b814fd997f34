"""A prediction's process: what it becomes is told, however it ends, and it outlives no service."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from distilseg.errors import UserError
from distilseg.serving import predict_process, predicting
from distilseg.serving.predicting import Outcome, Predictions

ROOT = Path(__file__).parents[2]
OUT = "/spool/1.2/answer.dcm"


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "PROCESS", "tests.serving.endless")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))


def test_one_that_takes_too_long_is_ended(endless: None, tmp_path: Path) -> None:
    begun = Predictions(tmp_path, limit_s=0.3).begin(tmp_path, tmp_path / "out.dcm")
    assert begun.outcome() is None
    time.sleep(0.4)
    assert begun.outcome() == Outcome("crashed", "it took longer than 0.005 minutes")
    assert begun._process.returncode is not None


def test_it_ends_with_whoever_asked(endless: None, tmp_path: Path) -> None:
    begun = Predictions(tmp_path).begin(tmp_path, tmp_path / "out.dcm")
    assert begun._process.stdin is not None
    begun._process.stdin.close()  # as the system does when its process is killed
    assert begun._process.wait(60) == 1
    begun.stop()


def test_an_artefact_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be used: there is no artefact"):
        Predictions(tmp_path / "student.zip").check()


@pytest.mark.parametrize(
    ("refused", "told"),
    [
        ("case 1.2: {images}: number=3 leans; resample it", "number=3 leans; resample it"),
        ("case 1.2: {out} cannot be written (full)", "the answer cannot be written (full)"),
        ("case 1.2: {images}/7.dcm cannot be read", "7.dcm cannot be read"),
    ],
)
@pytest.mark.parametrize("raises", [True, False])
def test_a_reason_does_not_say_where_the_service_kept_the_study(
    refused: str, told: str, raises: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(tmp_path / "images")

    def predict_files(*given: Any, **named: Any) -> Any:
        if raises:
            raise UserError(refused.format(images=place, out=OUT))
        return SimpleNamespace(written={}, refused={"images": refused.format(images=place, out=OUT)})

    assert answered(place, predict_files, monkeypatch) == {"refused": told}


class Full(SimpleNamespace):
    """A pipeline that meets a full disk, in one of the two ways in which it tells that."""

    def predict_files(self, *given: Any, **named: Any) -> Any:
        if self.raises:
            try:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise UserError("out cannot be written") from error
        told = f"no SEG can be made of it ({os.strerror(errno.ENOSPC)})"
        return SimpleNamespace(written={}, refused={"images": told})


@pytest.mark.parametrize("raises", [True, False])
def test_a_full_disk_is_no_fault_of_the_study(
    raises: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = answered(str(tmp_path), Full(raises=raises).predict_files, monkeypatch)
    assert list(told) == ["waits"]


def answered(place: str, predict_files: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What becomes of the images in `place` where files are predicted so, by no network."""
    for name in ("open_artefact", "load_shipped", "seg_writer"):
        monkeypatch.setattr(predict_process, name, lambda *given, **named: SimpleNamespace(plan=None))
    monkeypatch.setattr(predict_process, "predict_files", predict_files)
    return predict_process.answer(place, place, OUT, "binary", None, [], "refuse", 0, "auto")
