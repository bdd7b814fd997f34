"""`distilseg serve` as a hospital starts it: a real artefact in a process, studies in, SEG back."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
import pytest
from pydicom import Dataset

from distilseg.cli import main
from distilseg.data.scans.reading import read_scan
from distilseg.serving.spool import REFUSED, SENT, Spool, key_of

from ..data.scans.dicom.writing import PATIENT_ID, PATIENT_NAME, assert_in_its_place, save
from ..runtime.test_service import artefact as artefact
from ..runtime.test_service import run as run
from .test_kills import listening
from .world import TYPED, Pacs, free_port, send, study, uid_of, until


def serving(words: Sequence[object], *program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *(program or ("-m", "distilseg")), "serve", *map(str, words)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ,
    )


def ended(service: subprocess.Popen[str]) -> str:
    """What it said until it ended."""
    try:
        return service.communicate(timeout=120)[1]
    finally:
        service.kill()


def assert_answers(answer: Dataset, images: Sequence[Dataset], artefact: Path, tmp_path: Path) -> None:
    """The SEG holds the voxels of `predict` on the same files, at the same places, of the same study."""
    save(images, tmp_path / "study")
    assert main(["predict", str(artefact), str(tmp_path / "study"), str(tmp_path / "out")]) == 0
    truth = read_scan(tmp_path / "out" / "study.nii.gz")
    read = highdicom.seg.Segmentation.from_dataset(answer)
    found = read.get_volume(combine_segments=True, allow_missing_positions=True)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ found.affine
    assert_in_its_place(found.array, affine, truth.array, truth.geometry.affine)
    assert np.count_nonzero(found.array) == np.count_nonzero(truth.array) > 0
    for keyword in ("StudyInstanceUID", "PatientID", "PatientName", "FrameOfReferenceUID"):
        assert answer[keyword].value == images[0][keyword].value


def test_a_study_comes_and_its_seg_goes_back(artefact: Path, tmp_path: Path) -> None:
    images, port, spool = study(), free_port(), tmp_path / "spool"
    with Pacs().open() as pacs:
        words = ["--ae", "DISTILSEG", "--port", port, "--send-to", pacs.address, "--spool", spool]
        service = serving([artefact, *words, "--quiet-seconds", "0.3", "--once"])
        until(lambda: listening(port), "it listens")
        assert send(images, port) == {0}
        said = ended(service)
    assert service.returncode == 0, said
    (answer,) = pacs.taken
    assert_answers(answer, images, artefact, tmp_path)
    assert re.search(r"study [0-9a-f]{12}: sent", said)
    names = "\n".join([said, *map(str, spool.rglob("*")), (spool / "status.json").read_text()])
    assert not [
        word for word in (PATIENT_NAME, PATIENT_ID, TYPED, "Planted", uid_of(images)) if word in names
    ]
    assert spool.stat().st_mode & 0o777 == 0o700


def test_a_study_that_cannot_be_predicted_is_refused_in_a_line_and_kept(
    artefact: Path, tmp_path: Path
) -> None:
    images, port, spool = study(), free_port(), tmp_path / "spool"
    with Pacs().open() as pacs:
        words = ["--ae", "DISTILSEG", "--port", port, "--send-to", pacs.address, "--spool", spool]
        service = serving([artefact, *words, "--quiet-seconds", "0.3", "--once"])
        until(lambda: listening(port), "it listens")
        send([*images[:3], *images[4:]], port)  # a slice is missing
        said = ended(service)
    assert service.returncode == 1
    assert pacs.taken == []
    assert TYPED not in said
    (line,) = (line for line in said.splitlines() if "refused:" in line)
    assert "1 slice is missing" in line
    key = key_of(uid_of(images))
    assert "1 slice is missing" in Spool(spool).noted(REFUSED, key, "reason.txt")
    assert len(Spool(spool).images(REFUSED, key)) == len(images) - 1


# `distilseg` without torch, whose predictions, in processes of their own, die of a certain study.
POISON = """
import sys
sys.modules["torch"] = None
from distilseg.serving import predicting
predicting.PROCESS = "tests.serving.poisoned"
from distilseg.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_study_that_kills_its_process_ends_after_three_attempts_and_no_other(
    artefact: Path, tmp_path: Path
) -> None:
    poison, good, port, spool = study(), study(seed=1), free_port(), tmp_path / "spool"
    for image in poison:
        image.StudyID = "POISON"
    (tmp_path / "program.py").write_text(POISON)
    root = str(Path(__file__).parents[2])
    with Pacs().open() as pacs, pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
        words = ["--ae", "DISTILSEG", "--port", port, "--send-to", pacs.address, "--spool", spool]
        service = serving([artefact, *words, "--quiet-seconds", "0.3"], str(tmp_path / "program.py"))
        until(lambda: listening(port), "it listens")
        send(poison, port)
        until(lambda: (spool / REFUSED / key_of(uid_of(poison))).is_dir(), "it is refused")
        send(good, port)
        until(lambda: (spool / SENT / key_of(uid_of(good))).is_dir(), "the other is sent")
        service.send_signal(signal.SIGINT)
        said = ended(service)
    assert service.returncode == 0, said
    assert said.count("its process ended by SIGKILL") == 3
    assert len(pacs.answers) == 1


