"""Scans that end whoever predicts them: refused after three attempts, all others done, by every engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from distilseg.cli import main

from . import small

GOOD = 6


@pytest.mark.usefixtures("mortal")
def test_poison_is_refused_and_the_others_are_done(
    engine: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scans, out = small.scans(tmp_path / "scans", GOOD, "poison_a", "poison_b"), tmp_path / "out"
    said = tmp_path / "said"
    submitted = small.submitting(engine, f"predict {model} {scans} {out}", said, "--parts", "2")
    assert submitted.wait(300) == 1, said.read_text()
    assert main(["status", str(out), "--json"]) == 1
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["done"], told["running"], told["missing"]) == (GOOD, [], [])
    assert sorted(told["refused"]) == ["poison_a", "poison_b"]
    assert all("3 processes ended" in reason for reason in told["refused"].values())
    assert sorted(path.name for path in out.glob("*.nii.gz")) == [f"scan_00{n}.nii.gz" for n in range(GOOD)]
    assert small.hidden(out) == [".poison_a.nii.gz.claim", ".poison_b.nii.gz.claim"]  # what is known of them
