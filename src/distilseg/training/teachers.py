"""Teachers: trained networks that are shown what they were trained on, or refused.

Channels carry no names inside a network: CT where PET was learned gives numbers, and no error. So the weights
of a run keep the modalities and classes they were trained with, in order, and both are compared here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from .. import progress
from ..data.planning.plan import load_plan
from ..data.preparing.cache import CachedCase
from ..data.sampling.batches import Maps
from ..data.sampling.patches import Foreground
from ..distillation.method import Method, Modalities, whole_image
from ..errors import UserError
from ..names import pasted
from ..networks.build import NetworkSpec
from ..networks.checkpoint import load_network
from ..runs import Run
from .cases import steps_per_epoch
from .experiment import Experiment, file_digest
from .machine import Machine
from .objective import map_name
from .recorded import Teacher, choose, recorded, structures


def load_teacher(role: str, run: Run, experiment: Experiment) -> tuple[nn.Module, NetworkSpec]:
    """The network of a finished run, for the experiment's frozen `role`.

    Raises UserError if the run was trained on other modalities or classes, in another order, or prepared
    otherwise (spacing, orientation, normalisation) than the experiment's scans are.
    """
    of = experiment.teachers[role]
    trust = of.networks["student"].name if isinstance(of, Experiment) else None
    network, spec, extra = load_network(run.best, trust=trust, mapped=True)
    plan, own = experiment.study.plan, load_plan(run.plan)
    for name, kept, expected in (
        ("modalities", own.modalities, plan.modalities),
        ("classes", own.classes, plan.classes),
    ):
        if (learned := tuple(extra.get(name, kept))) != expected:
            raise UserError(
                f"the teacher {run.folder} was trained on the {name} {', '.join(learned)}, it would be given"
                f" {', '.join(expected)}",
                "a teacher takes those of the study, in their order; train one on this dataset, or take the"
                " recipe distil, which learns from the answers of any",
            )
    prepared, wanted = own.preprocessing(), plan.preprocessing()
    if differing := [name for name in wanted if prepared[name] != wanted[name]]:
        name = differing[0]
        raise UserError(
            f"the teacher {run.folder} was trained on scans prepared with {name} {prepared[name]},"
            f" here it is {wanted[name]}",
            f"train with its plan, {pasted('--plan', run.plan)}, or take the recipe distil, which learns from"
            " answers of any",
        )
    return network, spec


def record_teachers(
    experiment: Experiment,
    method: Method,
    teachers: Mapping[str, Run],
    networks: dict[str, nn.Module],
    prepared: Mapping[str, CachedCase],
    machine: Machine,
    cache: Path | None,
) -> tuple[Maps, dict[str, Foreground], str]:
    """The teachers' outputs by case; of cases without a label, where teachers see structures, the first
    teacher's sight before others'; and why. Empty where teachers run at each step: of scans that nobody
    labelled they then know nothing before, and patches of these lie anywhere.

    Recorded teachers leave `networks`: they need no memory while the student learns.
    """
    if not teachers:
        return {}, {}, ""
    patch, sampling = experiment.study.plan.patch, experiment.sampling
    cases = {id: prepared[id] for id in (*experiment.study.split.train, *experiment.study.unlabelled)}
    made = [
        Teacher(role, networks[role], method.roles[role], file_digest(run.best), load_plan(run.plan).patch)
        for role, run in teachers.items()
    ]
    recording, why = choose(
        experiment.teacher_outputs,
        list(cases.values()),
        patch,
        experiment.study.plan.total_stride,
        experiment.budget,
        steps_per_epoch(experiment),
        sampling.batch_size * experiment.optimisation.accumulate,
        {teacher.patch for teacher in made} - {patch},
    )
    if not recording:
        return {}, {}, why
    progress.say(f"teacher outputs are recorded: {why}")
    maps = recorded(made, cases, patch, torch.device(machine.kind), cache)
    seen: dict[str, Foreground] = {}
    for role in teachers:
        del networks[role]
        for id, case in cases.items():
            if case.label is None:
                logits = maps[id][map_name(role, "logits")]
                found = structures(logits, case.image.shape[1:], experiment.answers)
                seen[id] = {**found, **seen.get(id, {})}
    return maps, seen, why


def check_shown(method: Method, specs: Mapping[str, NetworkSpec]) -> None:
    """Every network of `method` is shown as many modalities as it takes; a programming mistake otherwise."""
    for role, part in method.roles.items():
        channels = len(part.input.indices) if isinstance(part.input, Modalities) else None
        if part.input is not whole_image and channels not in (None, specs[role].in_channels):
            raise ValueError(
                f"{role} is shown {channels} modalities, its network takes {specs[role].in_channels}"
            )
