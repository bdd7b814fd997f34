"""nnU-Net itself, in an environment of its own: where it is, a model of a size, whole processes measured.

The variable DISTILSEG_NNUNET names that environment, a folder with bin/python and nnunetv2 in it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SMALL = "nnUNet_results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres"  # of the fixtures
EVERY_S = 0.05  # memory is looked at


def nnunet() -> Path | None:
    """The environment that nnU-Net is installed in."""
    named = os.environ.get("DISTILSEG_NNUNET")
    return Path(named) if named else None


def fixtures() -> Path:
    """The models of others, where they are."""
    return Path(os.environ.get("DISTILSEG_FIXTURES", ROOT.parent / "shared" / "fixtures")) / "teachers"


def hippocampi(folder: Path, teachers: Path, count: int) -> Path:
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
source, out, patch, features, spacing = json.loads(sys.argv[1])
plans, dataset = (json.loads((Path(source) / f"{name}.json").read_text()) for name in ("plans", "dataset"))
made = plans["configurations"]["3d_fullres"]
levels = len(features)
made.update(patch_size=patch, spacing=[spacing] * 3)
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


def build_model(
    model: Path, like: Path, nnunet: Path, *, patch: Sequence[int], features: Sequence[int], spacing_mm: float
) -> Path:
    """A model folder of random weights, PlainConvUNet of these features, which nnU-Net itself builds."""
    order = json.dumps([str(like), str(model), list(patch), list(features), spacing_mm])
    subprocess.run([nnunet / "bin" / "python", "-c", _BUILD, order], check=True, env=environment())
    return model


def environment() -> dict[str, str]:
    """Without what belongs to this process's Python or tells engines how many threads to take."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "OMP_NUM_THREADS")}
    return {**kept, "nnUNet_raw": "/nowhere", "nnUNet_preprocessed": "/nowhere", "nnUNet_results": "/nowhere"}


def run(words: Sequence[str]) -> tuple[float, float, float]:
    """Seconds of a command, the most bytes that it and its children held together, their processor time."""
    told = environment()
    if words[0] == sys.executable:
        told["PYTHONPATH"] = os.environ.get("PYTHONPATH", str(ROOT / "src"))
    start, most, before = time.perf_counter(), 0.0, resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(words, stdout=said, stderr=said, cwd=ROOT, env=told)
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
