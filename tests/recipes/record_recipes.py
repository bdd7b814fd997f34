"""Records what every recipe offers and which runs it makes: `python -m tests.recipes.record_recipes`.

A run's folder is named by its identity. If a name changes here, runs that people have are not found again
and are trained anew: record only when that is wanted, and say so in the commit. No network is built and
nothing is trained.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import tempfile
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from distilseg.data.planning.plan import save_plan
from distilseg.data.planning.splits import save_split
from distilseg.data.prototypes import save_prototypes
from distilseg.errors import UserError
from distilseg.recipes import Recipe, others, recipes
from distilseg.runs import Run
from distilseg.training.experiment import TRAINS_AS, Experiment, Finished, Prototypes, Study
from distilseg.training.foreign import Foreign

from ..teachers.small import Numbers, classes
from ..training.small import other_volumes, small_study, unit_prototypes

RECORDED = Path(__file__).with_name("recorded_recipes.json")
# Values other than the defaults, where half or twice the default would not do.
OTHER: dict[str, Any] = {
    "student_sees": ("PET",),
    "teachers": ("unetr",),
    "student": "ux_net",
    "student_options": {"filters": 2},
    "teacher_options": {"unetr.feature_size": 8},
    "network_options": {"filters": [4, 8, 8]},
    "teacher_network": "unetr",
    "teacher_network_options": {"feature_size": 8},
    "teacher_network_3d": "unetr",
    "teacher_network_3d_options": {"feature_size": 8},
    "filters": (4, 8, 8),
    "gt_weight": 0.125,
    "shared_heads": True,
    "teacher_seed": 1,
    "size": 64,
    "layout_3d": "msd",
    "plan_3d": "other_plan.json",
    "split_3d": "other_split.json",
    "class_map": {"liver": "liver"},
    "organs": ("liver",),
    "patch_3d": (64, 64, 64),
    "patch": (64, 64, 32),
    "imagenet": "imagenet.pth",
    "classes": ("liver=liver",),
    "teacher_modalities": ("PET", "CT"),
    "teacher_configuration": "3d_lowres",
    "teacher_folds": ("0",),
    "teacher_mirror": True,
    "teacher_step": 0.25,
    "teacher_orientation": "LPS",
    "teacher_card": "card.json",
    "teacher_saw": "other_split.json",  # changes no run
    "trust_teacher": ("digest",),
}
_SCORES = {"scores": "scores.json", "score_range": (0, 1)}
_FEATURES = {"network": "dynunet", "feature": "decoder.0", "teacher_feature": "decoder.0"}
TOGETHER = dict.fromkeys(_SCORES, _SCORES) | dict.fromkeys(("feature", "teacher_feature"), _FEATURES)
TOGETHER["fuse"] = {"view": "all", "fuse": "mean"}

Options = dict[str, dict[str, str]]


def study_here() -> Study:
    """Phantoms of two modalities below the working folder: some paths are part of an identity."""
    study = small_study(Path("scans"), modalities=("CT", "PET"))
    return replace(study, plan=study.plan.model_copy(update={"regions": {"outer": (1, 2), "inner": (2,)}}))


def sources_here(study: Study) -> Options:
    """Options that say where prototypes come from: of volumes, of a finished run, of a file."""
    run = Run(Path("finished"))
    save_plan(run.plan, study.plan)
    save_split(run.split, study.split)
    run.experiment.write_text(json.dumps({"dataset": {"folder": "gone", "name": "others"}}))
    run.best.write_bytes(b"weights")
    save_prototypes(Path("prototypes.json"), unit_prototypes(study.plan))
    Path("scores.json").write_text("{}")
    volumes = other_volumes(Path("others"), study)
    split = json.loads(Path(volumes["split_3d"]).read_text())
    save_plan(Path("other_plan.json"), study.plan.model_copy(update={"reasons": {"spacing": "other"}}))
    Path("other_split.json").write_text(json.dumps({**split, "train": split["train"][::-1]}))
    return {
        "data_3d": volumes,
        "teacher": {"teacher": str(run.folder)},
        "prototypes": {"prototypes": "prototypes.json"},
    }


def measured() -> dict[str, Any]:
    """All recipes by name; writes to the working folder, which should be an empty one."""
    study = study_here()
    sources = sources_here(study)
    heads = classes(*study.plan.classes)
    model = Numbers(np.zeros((len(heads), 1, 1, 1), np.float32), heads, modalities=study.plan.modalities)
    with mock.patch.object(others, "open_teacher", return_value=model):
        found = {name: _measured(recipe, study, sources) for name, recipe in recipes().items()}
    return {"version": TRAINS_AS, "recipes": found}


def _measured(recipe: Recipe, study: Study, sources: Options) -> dict[str, Any]:
    needed: dict[str, Any] = sources["data_3d"] if "data_3d" in recipe.options else {}
    if recipe.name.startswith("distil"):
        needed = {"teacher": ("model",)}
    hints = typing.get_type_hints(recipe.make)
    parameters = inspect.signature(recipe.make).parameters
    usual = recipe(study, **needed)
    names = [parameter.name for parameter in parameters.values() if parameter.kind is parameter.KEYWORD_ONLY]
    assert [*parameters] == ["study", *names]
    assert hints["return"] is Experiment
    changed = {}
    for name in names:
        options = needed | _changed(parameters[name], hints[name], sources, recipe.name)
        try:
            changed[name] = _digest(_runs(recipe(study, **options)))
        except UserError as refused:
            changed[name] = refused.cause
    return {
        "summary": recipe.summary,
        "options": {name: _text(hints[name], parameters[name].default) for name in names},
        "runs": _runs(usual),
        "runs with another": changed,
    }


def _text(hint: Any, default: Any) -> str:
    return f"{inspect.formatannotation(hint)} = {default!r}"


def _changed(parameter: inspect.Parameter, hint: Any, sources: Options, recipe: str) -> dict[str, Any]:
    """The option with a value that is not its default, and what goes with it."""
    name, usual = parameter.name, parameter.default
    if usual is None and name in sources:
        of_prototypes = name == "prototypes" or recipe.startswith("prototype_distillation")
        left_out = dict.fromkeys(sources["data_3d"]) if of_prototypes else {}
        return {**left_out, **sources[name]}
    if name == "teacher" and usual == ():
        return {name: ("model", "another")}
    if name in TOGETHER:
        return TOGETHER[name]
    if name in OTHER:
        return {name: OTHER[name]}
    if typing.get_origin(hint) is typing.Literal:
        return {name: next(value for value in reversed(typing.get_args(hint)) if value != usual)}
    if isinstance(usual, str):
        return {name: "unetr"}
    if isinstance(usual, bool):
        return {name: not usual}
    return {name: 2 * usual if isinstance(usual, int) else usual / 2 or 0.25}


def _runs(experiment: Experiment) -> dict[str, Any]:
    """The names of the folders of the run and of those that it needs or is compared with."""
    control, source, first = experiment.control, experiment.prototypes, experiment.continues
    found: dict[str, Any] = {
        "run": experiment.run_name(),
        "control": control and control.run_name(),
        "views": [view.run_name() for view in experiment.views],
        "fuse": experiment.fuse if experiment.views else None,
        "teachers": {role: _name(teacher) for role, teacher in experiment.teachers.items()},
        "continues": first and _name(first.run),
        "prototypes": _name(source.teacher) if isinstance(source, Prototypes) else source and source.name,
    }
    return {name: value for name, value in found.items() if value}


def _name(needed: Experiment | Finished | Foreign) -> str:
    if isinstance(needed, Foreign):
        return needed.teacher.name
    return needed.run_name() if isinstance(needed, Experiment) else needed.folder.name


def _digest(runs: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(runs, sort_keys=True).encode(), digest_size=4).hexdigest()


def record() -> None:
    """Writes the file beside this one."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        found = measured()
        os.chdir(before)
    RECORDED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record()
