"""Prototypes of other people's volumes as one more term beside KD-Net's and Teach-Former's.

The sum of both objectives; the labels count once, by the other method. Students and their other teachers see
slices of the study, whose volumes the 3D teacher never sees. There is one training: the prototypes count from
its first step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..data.sampling.slices import sliced
from ..training.experiment import Experiment, FeatureShapes, Study
from .kd_net import kd_net
from .prototype_distillation import BETA
from .prototype_source import prototype_method, prototypes_from
from .supervised import supervised
from .teach_former import STUDENT, T1, T2, T3, Options, TeacherOutputs, teach_former_2d

if TYPE_CHECKING:
    from ..data.prototypes import PrototypeFile
    from ..distillation.method import Method

FIT: Mapping[str, Any] = {
    "feature": "logits",
    "reduce": "slice_mean",
    "softmax": False,
    "across": "axial",
    "organs": [],
    "extent": [0.0, 1.0],
}


def prototype_kd_net(
    study: Study,
    *,
    data_3d: str | None = None,
    plan_3d: str | None = None,
    split_3d: str | None = None,
    prototypes: str | None = None,
    student_sees: Sequence[str] = (),
    network: str = "kd_net",
    network_options: Options = None,
    teacher_network_3d: str = "dynunet",
    teacher_network_3d_options: Options = None,
    beta: float = BETA,
    soft_share: float = 0.75,
    alpha: float = 10.0,
    temperature: float = 5.0,
    teacher_outputs: TeacherOutputs = "live",
) -> Experiment:
    """KD-Net on slices, with the prototypes of a 3D teacher that saw other patients.

    data_3d: labelled volumes of other patients than the slices', whose teacher is trained first.
    plan_3d: of `distilseg plan` for the volumes.
    split_3d: JSON lists train, validation, test of the volumes.
    prototypes: a file of `distilseg prototypes`, in place of --data-3d.
    student_sees: the modalities of the student, such as CT; default: the first of the dataset.
    network: of the student and of its teacher of slices.
    teacher_network_3d: of the teacher of volumes.
    beta: weight of the distances between prototypes.
    soft_share: weight of KD-Net's soft labels.
    alpha: weight of KD-Net's bottleneck.
    temperature: of KD-Net's soft labels.
    teacher_outputs: live asks the teacher at every step, recorded once per case, auto takes what asks less.
    """
    plain = kd_net(
        replace(study, plan=sliced(study.plan)),
        student_sees=student_sees,
        network=network,
        network_options=network_options,
        soft_share=soft_share,
        alpha=alpha,
        temperature=temperature,
        teacher_outputs=teacher_outputs,
    )
    return _with_prototypes(
        plain,
        "prototype_kd_net",
        beta,
        data_3d=data_3d,
        plan_3d=plan_3d,
        split_3d=split_3d,
        prototypes=prototypes,
        teacher=teacher_network_3d,
        teacher_options=teacher_network_3d_options,
    )


def prototype_teach_former(
    study: Study,
    *,
    data_3d: str | None = None,
    plan_3d: str | None = None,
    split_3d: str | None = None,
    prototypes: str | None = None,
    teachers: Sequence[str] = (T1, T2, T3),
    student: str = STUDENT,
    student_options: Options = None,
    teacher_options: Options = None,
    teacher_network_3d: str = "dynunet",
    teacher_network_3d_options: Options = None,
    beta: float = BETA,
    teacher_outputs: TeacherOutputs = "auto",
) -> Experiment:
    """Teach-Former on slices, with the prototypes of a 3D teacher that saw other patients.

    data_3d: labelled volumes of other patients than the slices', whose teacher is trained first.
    plan_3d: of `distilseg plan` for the volumes.
    split_3d: JSON lists train, validation, test of the volumes.
    prototypes: a file of `distilseg prototypes`, in place of --data-3d.
    teachers: networks of slices, such as h_denseformer,swin_unetr,unetr, each trained first or found.
    student: h_denseformer_light, swin_unetr_light, ux_net or any other network.
    teacher_options: options of a teacher's network, such as unetr.feature_size=8.
    teacher_network_3d: of the teacher of volumes.
    beta: weight of the distances between prototypes.
    teacher_outputs: live asks the teachers at every step, recorded once per case, auto takes what asks less.
    """
    plain = teach_former_2d(
        study,
        teachers=teachers,
        student=student,
        student_options=student_options,
        teacher_options=teacher_options,
        teacher_outputs=teacher_outputs,
    )
    return _with_prototypes(
        plain,
        "prototype_teach_former",
        beta,
        data_3d=data_3d,
        plan_3d=plan_3d,
        split_3d=split_3d,
        prototypes=prototypes,
        teacher=teacher_network_3d,
        teacher_options=teacher_network_3d_options,
    )


def _with_prototypes(
    plain: Experiment,
    recipe: str,
    beta: float,
    *,
    teacher: str,
    teacher_options: Options,
    data_3d: str | None,
    plan_3d: str | None,
    split_3d: str | None,
    prototypes: str | None,
) -> Experiment:
    """`plain` with both distances between prototypes beside its own terms."""
    source = prototypes_from(
        plain.study,
        data_3d=data_3d,
        plan_3d=plan_3d,
        split_3d=split_3d,
        prototypes=prototypes,
        teach=partial(supervised, network=teacher, network_options=teacher_options),
        fit=FIT,
    )
    weights = {"seg": 0.0, "inter": beta, "intra": beta}
    of_prototypes = prototype_method(plain.study.plan.classes, weights=weights)
    own: Callable[..., Method] = plain.method

    def method(shapes: Mapping[str, FeatureShapes], file: PrototypeFile) -> Method:
        from ..distillation.method import Combined

        named = {plain.recipe.removesuffix("_2d"): own(shapes), "prototypes": of_prototypes(shapes, file)}
        return Combined(**named)

    told = {
        "data_3d": data_3d,
        "plan_3d": plan_3d,
        "split_3d": split_3d,
        "prototypes": prototypes,
        "teacher_network_3d": teacher,
        "teacher_network_3d_options": dict(teacher_options or {}),
        "beta": beta,
    }
    return replace(plain, recipe=recipe, options={**plain.options, **told}, method=method, prototypes=source)
