"""An nnU-Net model as a shipment: its folds as one network, its preparation as values.

    network(x) = mean over folds of network_f(x)

which is nnU-Net's mean of the folds' logits, as all see the same windows with the same weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Literal

import torch
from torch import Tensor, nn

from ...data.planning.normalisation import Normalisation
from ...data.planning.plan import Plan
from ...errors import UserError
from ...runtime.nnunet.preparation import LEAST_STEP, Channel, Stage, Way
from ..shipment import Shipment, Shipped
from .model import NnUNetTeacher


class MeanOfFolds(nn.Module):
    """The mean of several networks' logits."""

    def __init__(self, folds: Sequence[nn.Module]) -> None:
        super().__init__()
        self.folds = nn.ModuleList(folds)

    def forward(self, image: Tensor) -> Tensor:
        """Windows [N M *P] -> logits [N K *P]."""
        first, *others = self.folds
        total: Tensor = first(image)
        for fold in others:
            total = total + fold(image)
        return total / len(self.folds)


def shipment(teacher: NnUNetTeacher) -> Shipment:
    """What an artefact of `teacher` needs, a cascade's first stage included."""
    stages = list(_stages(teacher))
    stems = ["network" if n == len(stages) - 1 else f"network_stage_{n}" for n in range(len(stages))]
    if teacher.step < LEAST_STEP:
        raise UserError(
            f"windows {teacher.step:g} of a patch apart never end", f"give a step from {LEAST_STEP:g} on"
        )

    def way(files: Mapping[str, str]) -> str:
        described = [_stage(stage, files[stem]) for stage, stem in zip(stages, stems, strict=True)]
        made = Way(modalities=teacher.modalities, orientation=teacher.orientation, stages=tuple(described))
        return made.model_dump_json(indent=2) + "\n"

    networks = {stem: _shipped(stage) for stage, stem in zip(stages, stems, strict=True)}
    return Shipment(
        preparation="nnunet",
        networks=networks,
        way=way,
        plan=_plan(teacher),
        answers=_answers(teacher),
        inferer={
            "kind": "sliding_window",
            "patch": list(teacher.configuration.patch),
            "overlap": 1 - teacher.step,
            "blend": "gaussian",
            "mirror": list(teacher.mirrored),
        },
        told={
            "folds": list(teacher.folds),
            "mirrored_axes": list(teacher.mirrored),
            "window_step": teacher.step,
            "orientation": teacher.orientation or "as stored",
            "configuration": teacher.configuration.name,
            **({"first_stage": stages[0].configuration.name} if len(stages) > 1 else {}),
        },
    )


def _stages(teacher: NnUNetTeacher) -> Iterator[NnUNetTeacher]:
    """The first that answers comes first."""
    if teacher.previous is not None:
        yield from _stages(teacher.previous)
    yield teacher


def _stage(teacher: NnUNetTeacher, file: str) -> Stage:
    described = teacher.described
    return Stage(
        network=file,
        preparation=teacher.configuration.preparation,
        answers=_answers(teacher),
        paints=described.paints,
        foreground=described.foreground if teacher.previous is not None else (),
        mirrored=teacher.mirrored,
        step=teacher.step,
    )


def _answers(teacher: NnUNetTeacher) -> Literal["classes", "regions"]:
    return "classes" if teacher.activation == "softmax" else "regions"


def _shipped(teacher: NnUNetTeacher) -> Shipped:
    """The folds, all in memory: one network."""
    folds = [deepcopy(network).eval() for network in teacher.networks()]
    network = folds[0] if len(folds) == 1 else MeanOfFolds(folds).eval()
    return Shipped(network.to(torch.device("cpu")), teacher.network.in_channels, teacher.configuration.patch)


def _plan(teacher: NnUNetTeacher) -> Plan:
    """The nearest that a plan of ours comes to what nnU-Net does, for people and programs that ask for the
    modalities, the labels, the spacing."""
    of = teacher.configuration
    axes = [2 - axis for axis in of.transpose][3 - len(of.patch) :]  # x y z that the patch runs along
    patch, spacing = [1, 1, 1], [max(of.spacing)] * 3
    for axis, voxels, mm in zip(axes, of.patch, of.spacing, strict=True):
        patch[axis], spacing[axis] = voxels, mm
    named = dict(zip(teacher.described.paints, (head.name for head in teacher.heads), strict=True))
    return Plan(
        dataset=of.dataset or teacher.described.dataset or teacher.name,
        modalities=teacher.modalities,
        labels={0: "background", **{value: name for value, name in sorted(named.items()) if value}},
        spacing_mm=tuple(spacing),
        interpolation="cubic",
        crop="nonzero",
        normalisation=dict(zip(teacher.modalities, map(_normalisation, of.channels), strict=True)),
        patch=tuple(patch),
        strides=((1, 1, 1), (1, 1, 1)),
        overlap=min(1 - teacher.step, 0.99),
        reasons={
            "orientation": "nnU-Net takes scans as they are stored"
            if teacher.orientation is None
            else f"scans are turned to {teacher.orientation}",
            "normalisation": "by nnU-Net, before it resamples: preparation.json says how",
            "strides": "nnU-Net's own, in the network",
        },
    )


def _normalisation(channel: Channel) -> Normalisation:
    match channel.scheme:
        case "CTNormalization" if channel.low < channel.high:
            return Normalisation(
                kind="window_zscore",
                low=channel.low,
                high=channel.high,
                mean=channel.mean,
                std=max(channel.std, 1e-8),
            )
        case "ZScoreNormalization":
            return Normalisation(kind="zscore_nonzero" if channel.masked else "zscore")
        case "RescaleTo01Normalization":
            return Normalisation(kind="minmax")
        case "RGBTo01Normalization":
            return Normalisation(kind="range", low=0, high=255)
    return Normalisation(kind="none")
