"""Nothing of a patient leaves the files of DICOM: not into runs, caches, reports, artefacts, answers, words.

Every text, date, time and identifier in a folder is one of its own, and looked for in every byte that was
written while a student was planned, trained, reported, exported and asked; zips and what was packed included.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.datadict import DicomDictionary
from pydicom.sequence import Sequence as Items

from distilseg.cli import main
from distilseg.data.planning.plan import load_plan
from distilseg.runtime.artefact import open_artefact

from ..data.scans.dicom.segs import LIVER, seg
from ..data.scans.dicom.writing import save, series

PATIENTS, SHAPE = 4, (20, 18, 12)
OF_PATIENTS = (0x0008, 0x0010, 0x0012, 0x0018, 0x0020, 0x0032, 0x0038, 0x0040, 0x4000)
MOST = {"LO": 64, "SH": 16, "PN": 64, "LT": 64, "ST": 64, "UT": 64, "UC": 64}


def secrets(vr: str, n: int) -> str:
    """A value that nobody writes by chance."""
    texts = {
        "PN": f"Planted^Na{n:06d}",
        "DA": f"18{n % 90 + 10}0228",
        "DT": f"18{n % 90 + 10}0228031415.{n:06d}",
    }
    return texts.get(vr, f"PLANTED-{n:06d}")[: MOST.get(vr, 32)]


def planted(images: list[Dataset], start: int) -> list[str]:
    """Every text of the groups of patients, studies and machines, in each image; all that is to be found
    nowhere."""
    told = []
    for n, (tag, (vr, multiplicity, _, _, keyword)) in enumerate(sorted(DicomDictionary.items()), start):
        if (
            tag >> 16 not in OF_PATIENTS
            or vr not in (*MOST, "DA", "DT")
            or multiplicity != "1"
            or not keyword
        ):
            continue
        if (
            keyword in images[0]
            and images[0][keyword].value
            and vr not in ("PN", "DA")
            and keyword
            not in (
                "PatientID",
                "SeriesDescription",
                "StudyID",
                "Manufacturer",
            )
        ):
            continue  # what the file needs
        value = secrets(vr, n)
        for image in images:
            setattr(image, keyword, value)
        told.append(value)

    within = Dataset()
    within.RequestedProcedureDescription = f"PLANTED-IN-{start}"
    for image in images:
        image.RequestAttributesSequence = Items([within])
        image.add_new(0x00091001, "LO", f"PLANTED-PRIVATE-{start}")
        image.PatientWeight, image.PatientAge = f"47.1{start:06d}", "113Y"
    told += [f"PLANTED-IN-{start}", f"PLANTED-PRIVATE-{start}", f"47.1{start:06d}"]
    for image in images:
        told += [
            str(image[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        ]
    return told


def folder_of(root: Path) -> list[bytes]:
    """Studies with labels, by patients; what is secret in them."""
    told: list[str] = []
    for n in range(PATIENTS):
        draw = np.random.default_rng(n)
        truth = np.zeros(SHAPE, np.uint8)
        truth[4 + n : 12 + n, 5:13, 3:9] = 1
        array = (truth.astype(np.int16) * 300 + draw.integers(0, 60, SHAPE)).astype(np.int16)
        images = series(array, np.diag([-1.0, -1.0, 1.5, 1.0]), PatientID="x")
        told += planted(images, 100_000 * (n + 1))
        save(images, root / f"study_{n}" / "images")
        made = seg(images, truth, {1: "organ"}, {1: LIVER})
        save([made], root / f"study_{n}", "labels.dcm")
        told += [str(made.SOPInstanceUID), str(made.SeriesInstanceUID)]
    return [one.encode() for one in dict.fromkeys(told)]


def contents(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes of a file, and those packed in it."""
    yield name, content
    if content[:2] == b"\x1f\x8b":
        yield from contents(f"{name}!", gzip.decompress(content))
    elif zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.namelist():
                yield f"{name}!{member}", member.encode()
                yield from contents(f"{name}!{member}", packed.read(member))
    elif content[:1] == b"\x78":
        try:
            yield f"{name}!", zlib.decompress(content)
        except zlib.error:
            return


def found(secret: list[bytes], root: Path) -> list[str]:
    """Where something secret lies below `root`, in a file or in its name."""
    told = []
    for path in sorted(root.rglob("*")):
        own = path.read_bytes() if path.is_file() else b""
        for name, content in [(str(path), path.name.encode()), *contents(str(path), own)]:
            told += [f"{name}: {one.decode()}" for one in secret if one in content]
    return told


def test_the_search_finds_what_is_packed(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"... PLANTED-1 ..."))
    np.savez_compressed(tmp_path / "b.npz", name=np.frombuffer(b"PLANTED-2", np.uint8))
    (tmp_path / "PLANTED-3").mkdir()
    secret = [f"PLANTED-{n}".encode() for n in range(1, 5)]
    assert [line.rpartition(": ")[2] for line in found(secret, tmp_path)] == [
        "PLANTED-3",
        "PLANTED-1",
        "PLANTED-2",
    ]


def test_nothing_of_a_patient_is_in_what_a_student_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    secret = folder_of(data)
    assert len(secret) > 1000
    monkeypatch.setenv("XDG_CACHE_HOME", str(out / "cache"))
    monkeypatch.chdir(tmp_path)
    plan, runs, answers = out / "plan.json", out / "runs", out / "answers"
    short = ["--steps", "2", "--validations", "1", "--network", "student_tiny", "--device", "cpu"]
    words = [
        ["plan", str(data), "--out", str(plan), "--patch", "16,16,12", "--levels", "3"],
        ["train", "supervised", "--data", str(data), "--plan", str(plan), "--runs", str(runs), *short],
        ["report", str(runs), "--out", str(out / "report.html")],
    ]
    for line in words:
        assert main(line) == 0, capsys.readouterr().err
    (run,) = {path.parent for path in runs.rglob("experiment.json")}
    artefact, codes = out / "student.zip", tmp_path / "codes.json"
    left = {"category": ["123037004", "SCT", "structure"], "type": ["10200004", "SCT", "Liver"]}
    codes.write_text(json.dumps({"organ": left | {"laterality": "left"}}))
    kept = ["--codes", str(codes), "--series", "description=."]
    for line in (
        ["export", str(run), "--out", str(artefact), "--cases", "study_0", *kept],
        ["predict", str(artefact), str(data), str(answers)],
        ["predict", str(artefact), str(data), str(tmp_path / "segs"), "--as", "seg", "--report"],
    ):
        assert main(line) == 0, capsys.readouterr().err
    captured = capsys.readouterr()
    told = captured.out + captured.err
    assert "organ" in told
    assert [one for one in secret if one.decode() in told] == []
    assert {path.name for path in answers.iterdir()} == {f"study_{n}.nii.gz" for n in range(PATIENTS)}
    assert len(list(out.rglob("*"))) > 40
    assert found(secret, out) == []
    of_artefact = open_artefact(artefact).plan
    assert of_artefact.series == {"MR": "modality=MR,description=."}
    assert of_artefact.codes["organ"].laterality == "left"
    assert load_plan(run / "plan.json").codes["organ"].laterality is None  # as the SEGs say
    assert found(secret, tmp_path / "segs")  # a SEG is of its patient, and says so
