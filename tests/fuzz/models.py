"""Models that somebody changed, by seed: a run in torch, and its artefact for ONNX Runtime and for torch.

python -m tests.fuzz.models    what became of each kind, as JSON (results/fuzz.json keeps it)
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnxruntime
import torch

from distilseg.commands import predict
from distilseg.errors import UserError
from distilseg.export.onnx import write_onnx
from distilseg.predict import load_predictor
from distilseg.runtime.artefact import Description, digest

from ..test_predict import plan, run_folder, scan, write
from .mutations import mutated, mutated_json

SEED, TRIES, SECONDS = 0, 30, 20
FILES = {  # what is changed of each kind of model
    "run": ("experiment.json", "plan.json", "best.safetensors"),
    "onnx": ("artefact.json", "plan.json", "network.onnx"),
    "torch": ("artefact.json", "plan.json", "network.safetensors"),
}


def make(folder: Path) -> Path:
    """A scan and one sound model of each kind below `folder`."""
    write(folder / "scans" / "a.nii.gz", scan(tilt=np.eye(3)))
    run = run_folder(folder / "run", plan(), classes=2)
    for engine, network in (("onnx", "network.onnx"), ("torch", "network.safetensors")):
        own = folder / engine
        own.mkdir()
        if engine == "onnx":
            loaded = load_predictor(run, device="cpu").network
            write_onnx(loaded, own / network, modalities=1, patch=(16, 16, 16), free=())
        else:
            shutil.copy(run / "best.safetensors", own / network)
        shutil.copy(run / "plan.json", own)
        about = Description(
            name="tiny",
            target=engine,
            engine=engine,  # type: ignore[arg-type]
            network=network,
            answers="classes",
            inferer={"kind": "sliding_window", "patch": [16, 16, 16], "overlap": 0.25},
            made={},
            files={},
        )
        (own / "artefact.json").write_text(json.dumps(about.model_dump(mode="json")), encoding="utf-8")
        sign(own)
    return folder


def sign(artefact: Path) -> None:
    """Digests of what is there: whoever changes an artefact on purpose signs it too."""
    path = artefact / "artefact.json"
    try:
        about = json.loads(path.read_bytes())
        about["files"] = {file.name: digest(file.read_bytes()) for file in artefact.iterdir() if file != path}
        path.write_text(json.dumps(about), encoding="utf-8")
    except (ValueError, TypeError, RecursionError):  # no description any more: as it is
        pass


def attempt(model: Path, scans: Path, out: Path) -> str:
    """ "read", "refused", or the name of another exception; a try has an end."""
    try:
        with _within(SECONDS), warnings.catch_warnings(action="ignore"):
            summary = predict(model, scans, out, device="cpu", threads=1)
    except UserError:
        return "refused"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "refused" if summary.refused else "read"


@contextmanager
def _within(seconds: int) -> Iterator[None]:
    def late(*_: Any) -> None:
        raise TimeoutError(f"after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def sweep(folder: Path, kind: str, tries: int = TRIES) -> Iterator[tuple[str, int, str]]:
    """Of each file of a kind: its name, the try, and what became of it."""
    for name in FILES[kind]:
        sound = (folder / kind / name).read_bytes()
        for n in range(tries):
            rng, model = Random(f"{SEED} {kind} {name} {n}"), folder / "changed"
            shutil.copytree(folder / kind, model)
            changed = mutated_json(json.loads(sound), rng) if name.endswith(".json") else mutated(sound, rng)
            (model / name).write_bytes(changed)
            if kind != "run":
                sign(model)
            yield name, n, attempt(model, folder / "scans", folder / "out")
            shutil.rmtree(model)
            shutil.rmtree(folder / "out", ignore_errors=True)


def table() -> dict[str, Any]:
    """How many were tried, read and refused, by kind of model and file."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        folder = make(Path(place))
        for kind in FILES:
            ends = list(sweep(folder, kind))
            for name in FILES[kind]:
                own = [end for file, _, end in ends if file == name]
                row = {"model": kind, "file": name, "tried": len(own)}
                rows.append(row | {end: own.count(end) for end in ("read", "refused")})
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__, "numpy": np.__version__}
    return {"command": "python -m tests.fuzz.models", "seed": SEED, "versions": versions, "rows": rows}


if __name__ == "__main__":
    torch.set_num_threads(1)
    json.dump(table(), sys.stdout, indent=1)
    print()
