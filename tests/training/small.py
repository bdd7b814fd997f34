"""A study small enough to train in a second: phantoms of 20 voxels, a network of a few thousand weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from distilseg import commands
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan, save_plan
from distilseg.data.planning.splits import Split, save_split
from distilseg.data.prototypes import PrototypeFile
from distilseg.distillation.method import Method
from distilseg.networks.build import build
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.runs import Run
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.studies import make_study

CPU = Machine(device="cpu", precision="32-true")
NETWORK = {"filters": [4, 8, 8]}
# Teach-Former's, as small as they go.
STUDENT: dict[str, Any] = {"filters": 2, "depth": 4}
TEACHERS: dict[str, Any] = {
    "h_denseformer.filters": 3,
    "h_denseformer.depth": 4,
    "swin_unetr.feature_size": 12,
    "swin_unetr.window": 2,
    "unetr.feature_size": 4,
    "unetr.hidden": 24,
    "unetr.mlp": 48,
    "unetr.heads": 4,
}


def small_study(
    folder: Path, *, seed: int = 0, cases: int = 6, modalities: tuple[str, ...] = ("MR",)
) -> Study:
    """Six phantom cases written to `folder`: three to train, one to validate, two to judge."""
    write_phantom(folder, cases=cases, shape=(20, 20, 20), spacing_mm=(1, 1, 1), modalities=modalities)
    dataset = read_dataset(folder)
    plan = Plan(
        dataset=dataset.name,
        modalities=dataset.modalities,
        labels=dict(dataset.labels),
        spacing_mm=(1.0, 1.0, 1.0),
        normalisation={name: Normalisation(kind="zscore") for name in dataset.modalities},
        patch=(16, 16, 16),
        strides=((1, 1, 1), (2, 2, 2), (2, 2, 2)),
    )
    ids = tuple(case.id for case in dataset.cases)
    return Study(dataset, plan, Split(ids[:3], ids[3:4], ids[4:]), seed)


def other_volumes(folder: Path, study: Study) -> dict[str, str]:
    """Options that name four volumes of other phantoms below `folder`, prepared as those of `study` are."""
    data, plan, split = folder / "volumes", folder / "plan_3d.json", folder / "split_3d.json"
    write_phantom(
        data, cases=4, shape=(20, 20, 20), spacing_mm=(1, 1, 1), seed=1, modalities=study.plan.modalities
    )
    save_plan(plan, study.plan)
    ids = tuple(case.id for case in read_dataset(data).cases)
    save_split(split, Split(ids[:2], ids[2:3], ids[3:]))
    return {"data_3d": str(data), "plan_3d": str(plan), "split_3d": str(split)}


def unit_prototypes(plan: Plan) -> PrototypeFile:
    """Prototypes of the plan's classes that somebody fitted: of each class its own logit is 1."""
    counted = dict.fromkeys(plan.classes, 1)
    return PrototypeFile(
        feature="logits",
        prototypes={own: tuple(float(own == name) for name in plan.classes) for own in plan.classes},
        slices=counted,
        voxels=counted,
        reduce="slice_mean",
        softmax=False,
        across="axial",
        slice_range={},
        dataset="others",
        cases=1,
        modalities=plan.modalities,
        preprocessing={},
        network={},
        weights="",
        made_by="",
    )


def of_tokens(study: Study) -> Study:
    """The study with patches of 32 x 16 x 16: tokens are 16 voxels wide, and one alone is refused."""
    strides = ((1, 1, 1), *((2, 2, 2),) * 3, (2, 1, 1))
    return replace(study, plan=study.plan.model_copy(update={"patch": (32, 16, 16), "strides": strides}))


def one_step(recipe: str, data: Path, folder: Path, **asked: Any) -> list[Run]:
    """What `train` makes of the recipe in one step of the tiny network, below `folder`."""
    network: dict[str, Any] = {"network_options": NETWORK, **asked.pop("options", {})}
    plan = asked.pop("plan", None) or make_study(data, patch=(8, 8, 8), levels=3).plan
    return commands.train(
        recipe,
        data,
        plan=plan,
        options=network,
        runs=folder / "runs",
        cache=folder / "cache",
        steps=1,
        validations=1,
        machine=CPU,
        **asked,
    )


def method_of(experiment: Experiment) -> Method:
    """The objective that an experiment describes, for its networks and those of the teachers it trains."""
    specs = dict(experiment.networks)
    specs |= {r: t.networks["student"] for r, t in experiment.teachers.items() if isinstance(t, Experiment)}
    return experiment.method(
        {
            role: feature_shapes(build(spec), (1, spec.in_channels, *spec.patch))
            for role, spec in specs.items()
        }
    )


def small_experiment(
    study: Study, recipe: str = "dual_self_distillation", *, steps: int = 6, **settings: Any
) -> Experiment:
    """`recipe` on the tiny network."""
    experiment = find(recipe)(study, network_options=NETWORK)
    return experiment.with_settings(Budget(steps=steps), validations=2, **settings)


def of_seed(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment with another seed."""
    return replace(experiment, study=replace(experiment.study, seed=seed))
