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

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from distilseg.data.phantom.volumes import phantom_case
from distilseg.data.scans.reading import read_scan

from .common import Row, ratio_row, row

ROOT = Path(__file__).resolve().parents[1]
MIB = 2**20
SMALL = "nnUNet_results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres"
EVERY_S = 0.05  # memory is looked at


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
        return [_tiny(folder)]
    tasks = []
    root = os.environ.get("DISTILSEG_FIXTURES", ROOT.parent / "shared" / "fixtures")
    if (teachers := Path(root) / "teachers").is_dir():
        scans = _hippocampi(folder / "hippocampi", teachers, 4)
        count = len(list(scans.iterdir()))
        tasks.append(Task(f"small, {count} hippocampi", teachers / SMALL, ("0", "1"), scans, 2))
        if peer := _nnunet():
            tasks.append(_full_size(folder, teachers / SMALL, peer))
    return tasks or [_tiny(folder)]


def _nnunet() -> Path | None:
    """The environment that nnU-Net is installed in."""
    named = os.environ.get("DISTILSEG_NNUNET")
    return Path(named) if named else None


def _hippocampi(folder: Path, teachers: Path, count: int) -> Path:
    """The fixture's scan, and real ones beside it where they are, under names that nnU-Net takes."""
    folder.mkdir()
    data = Path(os.environ.get("DISTILSEG_DATA", ROOT.parent / "shared" / "data"))
    real = sorted((data / "Task04_Hippocampus" / "imagesTr").glob("hippocampus_*.nii.gz"))[:count]
    for path in real or sorted((teachers / "inputs" / "Dataset004_Hippocampus").iterdir()):
        name = path.name if path.name.endswith("_0000.nii.gz") else path.name.replace(".nii", "_0000.nii")
        (folder / name).symlink_to(path)
    return folder


_BUILD = """
import json, sys, torch
from pathlib import Path
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
source, out, patch, features = json.loads(sys.argv[1])
plans, dataset = (json.loads((Path(source) / f"{name}.json").read_text()) for name in ("plans", "dataset"))
made = plans["configurations"]["3d_fullres"]
levels = len(features)
made.update(patch_size=patch, spacing=[1.5, 1.5, 1.5])
arguments = made["architecture"]["arch_kwargs"]
arguments.update(
    n_stages=levels, features_per_stage=features, kernel_sizes=[[3, 3, 3]] * levels,
    strides=[[1, 1, 1]] + [[2, 2, 2]] * (levels - 1), n_conv_per_stage=[2] * levels,
    n_conv_per_stage_decoder=[2] * (levels - 1),
)
torch.manual_seed(0)
network = get_network_from_plans(
    made["architecture"]["network_class_name"], arguments, made["architecture"]["_kw_requires_import"],
    1, 3, deep_supervision=False,
)
(Path(out) / "fold_0").mkdir(parents=True)
for name, value in (("plans", plans), ("dataset", dataset)):
    (Path(out) / f"{name}.json").write_text(json.dumps(value))
torch.save(
    {
        "network_weights": network.state_dict(), "trainer_name": "nnUNetTrainer",
        "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": 0, "dataset_json": dataset},
        "inference_allowed_mirroring_axes": (0, 1, 2),
    },
    Path(out) / "fold_0" / "checkpoint_final.pth",
)
"""


def _full_size(folder: Path, like: Path, nnunet: Path) -> Task:
    """A model of nnU-Net's usual size, of random weights, on a phantom that it cuts into eight windows."""
    model = folder / "Dataset900_FullSize" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    order = json.dumps([str(like), str(model), [64, 64, 64], [32, 64, 128, 256, 320]])
    subprocess.run([nnunet / "bin" / "python", "-c", _BUILD, order], check=True, env=_environment())
    scans = folder / "phantom"
    scans.mkdir()
    images, _ = phantom_case(0, shape=(96, 96, 96), modalities=("MR",))
    nibabel.save(nibabel.Nifti1Image(images["MR"], np.diag([1.5, 1.5, 1.5, 1.0])), scans / "case_0000.nii.gz")
    return Task("full size, a phantom of 96³ voxels", model, ("0",), scans, 1, trained=False)


def _tiny(folder: Path) -> Task:
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
        told["ours"].append(_run([*ours, "predict", str(artefact), str(task.scans), str(outs["ours"])]))
        told["peer"].append(_run(_peer(task, mirrored, outs["peer"])))
    apart = _apart(outs["ours"], outs["peer"])
    name = "nnU-Net" if _nnunet() else "the model in torch"
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


def _peer(task: Task, mirrored: bool, out: Path) -> list[str]:
    nnunet = _nnunet()
    if nnunet is None:
        mirror = "--mirror" if mirrored else "--no-mirror"
        words = ["predict", task.model, task.scans, out, "--folds", ",".join(task.folds), mirror]
        return [sys.executable, "-m", "distilseg", *map(str, words), "--device", "cpu"]
    words = ["-i", task.scans, "-o", out, "-m", task.model, "-f", *task.folds, "-device", "cpu"]
    off = [] if mirrored else ["--disable_tta"]
    return [str(nnunet / "bin" / "nnUNetv2_predict_from_modelfolder"), *map(str, words), *off]


def _environment() -> dict[str, str]:
    """Without what belongs to this process's Python or tells engines how many threads to take."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "OMP_NUM_THREADS")}
    return {**kept, "nnUNet_raw": "/nowhere", "nnUNet_preprocessed": "/nowhere", "nnUNet_results": "/nowhere"}


def _run(words: Sequence[str]) -> tuple[float, float, float]:
    """Seconds of a command, the most bytes that it and its children held together, their processor time."""
    environment = _environment()
    if words[0] == sys.executable:
        environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", str(ROOT / "src"))
    start, most, before = time.perf_counter(), 0.0, resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, cwd=ROOT, env=environment)
        while process.poll() is None:
            most = max(most, _held(process.pid))
            time.sleep(EVERY_S)
        seconds = time.perf_counter() - start
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(words)}: {said.read().decode()[-2000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, most, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _held(pid: int) -> float:
    """Bytes of a process and all below it; of pages that several map, each counts its share."""
    parents: dict[int, int] = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            try:
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError, ValueError):
                continue
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(map(_share, below))


def _share(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0.0)


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
