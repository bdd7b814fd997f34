"""Artefacts without a training: a small convolution as ONNX, with a plan and a description around it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan, save_plan
from distilseg.export.folder import describe
from distilseg.export.provenance import file_digest
from distilseg.runtime.artefact import CARD, Artefact, Description, View, open_artefact

SLIDING = {"kind": "sliding_window", "patch": [16, 16, 16], "overlap": 0.25, "blend": "gaussian"}


def plan_of(**changed: Any) -> Plan:
    """A plan of three classes, of one modality called MR, unless something else is asked for."""
    modalities = changed.pop("modalities", ("MR",))
    how = changed.pop("how", Normalisation(kind="zscore"))
    values = {
        "dataset": "made up",
        "modalities": modalities,
        "labels": {0: "background", 1: "shell", 2: "core"},
        "spacing_mm": (1.3, 1.0, 1.2),
        "normalisation": dict.fromkeys(modalities, how),
        "patch": (16, 16, 16),
        "strides": ((1, 1, 1), (2, 2, 2)),
    }
    return Plan(**values | changed)


def artefact(
    folder: Path,
    plan: Plan | None = None,
    inferers: Sequence[dict[str, Any]] = (SLIDING,),
    *,
    answers: str = "classes",
    fusion: dict[str, Any] | None = None,
    noise: float = 0.0,
) -> Artefact:
    """An artefact in `folder`, of a view for each inferer; `noise` of the weights makes labels noisy."""
    plan = plan or plan_of()
    folder.mkdir(parents=True)
    views = []
    for n, inferer in enumerate(inferers):
        name, plan_name = (
            (f"network_{n}.onnx", f"plan_{n}.json") if len(inferers) > 1 else ("network.onnx", "plan.json")
        )
        heads = len(plan.logits_of(answers))
        plane = inferer["kind"] == "slices" or (
            inferer["kind"] == "slabs" and inferer["patch"][inferer["axis"]] == 1
        )
        write_network(folder / name, len(plan.modalities), heads, axes=2 if plane else 3, noise=noise, seed=n)
        save_plan(folder / plan_name, plan)
        views.append(View(network=name, inferer=inferer, answers=answers, plan=plan_name))
    save_plan(folder / "plan.json", plan)
    (folder / CARD).write_text(
        "# A convolution\n\nMade up for tests.\n\n## Limits\n\nNot a medical device.\n", encoding="utf-8"
    )
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != CARD}
    dataset = {"name": "made up", "licence": "CC0-1.0", "reference": "nobody's"}
    network = {"name": "convolution", "options": {}}
    made = {"run": "made-up", "recipe": "by hand", "dataset": dataset, "network": network, "teachers": []}
    about = Description(
        name="made-up",
        target="onnx",
        engine="onnx",
        network=views[0].network,
        answers=views[0].answers,
        inferer=views[0].inferer,
        views=tuple(views) if fusion else (),
        fusion=fusion or {},
        made=made,
        files=files,
    )
    describe(folder, about)
    return open_artefact(folder)


def write_network(path: Path, modalities: int, heads: int, *, axes: int, noise: float, seed: int) -> None:
    """Logits that are linear in the mean of 3^axes voxels: the higher the intensity the higher the class."""
    rng = np.random.default_rng(seed)
    size = (3,) * axes
    steep = np.arange(heads, dtype=np.float32)
    weight = (
        np.ones((heads, modalities, *size))
        * (4 * steep).reshape(-1, *[1] * (axes + 1))
        / (3**axes * modalities)
    )
    weight = weight + noise * rng.normal(size=weight.shape)
    bias = -2 * steep * (steep + 1) / 2 + seed / 10
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weight", "bias"], ["logits"], pads=[1] * 2 * axes)],
        "convolution",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["n", modalities, *"dhw"[:axes]])],
        [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["n", heads, *"dhw"[:axes]])],
        [
            numpy_helper.from_array(weight.astype(np.float32), "weight"),
            numpy_helper.from_array(bias.astype(np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def changed(artefact: Artefact, **values: Any) -> Artefact:
    """The same folder with another description; for artefacts that cannot be a page."""
    file = artefact.path / "artefact.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values), encoding="utf-8")
    return open_artefact(artefact.path)
