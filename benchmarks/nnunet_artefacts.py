"""A model of nnU-Net's, by nnU-Net itself and as our artefact: whole processes in turns, on a processor.

- Time, from the command to the last label map, without and with mirroring: nnU-Net takes >= 4 times as long.
- Memory, of all its processes together at the worst moment (shared pages once): <= 1/3 of nnU-Net's.
- Labels: >= 99.9 % of the voxels equal.

nnU-Net runs in an environment of its own, which DISTILSEG_NNUNET names (a folder with bin/python and nnunetv2
in it), with its own defaults. Where there is none the peer is the model in torch as `distilseg predict MODEL`
runs it, which the rows say. Models, where they are:

    small       of the fixtures (DISTILSEG_FIXTURES): PlainConvUNet 8...64, two folds, hardly trained
    full size   PlainConvUNet 32...320, one fold, random weights, which nnU-Net itself builds: labels of noise
                lie near one another, so they are told and no claim
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from distilseg.data.phantom.volumes import phantom_case
from distilseg.data.scans.reading import read_scan

from .common import Row, ratio_row, row
from .nnunet_itself import ROOT, SMALL, build_model, fixtures, hippocampi, nnunet, run

MIB = 2**20


@dataclass(frozen=True)
class Task:
    """A model, the scans that it segments, and how often."""

    name: str
    model: Path
    folds: tuple[str, ...]
    scans: Path
    rounds: int
    trained: bool = True  # else its labels are noise


def main(quick: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for task in _tasks(Path(folder), quick):
            for mirrored in (False,) if quick else (False, True):
                where = Path(folder) / f"{task.model.parent.name}-{mirrored}"
                where.mkdir()
                rows += _compared(task, mirrored, where)
        return rows


def _tasks(folder: Path, quick: bool) -> list[Task]:
    if quick:
        return [tiny(folder)]
    tasks = []
    if (teachers := fixtures()).is_dir():
        scans = hippocampi(folder / "hippocampi", teachers, 4)
        count = len(list(scans.iterdir()))
        tasks.append(Task(f"small, {count} hippocampi", teachers / SMALL, ("0", "1"), scans, 2))
        if peer := nnunet():
            tasks.append(_full_size(folder, teachers / SMALL, peer))
    return tasks or [tiny(folder)]


def _full_size(folder: Path, like: Path, nnunet: Path) -> Task:
    """A model of nnU-Net's usual size, of random weights, on a phantom that it cuts into eight windows."""
    model = folder / "Dataset900_FullSize" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    build_model(model, like, nnunet, patch=(64, 64, 64), features=(32, 64, 128, 256, 320), spacing_mm=1.5)
    scans = folder / "phantom"
    scans.mkdir()
    images, _ = phantom_case(0, shape=(96, 96, 96), modalities=("MR",))
    nibabel.save(nibabel.Nifti1Image(images["MR"], np.diag([1.5, 1.5, 1.5, 1.0])), scans / "case_0000.nii.gz")
    return Task("full size, a phantom of 96³ voxels", model, ("0",), scans, 1, trained=False)


def tiny(folder: Path) -> Task:
    """Of a checkout alone: numbers that mean nothing."""
    from tests.teachers.nnunet.small import write_model

    scans = folder / "scans"
    scans.mkdir()
    images, _ = phantom_case(0, shape=(16, 16, 16), modalities=("CT",))
    nibabel.save(nibabel.Nifti1Image(images["CT"], np.eye(4)), scans / "case_0000.nii.gz")
    return Task("tiny, of random weights", write_model(folder), ("0",), scans, 1, trained=False)


def _compared(task: Task, mirrored: bool, folder: Path) -> list[Row]:
    artefact = folder / "artefact"
    mirror = ["--mirror"] if mirrored else []
    one = sorted(task.scans.iterdir())[0]
    ours = [sys.executable, "-m", "distilseg"]
    export = ["export", task.model, "--to", "openvino", "--data", one, "--out", artefact]
    # What labels of noise differ by is told below.
    export += ["--folds", ",".join(task.folds), *mirror, *([] if task.trained else ["--tolerance", "1"])]
    subprocess.run([*ours, *map(str, export)], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    told: dict[str, list[tuple[float, float, float]]] = {"ours": [], "peer": []}
    for n in range(task.rounds):
        outs = {name: folder / f"{name}-{n}" for name in told}
        told["ours"].append(run([*ours, "predict", str(artefact), str(task.scans), str(outs["ours"])]))
        told["peer"].append(run(peer_of(task, mirrored, outs["peer"])))
    apart = _apart(outs["ours"], outs["peer"])
    name = "nnU-Net" if nnunet() else "the model in torch"
    what = f"{task.name}, {'mirrored' if mirrored else 'not mirrored'}"
    seconds, peaks, busy = ([[one[k] for one in told[of]] for of in ("ours", "peer")] for k in range(3))
    rows = [
        ratio_row(
            "nnU-Net's models",
            what,
            *seconds,
            aim=">= 4",
            peer_name=name,
            note="whole processes, start included; of processor time"
            f" {statistics.median(busy[0]):.3g} s against {statistics.median(busy[1]):.3g} s",
        ),
        row(
            "nnU-Net's models",
            f"{what}, memory",
            ours=statistics.median(peaks[0]) / MIB,
            peer=statistics.median(peaks[1]) / MIB,
            unit="MiB",
            ratio=statistics.median(peaks[0]) / statistics.median(peaks[1]),
            aim="<= 0.333",
            peer_name=name,
            repeats=task.rounds,
            note="of all processes together, pages that they share once",
        ),
    ]
    labels = row(
        "nnU-Net's models",
        f"{what}, labels",
        ours=1 - apart,
        peer=1.0,
        unit="of voxels equal",
        ratio=1 - apart,
        aim=">= 0.999" if task.trained else ">= 0.5",
        peer_name=name,
        repeats=1,
        note="" if task.trained else "labels of random weights, near one another: told, no claim",
    )
    _told(made := [*rows, labels])
    return made


def peer_of(task: Task, mirrored: bool, out: Path) -> list[str]:
    peer = nnunet()
    if peer is None:
        mirror = "--mirror" if mirrored else "--no-mirror"
        words = ["predict", task.model, task.scans, out, "--folds", ",".join(task.folds), mirror]
        return [sys.executable, "-m", "distilseg", *map(str, words), "--device", "cpu"]
    words = ["-i", task.scans, "-o", out, "-m", task.model, "-f", *task.folds, "-device", "cpu"]
    off = [] if mirrored else ["--disable_tta"]
    return [str(peer / "bin" / "nnUNetv2_predict_from_modelfolder"), *map(str, words), *off]


def _apart(ours: Path, theirs: Path) -> float:
    """The share of voxels with another label, over all label maps."""
    pairs = [(read_scan(path), read_scan(ours / path.name)) for path in sorted(theirs.glob("*.nii.gz"))]
    differing = sum(int(np.count_nonzero(a.array != b.array)) for a, b in pairs)
    return differing / sum(a.array.size for a, _ in pairs)


def _told(rows: Sequence[Mapping[str, Any]]) -> None:
    for one in rows:
        print({k: one[k] for k in ("what", "ours", "peer", "ratio", "load", "note")}, flush=True)


if __name__ == "__main__":
    main("--quick" in sys.argv)
