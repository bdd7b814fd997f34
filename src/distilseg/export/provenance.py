"""Whence a student comes: its run, its data, its teachers and theirs, licences, versions, digests.

An artefact is handed on, so what it says stays free of the machine that made it: of a path only the last
part is kept, and cases are not named.
"""

from __future__ import annotations

import glob
import hashlib
import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..names import component
from ..runs import Run

NOT_STATED = "not stated by the dataset"
NOT_SAID = "not stated by the teacher"
_ENGINES = ("torch", "nncf", "onnx", "onnxscript", "onnxruntime", "openvino")


def provenance(run: Run, weights: Path) -> dict[str, Any]:
    """What artefact.json holds as `made`."""
    about = run.read(run.experiment)
    status = run.read(run.status) if run.finished else {}
    return {
        **_of(run, about),
        "options": _without_paths(about.get("asked", about.get("options", {}))),
        "seed": about.get("seed"),
        "steps": status.get("steps"),
        "network": _without_paths(about["networks"]["student"]),
        "weights": {"of": weights.stem, "sha256": file_digest(weights)},
        "teachers": [_teacher(run, role, name) for role, name in about.get("teachers", {}).items()],
        "teachers_of_others": [
            _other(role, told) for role, told in about.get("teachers_of_others", {}).items()
        ],
        "continues": about.get("continues"),
        "prototypes": _without_paths(about.get("prototypes")),
        "trained_with": about.get("versions", {}),
        "exported_with": {"distilseg": __version__, **versions()},
    }


def provenance_of_views(whole: Run, runs: Sequence[Run], weights: Sequence[Path]) -> dict[str, Any]:
    """The same of runs that answer as one: the first's, with all of them as `views`."""
    views = [provenance(run, path) for run, path in zip(runs, weights, strict=True)]
    return {
        **views[0],
        "run": whole.name,
        "teachers": [teacher for view in views for teacher in view["teachers"]],
        "teachers_of_others": [teacher for view in views for teacher in view["teachers_of_others"]],
        "views": [{name: view[name] for name in ("run", "network", "weights")} for view in views],
    }


def licence_notes(made: Mapping[str, Any]) -> list[str]:
    """A line for each source of which somebody may hold rights: data, teachers, first weights."""
    notes = [f"data: {_licence(made['dataset'])}"]
    notes += [f"teacher {t['role']}, {t['run']}: {_licence(t['dataset'])}" for t in made["teachers"]]
    for other in made.get("teachers_of_others", ()):
        notes.append(f"teacher {other['role']}, {other['name']}: {_licence(other['dataset'])}")
        notes += [f"teacher {other['role']}, {other['name']}: {warning}" for warning in other["warnings"]]
    if start := made["network"].get("options", {}).get("imagenet"):
        notes.append(f"training began from the weights {start}: see the licence they came with")
    if of := made.get("prototypes"):
        notes.append(f"prototypes: of a teacher trained on {of.get('dataset', 'another dataset')}")
    return list(dict.fromkeys(notes))


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of(run: Run, about: Mapping[str, Any]) -> dict[str, Any]:
    data = about["dataset"]
    return {
        "run": run.name,
        "recipe": Path(about["recipe"]).name,
        "dataset": {name: data.get(name) or NOT_STATED for name in ("name", "licence", "reference")},
    }


def _teacher(run: Run, role: str, name: str) -> dict[str, Any]:
    """What a teacher's own run says, where it lies beside the student's or beside another dataset's runs."""
    unknown = {"name": NOT_STATED, "licence": NOT_STATED, "reference": NOT_STATED}
    beside = [run.folder.parent / component(name, kind="teacher")]
    beside += sorted(run.folder.parent.parent.glob(f"*/{glob.escape(name)}"))
    for teacher in map(Run, beside):
        if teacher.experiment.is_file():
            about = teacher.read(teacher.experiment)
            network = _without_paths(about["networks"]["student"])
            digest = file_digest(teacher.best) if teacher.best.is_file() else None
            return {"role": role, **_of(teacher, about), "network": network, "weights_sha256": digest}
    return {"role": role, "run": name, "recipe": None, "dataset": unknown, "network": None}


def _other(role: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """A teacher that others trained, as the run recorded it: what it is, whose, on what terms."""
    terms = {"name": told["dataset"], "licence": told["licence"], "reference": told["reference"]}
    return {
        "role": role,
        **{name: told[name] for name in ("name", "kind", "network", "trainer", "digest")},
        "dataset": {name: value or NOT_SAID for name, value in terms.items()},
        "warnings": list(told["warnings"]),
        "learned": dict(told["learned"]),
    }


def _licence(dataset: Mapping[str, Any]) -> str:
    return f"{dataset['name']}, licence: {dataset['licence']}, reference: {dataset['reference']}"


def _without_paths(value: Any) -> Any:
    """Plain values; of text that is a path from the root, its last part."""
    if isinstance(value, Mapping):
        return {name: _without_paths(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_paths(inner) for inner in value]
    return (
        Path(value).name if isinstance(value, str) and Path(value.partition(":")[0]).is_absolute() else value
    )


def versions() -> dict[str, str]:
    """Of the packages that an export runs through, those that are installed."""
    found = {}
    for package in _ENGINES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
