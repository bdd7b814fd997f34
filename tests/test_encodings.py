"""Signs that a terminal cannot show are shown as ?, by every command, in its help and in its errors too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .data.small_datasets import nnunet

ODD = "tumeur μ ▁▇ 肝"


def said(encoding: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    known = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    return subprocess.run(
        [sys.executable, "-m", "distilseg", *words], env=known, capture_output=True, check=False
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_cannot_be_shown_ends_nothing(encoding: str, tmp_path: Path) -> None:
    labels = {"background": 0, ODD: 1, "organ": 2}
    data = str(nnunet(tmp_path / "data", labels=labels))
    for words in (["--help"], ["recipes"], ["check", "--help"], ["check", data], ["plan", data]):
        done = said(encoding, *words)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), (words, done.stderr)
        done.stdout.decode(encoding)
    refused = said(encoding, "check", str(tmp_path / f"no {ODD}"))
    assert refused.returncode == 2
    assert b"error:" in refused.stderr
    assert b"tumeur" in refused.stderr
