"""A folder as a service meets it: bad scans among good ones, kills, and two processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from distilseg.claims import claim
from distilseg.cli import main
from distilseg.data.scans.reading import read_scan
from distilseg.predict import load_predictor, predict_files

from ..test_predict import Threshold, plan, predictor, run_folder, scan, write

GOOD = ("good_a", "good_b", "oblique", "blank")

# `distilseg predict`, each case of which takes a while; the first word is how long, in seconds.
SLOW = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is started deaf to it
from distilseg.cli import main
from distilseg.predict import Predictor
from distilseg.runtime.predictor import ArtefactPredictor
seconds = float(sys.argv[1])
for kind in (Predictor, ArtefactPredictor):
    def slow(self, prepared, *, quick=kind.ask, **options):
        time.sleep(seconds)
        return quick(self, prepared, **options)
    kind.ask = slow
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("model") / "run", plan(), classes=2)


@pytest.fixture(scope="module")
def artefact(run: Path) -> Path:
    """The same network, exported by hand: a run that was never trained has no cases to be compared on."""
    import json

    from distilseg.export.onnx import write_onnx
    from distilseg.runtime.artefact import Description, digest

    folder = run.parent / "artefact"
    folder.mkdir()
    loaded = load_predictor(run, device="cpu")
    write_onnx(loaded.network, folder / "network.onnx", modalities=1, patch=(16, 16, 16), free=())
    (folder / "plan.json").write_bytes((run / "plan.json").read_bytes())
    about = Description(
        name="tiny",
        target="onnx",
        engine="onnx",
        network="network.onnx",
        answers="classes",
        inferer={"kind": "sliding_window", "patch": [16, 16, 16], "overlap": 0.25, "blend": "gaussian"},
        made={},
        files={path.name: digest(path.read_bytes()) for path in folder.iterdir()},
    )
    (folder / "artefact.json").write_text(json.dumps(about.model_dump(mode="json")))
    return folder


@pytest.fixture(params=["run", "artefact"])
def model(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def header_says(path: Path, shape: tuple[int, ...]) -> None:
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape(shape)
    header.set_sform(np.eye(4), code=1)
    header["magic"], header["vox_offset"] = b"n+1", 352
    path.write_bytes(bytes(header.binaryblock) + bytes(4 + 1000))


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Good scans among every kind of bad one."""
    folder = tmp_path / "mixed"
    write(folder / "good_a.nii.gz", scan(tilt=np.eye(3)))
    write(folder / "good_b.nrrd", scan(tilt=np.eye(3), seed=1))
    write(folder / "oblique.nii.gz", scan())
    blank = scan(seed=2)
    blank.array[:] = 0
    write(folder / "blank.nii.gz", blank)
    whole = (folder / "good_a.nii.gz").read_bytes()
    (folder / "truncated.nii.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "flipped.nii.gz").write_bytes(whole[:1000] + b"\x00" * 40 + whole[1040:])
    (folder / "nothing.nii.gz").touch()
    (folder / "text.nii.gz").write_text("Dear radiologist")
    (folder / "pdf.nii.gz").write_bytes(b"%PDF-1.7 " + bytes(2000))
    (folder / "pdf_too.nrrd").write_bytes(b"%PDF-1.7 " + bytes(2000))
    (folder / "letter.pdf").write_bytes(b"%PDF-1.7 " + bytes(2000))
    header_says(folder / "huge.nii", (4000, 4000, 4000))
    nib.save(nib.Nifti1Image(np.zeros((9, 8), np.float32), np.eye(4)), folder / "flat.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros((9, 8, 7, 3), np.float32), np.eye(4)), folder / "film.nii.gz")
    for number in range(2):
        write(folder / f"pair_{number:04d}.nii.gz", scan())
    return folder


BAD = {
    "truncated": "ends too early",
    "flipped": "is damaged",
    "nothing": "is empty",
    "text": "is not a NIfTI file",
    "pdf": "is not a NIfTI file",
    "pdf_too": "cannot be read",
    "huge": "says it holds 4000 x 4000 x 4000 voxels (256.0 GB as 32-bit floats), at most",
    "flat": "is a single slice [9, 8, 1], the model sees 16 x 16 x 16 voxels",
    "film": "is 4D [9, 8, 7, 3], a 3D array was expected",
    "pair": "found pair_0000.nii.gz, pair_0001.nii.gz",
}


def test_every_good_scan_among_every_kind_of_bad_one(
    model: Path, mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["predict", str(model), str(mixed), str(out)]) == 1
    said = capsys.readouterr()
    refused = said.err.strip().splitlines()
    assert len(refused) == len(BAD)
    for case, cause in BAD.items():
        (line,) = (line for line in refused if line.startswith(f"refused: case {case}:"))
        assert cause in line
        assert "the model expects one 3D scan a case: MR" in line
    assert "no scans, left alone: letter.pdf" in said.out
    assert f"{len(GOOD)} written to {out}, {len(BAD)} refused" in said.out
    assert sorted(path.name.partition(".")[0] for path in out.iterdir()) == sorted(GOOD)
    for path in out.iterdir():
        np.testing.assert_array_equal(
            read_scan(path).geometry.affine, read_scan(mixed / path.name).geometry.affine
        )
    # Again: what is there stays, what was refused is refused again.
    assert main(["predict", str(model), str(mixed), str(out)]) == 1
    assert f"0 written to {out}, {len(GOOD)} there already" in capsys.readouterr().out


def test_good_scans_alone_end_with_0_and_a_missing_model_with_2(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "a.nii.gz", scan())
    assert main(["predict", str(run), str(file), str(tmp_path / "out")]) == 0
    assert main(["predict", str(tmp_path / "none"), str(file), str(tmp_path / "out")]) == 2
    assert main(["predict", str(tmp_path / "none.zip"), str(file), str(tmp_path / "out")]) == 2
    assert len([line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]) == 2


def test_a_case_that_the_memory_does_not_hold_is_refused_alone(tmp_path: Path) -> None:
    class Greedy(Threshold):
        def forward(self, image):  # type: ignore[no-untyped-def]
            if float(image.max()) > 1:
                raise MemoryError
            return super().forward(image)

    bright = scan()
    bright.array[0, 0, 0] = 2
    files = [write(tmp_path / "a.nii.gz", scan()), write(tmp_path / "b.nii.gz", bright)]
    summary = predict_files(predictor(Greedy()), files, tmp_path / "out")
    assert list(summary.written) == ["a"]
    assert "case b: there is not enough memory for it" in summary.refused["b"]


# Claims.


def test_cases_that_another_holds_or_has_made_are_left_to_it(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{name}.nii.gz", scan()) for name in "abcd"]
    out = tmp_path / "out"
    other = claim(out / "b.nii.gz")
    assert other is not None

    class Meanwhile(Threshold):
        """While the first case is in the network, another process makes the last."""

        def forward(self, image):  # type: ignore[no-untyped-def]
            (out / "d.nii.gz").write_text("another's")
            return super().forward(image)

    summary = predict_files(predictor(Meanwhile()), files, out)
    other.release()
    assert (sorted(summary.written), list(summary.held), list(summary.skipped)) == (["a", "c"], ["b"], ["d"])
    assert (out / "d.nii.gz").read_text() == "another's"
    again = predict_files(predictor(), files, out)
    assert (list(again.written), sorted(again.skipped)) == (["b"], ["a", "c", "d"])


# Real processes.


def begin(seconds: float, model: Path, scans: Path, out: Path) -> subprocess.Popen[str]:
    order = [sys.executable, "-c", SLOW, str(seconds), "predict", str(model), str(scans), str(out)]
    quiet = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(order, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=quiet)


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(8):
        write(folder / f"case_{n}.nii.gz", scan(seed=n))
    return folder


def label_maps(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("*.nii.gz"))}


@pytest.fixture(scope="module")
def undisturbed(run: Path, artefact: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    assert main(["predict", str(run), str(scans), str(out / "run"), "--device", "cpu"]) == 0
    assert main(["predict", str(artefact), str(scans), str(out / "artefact")]) == 0
    return out


def test_two_processes_share_one_folder(model: Path, scans: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    both = [begin(0.4, model, scans, out) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert label_maps(out) == label_maps(undisturbed / model.name)
    assert sorted(path.name for path in out.iterdir()) == [f"case_{n}.nii.gz" for n in range(8)]
    counts = [int(text.rpartition(" written to")[0].split()[-1]) for text, _ in said]
    assert sum(counts) == 8  # each case once
    assert any("there already" in text or "left to another process" in text for text, _ in said)


@pytest.mark.parametrize(
    ("how", "kind"), [(signal.SIGKILL, "run"), (signal.SIGKILL, "artefact"), (signal.SIGINT, "artefact")]
)
def test_killed_and_started_again_it_goes_on(
    how: signal.Signals,
    kind: str,
    scans: Path,
    undisturbed: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    model = request.getfixturevalue(kind)
    out = tmp_path / "out"
    process = begin(0.3, model, scans, out)
    until(lambda: len(label_maps(out)) >= 2 if out.is_dir() else process.poll() is not None)
    process.send_signal(how)
    _, told = process.communicate(timeout=60)
    assert process.returncode == (-signal.SIGKILL if how is signal.SIGKILL else 130)
    if how is signal.SIGINT:
        assert "the same command goes on where it stopped" in told
        assert not list(out.glob(".*"))
    whole = label_maps(undisturbed / model.name)
    before = label_maps(out)
    assert 2 <= len(before) < 8
    assert all(whole[name] == content for name, content in before.items())  # none is half
    times = {path.name: path.stat().st_mtime_ns for path in out.glob("*.nii.gz")}

    process = begin(0, model, scans, out)
    said, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert f"{8 - len(before)} written to {out}, {len(before)} there already" in said
    assert label_maps(out) == whole
    assert all((out / name).stat().st_mtime_ns == time for name, time in times.items())
    assert not list(out.glob(".*"))
