"""A model and scans that are predicted in no time, and workers that are slow or die of a scan."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from onnx import TensorProto, helper

from distilseg.data.planning.plan import save_plan
from distilseg.runtime.artefact import Description, digest

from ..test_predict import plan, scan, write

PYTHON = sys.executable
# Every Python that starts with this file in PYTHONPATH: a scan takes SLOW_S seconds, and "poison" ends it.
_WORKER = """
import os, signal, sys, time
from distilseg.runtime.predictor import ArtefactPredictor

def ask(self, prepared, *, case, times=None, quick=ArtefactPredictor.ask):
    time.sleep(float(os.environ.get("SLOW_S", "0")))
    if case.startswith("poison"):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)
    return quick(self, prepared, case=case, times=times)

if "distilseg.engines.tied" in sys.orig_argv:
    ArtefactPredictor.ask = ask
"""


def artefact(folder: Path) -> Path:
    """Class 1 where a voxel exceeds one half, in ONNX: it was never trained, and has nothing of torch."""
    out = folder / "artefact"
    out.mkdir()
    nodes = [
        helper.make_node("Sub", ["half", "image"], ["background"]),
        helper.make_node("Sub", ["image", "half"], ["blob"]),
        helper.make_node("Concat", ["background", "blob"], ["logits"], axis=1),
    ]
    image, logits = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["windows", channels, 16, 16, 16])
        for name, channels in (("image", 1), ("logits", 2))
    )
    half = helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])
    graph = helper.make_graph(nodes, "threshold", [image], [logits], [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (out / "network.onnx").write_bytes(model.SerializeToString())
    save_plan(out / "plan.json", plan())
    about = Description(
        name="tiny",
        target="onnx",
        engine="onnx",
        network="network.onnx",
        answers="classes",
        inferer={"kind": "sliding_window", "patch": [16, 16, 16], "overlap": 0.25, "blend": "gaussian"},
        made={},
        files={path.name: digest(path.read_bytes()) for path in out.iterdir()},
    )
    (out / "artefact.json").write_text(json.dumps(about.model_dump(mode="json")))
    return out


def scans(folder: Path, count: int, *more: str) -> Path:
    """A folder of `count` scans, no two alike, and some more of these names."""
    names = [*(f"scan_{number:03d}" for number in range(count)), *more]
    for seed, name in enumerate(names):
        write(folder / f"{name}.nii.gz", scan(seed=seed))
    return folder


def training(data: Path, runs: Path) -> str:
    """Options of a training of a few steps on the scans of the fixture `data`."""
    return (
        f"--data {data} --runs {runs} --cache {data.parent / 'cache'} --device cpu --threads 1"
        f" --plan {data.with_name('plan.json')} --network-option filters=[4,8,8]"
        " --steps 6 --validations 2 --no-evaluate"
    )


def worker_path(folder: Path) -> str:
    """PYTHONPATH of workers that are slow and mortal; see `_WORKER`."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_WORKER)
    return joined(folder)


def joined(folder: Path) -> str:
    """PYTHONPATH with `folder` ahead."""
    return os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])


# Ray binds the address of its machine, also where it is asked for its own alone.
ALONE = ("unshare", "--user", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def submitting(engine: str, command: str, log: Path, *more: str) -> subprocess.Popen[bytes]:
    """`distilseg submit`, in a process; with Ray in a network of its own."""
    own = () if "--address" in more else ("--workers", "2")
    words = [PYTHON, "-m", "distilseg", "submit", command, "--engine", engine, *own, *more]
    with log.open("ab") as said:
        return subprocess.Popen([*ALONE, *words] if engine == "ray" else words, stdout=said, stderr=said)


def hidden(folder: Path) -> list[str]:
    """What is left in `folder` that no result is."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
