"""Records the first losses of every recipe: `python -m tests.golden.record_losses` in the project's folder.

Each recipe trains for five steps on phantoms of 20 voxels, with a network of a few thousand weights, on one
thread of a CPU, in float32, through all that a real run goes through: preparing, sampling, augmenting,
initialising, stepping. A changed number means that a recipe learns otherwise than it did: record anew only
when that is wanted, and say in the commit what changed it (`scripts/compare_losses.py` finds where).
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import distilseg
from distilseg.recipes import Recipe, find, recipes
from distilseg.runs import read_rows, write_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import STUDENT, TEACHERS, of_tokens, other_volumes, small_study

RECORDED = Path(__file__).with_name("losses")
STEPS = 5
# Three features a side: with two, the teachers "mean" and "reversed" would hardly differ from "deepest".
STRIDES = ((1, 1, 1), *((2, 2, 2),) * 3)
NETWORK = {"filters": [4, 8, 8, 8]}
CPU = Machine(device="cpu", precision="32-true")

Rows = list[dict[str, str]]  # step, learning_rate, total and one column per term (unweighted)


def smoke_study(folder: Path) -> Study:
    """The phantoms, written below `folder`, with patches of 16 voxels."""
    study = small_study(folder / "scans")
    return replace(study, plan=study.plan.model_copy(update={"strides": STRIDES}))


def smoke_experiment(recipe: Recipe, study: Study, steps: int = STEPS) -> Experiment:
    """`recipe` with the tiny network, and with its own patch only if that is the study's.

    Volumes of other phantoms, where a recipe learns from such, lie beside the study's.
    """
    own = recipe.options.keys()
    if "data_3d" in own or recipe.name.startswith("prototype_"):
        experiment = _of_volumes(recipe, study)
    elif {"thickness", "student_options"} & own:
        study = of_tokens(study) if {"student_options", "teacher_options"} & own else study
        smaller: dict[str, Any] = {
            "thickness": 3,
            "backbone": "light",
            "student_options": STUDENT,
            "teacher_options": TEACHERS,
            "teacher_network_options": NETWORK,
            "patch": study.plan.patch,
        }
        experiment = recipe(study, **{name: value for name, value in smaller.items() if name in own})
    elif "network_options" in own:
        experiment = recipe(study, network_options=NETWORK)
    else:
        experiment = _shrunk(recipe(study), study)
    share = experiment.continues.budget_share if experiment.continues else 1.0
    return experiment.with_settings(Budget(steps=math.ceil(steps / share)), validations=1)


def _of_volumes(recipe: Recipe, study: Study) -> Experiment:
    """A recipe of slices, which may take prototypes of volumes."""
    own = recipe.options.keys()
    study = of_tokens(study) if "student_options" in own else study
    network = {"filters": [*NETWORK["filters"], 8]} if {"student_options", "size"} & own else NETWORK
    smaller: dict[str, Any] = {
        **other_volumes(study.dataset.folder.parent / "others", study),
        "network": "kd_net" if "student_sees" in own else "dynunet",
        "network_options": network,
        "teacher_network": "dynunet",
        "teacher_network_options": network,
        "teacher_network_3d_options": network,
        "student_options": STUDENT,
        "teacher_options": TEACHERS,
        "size": 32,
        "patch_3d": (32, 32, 32),
    }
    if "size" in own:  # of the published students, which have no smaller form
        del smaller["network"], smaller["network_options"]
    return recipe(study, **{name: value for name, value in smaller.items() if name in own})


def _shrunk(published: Experiment, study: Study) -> Experiment:
    """A recipe that fixes patch and network, with ours; preparation, sampling and updates remain its own."""
    size: dict[str, Any] = {"patch": study.plan.patch, "strides": study.plan.strides}
    plan = published.study.plan.model_copy(update=size)
    options = {**published.options, "network_options": NETWORK}
    experiment = find(published.recipe)(replace(published.study, plan=plan), **options)
    return replace(experiment, sampling=published.sampling, optimisation=published.optimisation)


def first_losses(recipe: Recipe, study: Study, folder: Path, steps: int = STEPS) -> Rows:
    """What the first `steps` steps of `recipe` minimise; runs and prepared cases are kept in `folder`."""
    run = trained(
        smoke_experiment(recipe, study, steps), runs=folder / "runs", machine=CPU, cache=folder / "cache"
    )
    return [{name: value for name, value in row.items() if value != ""} for row in read_rows(run.losses)]


def record(to: Path, *, steps: int = STEPS, only: Sequence[str] = ()) -> None:
    """Writes one table per recipe of this tree (of those in `only`, if any are named) to the folder `to`."""
    torch.set_num_threads(1)
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        study = smoke_study(Path(folder))
        for name, recipe in recipes().items():
            if not only or name in only:
                write_rows(to / f"{name}.csv", list(first_losses(recipe, study, Path(folder), steps)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=RECORDED, help="folder for the tables")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--recipes", nargs="*", default=[], help="these alone (default: all)")
    given = parser.parse_args()
    print(Path(distilseg.__file__).parent)  # whose losses these are
    record(given.to, steps=given.steps, only=given.recipes)