def test_a_kill_in_the_middle_of_a_prediction_ends_it_and_it_is_done_again(
    artefact: Path, tmp_path: Path
) -> None:
    images, port, spool = study(), free_port(), tmp_path / "spool"
    with Pacs().open() as pacs:
        words = ["--ae", "DISTILSEG", "--port", port, "--send-to", pacs.address, "--spool", spool]
        service = serving([artefact, *words, "--quiet-seconds", "0.3"])
        until(lambda: listening(port), "it listens")
        send(images, port)
        until(lambda: list((spool / "predicting").iterdir()), "it is predicted")
        service.kill()
        service.communicate()
        service = serving([artefact, *words, "--quiet-seconds", "0.3", "--once"])
        said = ended(service)
    assert service.returncode == 0, said
    assert len(pacs.answers) == 1
    assert_answers(pacs.taken[0], images, artefact, tmp_path)


def test_what_makes_no_sense_is_one_line_before_anything_listens(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spool = tmp_path / "spool"
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in artefact.iterdir():
        content = file.read_bytes()
        (damaged / file.name).write_bytes(content[:-9] if file.suffix == ".onnx" else content)
    port = free_port()
    back = ["--send-to", "127.0.0.1:9:PACS"]
    ours = ["--ae", "DISTILSEG", "--port", str(port)]

    def told(*words: object, given: Path = artefact, place: Path = spool) -> str:
        line = ["serve", str(given), "--spool", str(place), *map(str, words)]
        assert main(line) == 2
        (said,) = capsys.readouterr().err.strip().splitlines()
        assert said.startswith("error: ")
        return str(said)

    assert "nothing says where studies come from" in told()
    assert "nothing says where answers go" in told(*ours)
    assert "is no AE title: it has 17 characters" in told("--ae", "A" * 17, *back)
    assert "HOST:PORT:AETITLE was expected" in told(*ours, "--send-to", "PACS")
    assert "--port 99999 is no port" in told("--ae", "A", "--port", 99999, *back)
    assert "lets others than this machine in; name who may send" in told(*ours, *back, "--host", "0.0.0.0")
    assert "is no address" in told("--dicomweb", "ftp://pacs")
    assert "holds a password" in told("--dicomweb", "http://me:secret@pacs/dicom-web")
    assert "--study is fetched by DICOMweb" in told(*ours, *back, "--study", "1.2")
    assert "--study '../series' is no UID" in told("--dicomweb", "http://pacs", "--study", "../series")
    assert "answers go to --send-to or to --dicomweb" in told(*ours, *back, "--dicomweb", "http://pacs")
    assert "--most-gb 0 makes no sense" in told(*ours, *back, "--most-gb", 0)
    assert "unknown value of --seg 'both'" in told(*ours, *back, "--seg", "both")
    assert "is no rule" in told(*ours, *back, "--series", "venous")
    assert "is no artefact" in told(*ours, *back, given=tmp_path / "open")
    assert "network.onnx is not what was exported" in told(*ours, *back, given=damaged)
    assert "is not yours alone" in told(*ours, *back, place=tmp_path / "open")
    assert "is no spool: it holds thesis.txt" in told(*ours, *back, place=tmp_path / "other")
    codes = tmp_path / "codes.json"
    assert "was written: it suggests codes" in told(*ours, *back, "--codes", codes)
    with Pacs().open() as pacs, socket.socket() as taken:
        back = ["--send-to", pacs.address]
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert main(["serve", str(artefact), *ours, *back, "--spool", str(spool)]) == 2
        assert f"nothing can listen on 127.0.0.1:{port}" in capsys.readouterr().err
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


def test_labelmap_is_refused_where_it_is_not_accepted(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Pacs().open() as pacs:
        words = ["--ae", "A", "--port", str(free_port()), "--send-to", pacs.address, "--seg", "labelmap"]
        assert main(["serve", str(artefact), *words, "--spool", str(tmp_path / "spool")]) == 2
    assert "does not accept SEG of the kind labelmap; leave out --seg labelmap" in capsys.readouterr().err
