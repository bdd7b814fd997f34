"""Records the first losses of every recipe: `python -m tests.golden.record_losses` in the project's folder.

Each recipe trains for five steps on phantoms of 20 voxels, with a network of a few thousand weights, on one
thread of a CPU, through all that a real run goes through: preparing, sampling, augmenting, initialising,
stepping, its teachers first. A changed number means that a recipe learns otherwise than it did: record anew
only when that is wanted, and say in the commit what changed it (`scripts/compare_losses.py` finds where).

What learns computes in float64. In float32 the tables would belong to one kind of processor: Adam divides
gradients by their size, so one that is nothing but rounding moves its weight by a full step either way, and
teachers that take a few such steps teach something else (4e-2 of a term between AVX2 and AVX-512). In float64
such a gradient is far below Adam's epsilon, and moves nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import distilseg
from distilseg.recipes import Recipe, find, recipes
from distilseg.runs import read_rows, write_rows
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.objective import Objective
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
    elif recipe.name.startswith("distil"):
        experiment = _of_answers(recipe, study)
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
    # The published ones have up to 24 slices a batch, and validate after each of our steps.
    smaller = {"batch_size": min(experiment.sampling.batch_size, 4), "each_epoch": False, "validations": 1}
    return experiment.with_settings(Budget(steps=math.ceil(steps / share)), **smaller)


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
    if "size" in own:  # of the published students, the one that can be made small
        smaller |= {"network": "missformer", "network_options": {"features": 8, "size": 64}}
    return recipe(study, **{name: value for name, value in smaller.items() if name in own})


def _of_answers(recipe: Recipe, study: Study) -> Experiment:
    """A recipe whose teacher is anyone's model: here a run of another seed, trained beside the scans."""
    folder, other = study.dataset.folder.parent, replace(study, seed=1)
    teacher = find("supervised")(other, network_options=NETWORK).with_settings(Budget(steps=STEPS))
    with in_float64():
        run = trained(teacher, runs=folder / "teachers", machine=CPU, cache=folder / "cache")
    return recipe(study, teacher=[str(run.folder)], network="dynunet", network_options=NETWORK)


def _shrunk(published: Experiment, study: Study) -> Experiment:
    """A recipe that fixes patch and network, with ours; preparation, sampling and updates remain its own."""
    size: dict[str, Any] = {"patch": study.plan.patch, "strides": study.plan.strides}
    plan = published.study.plan.model_copy(update=size)
    options = {**published.options, "network_options": NETWORK}
    experiment = find(published.recipe)(replace(published.study, plan=plan), **options)
    return replace(experiment, sampling=published.sampling, optimisation=published.optimisation)


class _Float64(Objective):
    """An objective whose networks and method compute, and are stepped, in float64."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.double()


def _as_its_weights(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a module is given, in float64 where its own weights are."""
    if all(weight.dtype != torch.float64 for weight in module.parameters(recurse=False)):
        return given
    return tuple(x.double() if isinstance(x, Tensor) and x.is_floating_point() else x for x in given)


@contextlib.contextmanager
def in_float64() -> Iterator[None]:
    """Whatever is trained meanwhile. Scans, augmentation and first weights stay float32, which is a rounding
    that later steps do not amplify. (Fabric's "64-true" would also turn the noise that a thread draws ahead.)
    """
    hook = nn.modules.module.register_module_forward_pre_hook(_as_its_weights)
    try:
        with mock.patch("distilseg.training.trained.Objective", _Float64):
            yield
    finally:
        hook.remove()


def first_losses(recipe: Recipe, study: Study, folder: Path, steps: int = STEPS) -> Rows:
    """What the first `steps` steps of `recipe` minimise; runs and prepared cases are kept in `folder`."""
    return losses_of(smoke_experiment(recipe, study, steps), folder)


def losses_of(experiment: Experiment, folder: Path) -> Rows:
    """What each step of `experiment` minimises, its teachers trained before."""
    with in_float64():
        run = trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")
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
