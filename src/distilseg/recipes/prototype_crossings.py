"""Prototypes of other people's volumes as one more term beside KD-Net's and Teach-Former's.

The sum of both objectives; the labels count once, by the other method. Students and their other teachers see
slices of the study, whose volumes the 3D teacher never sees. There is one training: the prototypes count from
its first step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..data.sampling.slices import sliced
from ..training.experiment import Experiment, Study
from .crossings import crossed
from .kd_net import TERMS, kd_net
from .others import OPENING
from .prototype_distillation import BETA
from .prototype_source import VOLUMES, Options, prototype_method, prototypes_from
from .supervised import supervised
from .teach_former import teach_former_2d
from .variant import Given, inherits, renamed

TITLE = "Two methods together"

FIT: Mapping[str, Any] = {
    "feature": "logits",
    "reduce": "slice_mean",
    "softmax": False,
    "across": "axial",
    "organs": [],
    "extent": [0.0, 1.0],
}


@inherits(prototypes_from, *VOLUMES)
def _with_prototypes(
    plain: Experiment,
    volumes: Given,
    *,
    teacher_network_3d: str = "dynunet",
    teacher_network_3d_options: Options = None,
    beta: float = BETA,
) -> Experiment:
    """`plain` with both distances between prototypes beside its own terms.

    prototypes: a file of `distilseg prototypes`, in place of --data-3d.
    teacher_network_3d: of the teacher of volumes.
    beta: weight of the distances between prototypes.
    """
    told = {
        "teacher_network_3d": teacher_network_3d,
        "teacher_network_3d_options": dict(teacher_network_3d_options or {}),
        "beta": beta,
    }
    teach = partial(supervised, network=teacher_network_3d, network_options=teacher_network_3d_options)
    source = prototypes_from(plain.study, **volumes, teach=teach, fit=FIT)
    weights = {"seg": 0.0, "inter": beta, "intra": beta}
    method = prototype_method(plain.study.plan.classes, weights=weights)
    made = crossed(plain, {**volumes, **told}, prototypes=method)
    return replace(made, prototypes=source)


@inherits(_with_prototypes)
@inherits(
    kd_net, "student_sees", "network", "network_options", "teacher", *TERMS, "teacher_outputs", *OPENING
)
def prototype_kd_net(study: Study, of_kd_net: Given, of_prototypes: Given) -> Experiment:
    """KD-Net on slices, with the prototypes of a 3D teacher that saw other patients.

    network: of the student and, unless one is named, of its teacher of slices.
    soft_share: weight of KD-Net's soft labels.
    alpha: weight of KD-Net's bottleneck.
    temperature: of KD-Net's soft labels.
    """
    plain = kd_net(replace(study, plan=sliced(study.plan)), **of_kd_net)
    return renamed(_with_prototypes(plain, **of_prototypes), "prototype_kd_net")


@inherits(_with_prototypes)
@inherits(teach_former_2d)
def prototype_teach_former(study: Study, of_teach_former: Given, of_prototypes: Given) -> Experiment:
    """Teach-Former on slices, with the prototypes of a 3D teacher that saw other patients.

    teachers: networks of slices, such as h_denseformer,swin_unetr,unetr, each trained first or found; or
    models that others trained.
    """
    plain = teach_former_2d(study, **of_teach_former)
    return renamed(_with_prototypes(plain, **of_prototypes), "prototype_teach_former")
