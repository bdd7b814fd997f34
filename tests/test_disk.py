"""What the system refuses is one line, whoever was writing; and nothing half-written gets its name."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from distilseg.claims import claim
from distilseg.cli import main
from distilseg.disk import reason, refusal
from distilseg.errors import UserError
from distilseg.files import folder_written_whole, write_text, written_whole

resource = pytest.importorskip("resource")

WRITERS = {
    "python": "write_text(path, 'x' * 200_000)",
    "numpy": "with written_whole(path) as aside: np.savez(aside, a=np.random.rand(50_000))",
    "weights": "save_weights(path, build(spec), spec)",
    "torch": "with written_whole(path) as aside, aside.open('wb') as f: torch.save(torch.rand(50_000), f)",
    "nrrd": "write_array(path.with_suffix('.nrrd'), noise, like)",
    "nifti": "write_array(path.with_suffix('.nii.gz'), noise, like)",
}
SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from distilseg.data.scans.reading import write_array
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.files import write_text, written_whole
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.checkpoint import save_weights
path = Path(sys.argv[1]) / "out.npz"
spec = NetworkSpec("dynunet", 1, 2, (16, 16, 16), {"filters": [16, 32, 32]})
noise = np.random.default_rng(0).integers(0, 255, (60, 60, 60), np.uint8)
like = Scan(noise, Geometry(noise.shape, np.eye(4)), path, None)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
try:
    WRITE
except UserError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_may_not_grow_is_one_line_and_leaves_nothing(writer: str, tmp_path: Path) -> None:
    code = SCRIPT.replace("WRITE", WRITERS[writer])
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith(str(tmp_path / "out.")), done.stdout
    assert len(done.stdout.splitlines()) == 1
    if writer != "nrrd":  # whose library does not tell why
        assert "File too large; a limit on the size of files is reached" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EDQUOT, "over"), errno.EDQUOT),
        (OSError(errno.EMFILE, "many"), errno.EMFILE),
        (Exception("Error while serializing: I/O error: gone (os error 30)"), errno.EROFS),
        (RuntimeError("PNGImageIO: Reason: No space left on device"), errno.ENOSPC),
        (ValueError("a shape that does not fit"), None),
    ],
)
def test_the_reason_is_found_in_whatever_words(error: Exception, number: int | None) -> None:
    assert reason(error) == number


def test_a_cause_counts() -> None:
    outer = RuntimeError("unexpected pos 704 vs 598")
    outer.__context__ = OSError(errno.ENOSPC, "full")
    assert str(refusal(outer, "a.pt")) == (
        "a.pt: No space left on device; free space there, or name a folder on another disk"
    )


def test_causes_that_form_a_circle_end() -> None:
    """As where an error is raised from one that was met while it was handled."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert reason(one) is None


def _nothing(aside: Path) -> None:
    aside.write_bytes(b"")


@pytest.mark.parametrize("how", ["file", "claim"])
def test_an_empty_file_is_no_success(how: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nrrd"
    mine = claim(path)
    assert mine is not None
    opened: Callable[[], object] = mine.written if how == "claim" else lambda: written_whole(path)
    with pytest.raises(UserError, match=r"a\.nrrd: nothing was written"), opened() as aside:  # type: ignore[attr-defined]
        _nothing(aside)
    mine.release()
    assert list(tmp_path.iterdir()) == []


def test_it_is_synced_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path, said = tmp_path / "a.txt", list[str]()
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (said.append("sync"), sync(handle))[1])
    monkeypatch.setattr(os, "replace", lambda a, b: (said.append("replace"), replace(a, b))[1])
    write_text(path, "whole")
    assert said == ["sync", "replace", "sync"]


def test_another_file_that_is_missing_is_not_blamed_on_this_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), written_whole(tmp_path / "a.txt"):
        (tmp_path / "elsewhere" / "b.txt").read_text()


def test_a_folder_is_not_written_through_a_link(tmp_path: Path) -> None:
    theirs, link = tmp_path / "theirs", tmp_path / "out"
    theirs.mkdir()
    link.symlink_to(theirs)
    with pytest.raises(UserError, match="out is a link"), folder_written_whole(link):
        pass
    assert list(theirs.iterdir()) == []


def test_the_command_line_says_it_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(words: list[str]) -> int:
        raise RuntimeError("[enforce fail] PytorchStreamWriter failed") from OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("distilseg.cli.app._run", full)
    assert main(["recipes"]) == 2
    assert capsys.readouterr().err.startswith("error: a file: No space left on device; free space")


def test_numpy_that_writes_less_than_asked(tmp_path: Path) -> None:
    def write_short(aside: Path) -> None:
        np.save(aside, np.zeros(3))
        raise OSError("100 requested and 8 written")

    with pytest.raises(UserError, match=r"a\.npy: "), written_whole(tmp_path / "a.npy") as aside:
        write_short(aside)
    assert list(tmp_path.iterdir()) == []
