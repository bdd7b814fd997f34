"""Control, deep supervision and dual self-distillation at the published settings: a GPU, and one fold.

`scripts/on_a_gpu.py` runs them. It measures first how many steps fit into its minutes; 300 epochs do not.
Steps are the same for the three ways of a network, and `minutes` end what was planned too long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..jobs import Job

if TYPE_CHECKING:
    from distilseg.training.experiment import Experiment, Study

DATA = "Task04_Hippocampus"
RECIPE = "dsd_paper_hippocampus"
NETWORKS = ("unetr", "vnet", "dynunet")
WAYS = {"plain": ("supervised", {}), "ds": (RECIPE, {"alpha": 0.0, "beta": 0.0}), "dsd": (RECIPE, {})}
TOY = "dynunet"  # the network of a trial on a processor, and its size there
TOY_SIZE, TOY_BATCH = {"filters": [4, 8, 8, 8, 8]}, 2


def jobs(
    steps: Mapping[str, int] | None = None,
    minutes: float | None = None,
    only: Sequence[str] = (),
    judged: bool = True,
    device: str = "cuda",
    toy: bool = False,
    validations: int = 5,
) -> list[list[Job]]:
    """All nine, or `only` some by network and way ("unetr dsd"); without steps or minutes 300 epochs of each.

    steps: of each network.
    """
    settings = {
        "minutes": minutes,
        "judged": judged,
        "device": device,
        "toy": toy,
        "validations": validations,
    }
    made = {
        f"{network} {way}": Job(
            recipe, {"network": network, **terms}, {"steps": (steps or {}).get(network), **settings}
        )
        for network in ((TOY,) if toy else NETWORKS)
        for way, (recipe, terms) in WAYS.items()
    }
    return [[job for row, job in made.items() if not only or row in only]]


def experiment_of(job: Job, study: Study) -> Experiment:
    """The paper's recipe; plainly trained is its control."""
    from distilseg.recipes import find
    from distilseg.training.budget import Budget

    made = find(RECIPE)(study, **job.options)
    told = {name: job.settings[name] for name in ("steps", "minutes") if job.settings[name] is not None}
    budget = Budget(**told) if told else None  # the paper's
    if job.settings["toy"]:
        made = _small(made)
    made = made.with_settings(budget, validations=job.settings["validations"])
    plain = job.recipe == "supervised"
    assert made.control is not None
    return made.control if plain else made


def _small(experiment: Experiment) -> Experiment:
    """A network that learns on a processor, in batches of two; all else as published."""
    spec = replace(experiment.networks["student"], options=TOY_SIZE)
    small = replace(
        experiment,
        networks={"student": spec},
        sampling=replace(experiment.sampling, batch_size=TOY_BATCH),
        control=experiment.control and _small(experiment.control),
    )
    return small


def prepare(data: str, runs: str) -> None:
    """The cases that all jobs share, once, before they look for them side by side."""
    from distilseg.recipes import find
    from distilseg.training.cases import prepare as prepared
    from distilseg.training.studies import make_study

    prepared(find(RECIPE)(make_study(data)), None)


def train_one(job: Job, data: str, runs: str) -> None:
    import torch

    from distilseg.judge import judge
    from distilseg.training.machine import Machine
    from distilseg.training.studies import make_study
    from distilseg.training.trained import trained

    torch.set_num_threads(1)
    experiment = experiment_of(job, make_study(data))
    device = job.settings["device"]
    machine = Machine(device=device, precision="32-true")  # as published: the authors' code asks for no other
    run = trained(experiment, runs=Path(runs), machine=machine)
    if job.settings["judged"]:
        judge(run, experiment.study.dataset, device=device, timed=False)


def row_of(about: Mapping[str, Any]) -> str:
    """experiment.json -> "unetr dsd"."""
    options = about["options"]
    if about["recipe"] == "supervised":
        way = "plain"
    else:
        way = "dsd" if options["alpha"] or options["beta"] else "ds"
    return f"{options['network']} {way}"
