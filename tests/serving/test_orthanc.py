"""A real PACS: Orthanc, in a network namespace of its own; studies go in and SEG come back in every way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from pydicom import dcmread

from ..data.scans.dicom.writing import save
from ..runtime.test_service import artefact as artefact
from ..runtime.test_service import run as run
from .in_orthanc import WAYS, plugin
from .test_serve import assert_answers
from .world import study

ROOT = Path(__file__).parents[2]


def alone() -> list[str]:
    """The words that start a program in a network namespace with nothing in it but itself."""
    if shutil.which("Orthanc") is None or plugin() is None:
        pytest.skip("Orthanc with its DICOMweb is not installed (apt install orthanc orthanc-dicomweb)")
    for words in (["unshare", "-n"], ["unshare", "-Urn"]):
        line = [*words, "sh", "-c", "ip link set lo up"]
        if shutil.which("unshare") and subprocess.run(line, capture_output=True).returncode == 0:
            return [*words, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    pytest.skip("this machine gives nobody a network namespace of his own")


@pytest.mark.slow
def test_every_way_in_and_back(artefact: Path, tmp_path: Path) -> None:
    words, out = alone(), tmp_path / "out"
    out.mkdir()
    images = {way: study(seed, StudyDate=f"{date.today():%Y%m%d}") for seed, way in enumerate(WAYS)}
    for way in WAYS:
        save(images[way], tmp_path / "studies" / way)
    line = [*words, sys.executable, "-m", "tests.serving.in_orthanc"]
    done = subprocess.run(
        [*line, str(artefact), str(tmp_path / "studies"), str(out)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr
    for way in WAYS:
        assert_answers(dcmread(out / f"{way}.dcm"), images[way], artefact, tmp_path / way)
        assert "Planted" not in (out / f"{way}.log").read_text()
    assert "does not accept SEG of the kind labelmap" in (out / "labelmap.log").read_text()
