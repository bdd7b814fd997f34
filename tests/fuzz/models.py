"""Models that somebody changed, by seed: a run in torch, and its artefact for ONNX Runtime and for torch.

What was changed is signed again: its digests would hide what lies behind them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np

from distilseg.commands import predict
from distilseg.export.onnx import write_onnx
from distilseg.networks.checkpoint import load_network, save_weights
from distilseg.predict import load_predictor
from distilseg.runtime.artefact import Description, digest

from ..test_predict import plan, run_folder, scan, write
from .ending import ending
from .mutations import mutated, mutated_json

SEED, TRIES = 0, 30
FILES = {  # what is changed of each kind of model
    "run": ("experiment.json", "plan.json", "best.safetensors"),
    "onnx": ("artefact.json", "plan.json", "network.onnx"),
    "torch": ("artefact.json", "plan.json", "network.safetensors"),
}


def make(folder: Path) -> Path:
    """A scan and one sound model of each kind below `folder`."""
    write(folder / "scans" / "a.nii.gz", scan(tilt=np.eye(3)))
    run = run_folder(folder / "run", plan(), classes=2)
    network, spec, extra = load_network(run / "best.safetensors")
    save_weights(run / "best.safetensors", network, spec, extra, signed=False)
    for engine, file in (("onnx", "network.onnx"), ("torch", "network.safetensors")):
        own = folder / engine
        own.mkdir()
        if engine == "onnx":
            loaded = load_predictor(run, device="cpu").network
            write_onnx(loaded, own / file, modalities=1, patch=(16, 16, 16), free=())
        else:
            shutil.copy(run / "best.safetensors", own / file)
        shutil.copy(run / "plan.json", own)
        about = Description(
            name="tiny",
            target=engine,
            engine=engine,  # type: ignore[arg-type]
            network=file,
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
    """What becomes of a prediction: see `ending`."""
    return ending(lambda: predict(model, scans, out, device="cpu", threads=1))


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
