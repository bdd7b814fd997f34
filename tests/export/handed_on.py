"""Students for other programs without a training: random weights, a plan, and scans to compare answers on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch

from distilseg.data.case import Source
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.preparing.grid import Grid
from distilseg.data.scans.reading import read_scans
from distilseg.data.scans.scan import Scan
from distilseg.export.student import Student
from distilseg.functional.window_options import OPTIONS, described
from distilseg.inference.build import make_inferer
from distilseg.networks.build import NetworkSpec, build
from distilseg.predict import Predictor
from distilseg.runs import Run
from distilseg.teachers.teacher import Answer

UNTAUGHT = {"teachers": [], "teachers_of_others": [], "continues": None, "prototypes": None}
MADE: Mapping[str, Any] = {
    "run": "run-1",
    "recipe": "supervised",
    "dataset": {"name": "Phantom", "licence": "CC-BY 4.0", "reference": "somebody"},
    "network": {"name": "a network", "options": {}},
    **UNTAUGHT,
}
LABELS = {0: "background", 1: "liver", 2: "tumour"}
RAS, LPS = np.eye(3), np.diag([-1.0, -1.0, 1.0])
FEET_FIRST = np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]])  # stored axes run A, I, R


def plan_of(**changed: Any) -> Plan:
    """Of 16 voxels of 1 x 1.5 x 2 mm."""
    modalities = changed.pop("modalities", ("CT",))
    values: dict[str, Any] = {
        "dataset": "Task07_Small",
        "modalities": modalities,
        "labels": LABELS,
        "spacing_mm": (1.0, 1.5, 2.0),
        "normalisation": {name: Normalisation(kind="range", low=-2, high=3) for name in modalities},
        "patch": (16, 16, 16),
        "strides": ((1, 1, 1), (2, 2, 2)),
    }
    return Plan(**{**values, **changed})


def student_of(
    plan: Plan,
    network: str,
    options: Mapping[str, Any],
    *,
    answers: str = "classes",
    inferer: Mapping[str, Any] | None = None,
) -> Student:
    """Of random weights; its windows are those of the plan's patch."""
    torch.manual_seed(0)
    spec = NetworkSpec(
        network, len(plan.modalities), len(plan.logits_of(answers)), plan.network_patch, dict(options)
    )
    about: dict[str, Any] = {"kind": "sliding_window", "patch": list(plan.network_patch), "overlap": 0.5}
    if plan.slice_axis is not None:
        about |= {"kind": "slices", "axis": plan.slice_axis}
    about = {**about, **inferer} if inferer and "kind" not in inferer else dict(inferer or about)
    made = build(spec).eval()
    for module in made.modules():
        if isinstance(getattr(module, "running_mean", None), torch.Tensor):
            module.running_mean.normal_(std=0.1)
    with torch.no_grad():
        for weight in made.parameters():
            if weight.ndim == 1:  # norms that begin at 1 and biases that begin at 0 would hide mistakes
                weight += 0.2 * torch.randn_like(weight)
    predictor = Predictor(made, plan, make_inferer(about), torch.device("cpu"), answers)
    return Student(Run(Path("run-1")), predictor, spec, described(about, OPTIONS), MADE)


def scans_at(
    folder: Path,
    plan: Plan,
    *,
    axes: np.ndarray = LPS,
    shape: tuple[int, ...] = (16, 16, 16),
    spacing_mm: tuple[float, ...] | None = None,
    hole: bool = False,
) -> dict[str, Scan]:
    """Files of smooth noise, one for each modality: `shape` and spacing (the plan's) in their oriented order,
    stored along the columns of `axes`. `hole`: some voxels within are 0."""
    spacing_mm = spacing_mm or plan.spacing_mm
    across = np.abs(axes).argmax(0)  # which of R A S each stored axis runs along
    oriented = [
        next(n for n, ends in enumerate(("RL", "AP", "SI")) if letter in ends) for letter in plan.orientation
    ]
    affine = np.eye(4)
    affine[:3, :3] = axes * [spacing_mm[oriented.index(axis)] for axis in across]
    affine[:3, 3] = (-7, 4, 31)
    sizes = [shape[oriented.index(axis)] for axis in across]
    sources = {}
    for n, name in enumerate(plan.modalities):
        path = folder / f"case_{n:04d}.nii.gz"
        noise = np.random.default_rng(n).normal(size=sizes)
        for axis in range(3):
            noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
        if hole:
            noise[5:11, 4:12, 6:10] = 0
        image = nibabel.Nifti1Image(np.clip(noise / 4, -2.5, 3.5).astype(np.float32), affine)
        nibabel.save(image, path)
        sources[name] = Source(path)
    return read_scans(sources)


def by_run(student: Student, scans: Mapping[str, Scan]) -> tuple[np.ndarray, np.ndarray]:
    """Its logits on the working grid, [K *S] with axes as stored, and its label values [I J K]."""
    prepared = student.predictor.prepare(scans, case="case")
    logits = student.predictor.logits(prepared.image, case="case")
    return _stored(logits.numpy(), prepared.grid), student.predictor.labels(logits, prepared.grid)


def by_teacher(answer: Answer) -> np.ndarray:
    """The same logits of another program's reading."""
    place = answer.placement
    flips = tuple(slice(None, None, -1 if step < 0 else 1) for step in place.step)
    return answer.logits[:, *flips].transpose(0, *(1 + np.argsort(place.order)))


def _stored(logits: np.ndarray, grid: Grid) -> np.ndarray:
    flips = tuple(slice(None, None, -1 if flip else 1) for flip in grid.flipped)
    return logits[:, *flips].transpose(0, *(1 + np.argsort(grid.order)))
