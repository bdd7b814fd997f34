"""Two methods over one student: crossings of Teach-Former, KD-Net, self-distillation, thickened networks.

The sum of both objectives; the labels of the finest output count once, by Teach-Former or by the thickened
network. A thickened student is shown slabs, its teachers learned on patches: their answers are recorded once
per case on the volume's grid, and the slab's part is cut from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from ..training.experiment import Experiment, FeatureShapes, Study
from .kd_net import kd_net_teacher
from .modalities import modality_indices, named_modalities
from .teach_former import STUDENT, T1, T2, T3, Options, TeacherOutputs, teach_former
from .thickened import Backbone, thickened

if TYPE_CHECKING:
    from ..distillation.method import Method


def teach_former_kd_net(
    study: Study,
    *,
    student_sees: Sequence[str] = (),
    teachers: Sequence[str] = (T1, T2, T3),
    student: str = STUDENT,
    student_options: Options = None,
    teacher_options: Options = None,
    soft_share: float = 0.75,
    alpha: float = 10.0,
    temperature: float = 5.0,
    teacher_outputs: TeacherOutputs = "auto",
) -> Experiment:
    """Teachers that see every modality, a student that sees some: Teach-Former and KD-Net together.

    The first teacher is KD-Net's: its softened answer and its bottleneck are learned from as well.

    student_sees: the modalities of the student, such as CT; default: the first of the dataset.
    teachers: networks, such as h_denseformer,swin_unetr,unetr, each trained first or found.
    student: h_denseformer_light, swin_unetr_light, ux_net or any other network.
    teacher_options: options of a teacher's network, such as unetr.feature_size=8.
    soft_share: weight of KD-Net's soft labels.
    alpha: weight of KD-Net's bottleneck.
    temperature: of KD-Net's soft labels.
    teacher_outputs: live asks the teachers at every step, recorded once per case, auto takes what asks less.
    """
    plain = teach_former(
        study,
        teachers=teachers,
        student=student,
        student_options=student_options,
        student_sees=student_sees or study.plan.modalities[:1],
        teacher_options=teacher_options,
        teacher_outputs=teacher_outputs,
    )

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.kd_net import KDNet
        from ..distillation.method import Combined

        of_kd_net = KDNet(
            shapes,
            modality_indices(plain.sees, study),
            temperature=temperature,
            teacher=next(iter(plain.teachers)),
            weights={"seg": 0.0, "soft_labels": soft_share, "latent": alpha},
        )
        return Combined(teach_former=plain.method(shapes), kd_net=of_kd_net)

    told = {"soft_share": soft_share, "alpha": alpha, "temperature": temperature}
    return replace(plain, recipe="teach_former_kd_net", options={**plain.options, **told}, method=method)


def teach_former_dsd(
    study: Study,
    *,
    teachers: Sequence[str] = (T1, T2, T3),
    student: str = STUDENT,
    student_options: Options = None,
    teacher_options: Options = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    teacher_outputs: TeacherOutputs = "auto",
) -> Experiment:
    """Teach-Former, and dual self-distillation inside its student.

    teachers: networks, such as h_denseformer,swin_unetr,unetr, each trained first or found.
    student: h_denseformer_light, swin_unetr_light, ux_net or any other U-shaped network.
    teacher_options: options of a teacher's network, such as unetr.feature_size=8.
    alpha: weight of the encoder's self-distillation.
    beta: weight of the decoder's self-distillation.
    teacher_outputs: live asks the teachers at every step, recorded once per case, auto takes what asks less.
    """
    plain = teach_former(
        study,
        teachers=teachers,
        student=student,
        student_options=student_options,
        teacher_options=teacher_options,
        teacher_outputs=teacher_outputs,
    )

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.dual_self_distillation import DualSelfDistillation
        from ..distillation.method import Combined

        inside = DualSelfDistillation(
            shapes["student"],
            len(study.plan.classes),
            study.plan.network_patch,
            weights={"seg": 0.0, "encoder": alpha, "decoder": beta},
        )
        return Combined(teach_former=plain.method(shapes), dsd=inside)

    told = {"alpha": alpha, "beta": beta}
    return replace(plain, recipe="teach_former_dsd", options={**plain.options, **told}, method=method)


def thickened_teach_former(
    study: Study,
    *,
    view: Literal["axial", "coronal", "sagittal"] = "axial",
    thickness: int = 12,
    backbone: Backbone = "light",
    teachers: Sequence[str] = (T1, T2, T3),
    teacher_options: Options = None,
    attention: float = 1.0,
    soft_labels: float = 1.0,
) -> Experiment:
    """3D teachers guide a thickened 2D student by their attention maps and their soft labels.

    view: across which axis the student's slabs are cut.
    thickness: slices in a slab, a multiple of 3.
    backbone: light and the smaller students are for CPUs, resnet50 is the paper's.
    teachers: networks of volumes, such as h_denseformer,swin_unetr,unetr, each trained first or found.
    teacher_options: options of a teacher's network, such as unetr.feature_size=8.
    attention: weight of AFS.
    soft_labels: weight of PWD.
    """
    student = thickened(study, view=view, thickness=thickness, backbone=backbone)
    of_teachers = teach_former(study, teachers=teachers, teacher_options=teacher_options)

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.method import Combined
        from ..distillation.teach_former import TeachFormer

        weights = {"seg": 0.0, "attention": attention, "soft_labels": soft_labels, "deep_supervision": 0.0}
        taught = TeachFormer(shapes, tuple(of_teachers.teachers), weights=weights)
        return Combined(thickened=student.method(shapes), teach_former=taught)

    told = {name: of_teachers.options[name] for name in ("teachers", "teacher_options")}
    return replace(
        student,
        recipe="thickened_teach_former",
        options={**student.options, **told, "attention": attention, "soft_labels": soft_labels},
        method=method,
        teachers=of_teachers.teachers,
        teacher_outputs="recorded",
        control=replace(student, control=None),
    )


def thickened_kd_net(
    study: Study,
    *,
    student_sees: Sequence[str] = (),
    view: Literal["axial", "coronal", "sagittal"] = "axial",
    thickness: int = 12,
    backbone: Backbone = "light",
    teacher_network: str = "kd_net",
    teacher_network_options: Options = None,
    soft_share: float = 0.75,
    alpha: float = 10.0,
    temperature: float = 5.0,
) -> Experiment:
    """A 3D teacher that sees every modality, a thickened 2D student that sees some.

    student_sees: the modalities of the student, such as CT; default: the first of the dataset.
    view: across which axis the student's slabs are cut.
    thickness: slices in a slab, a multiple of 3.
    backbone: light and the smaller students are for CPUs, resnet50 is the paper's.
    teacher_network: a network of volumes, trained first or found.
    soft_share: weight of the soft labels.
    alpha: weight of the bottleneck.
    temperature: of the soft labels.
    """
    sees = named_modalities(student_sees, study) or study.plan.modalities[:1]
    student = _seeing(thickened(study, view=view, thickness=thickness, backbone=backbone), sees)
    teacher = kd_net_teacher(study, network=teacher_network, network_options=teacher_network_options)

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.kd_net import KDNet
        from ..distillation.method import Combined

        weights = {"seg": 0.0, "soft_labels": soft_share, "latent": alpha}
        of_kd_net = KDNet(shapes, modality_indices(sees, study), temperature=temperature, weights=weights)
        return Combined(thickened=student.method(shapes), kd_net=of_kd_net)

    told = {"student_sees": list(sees), "soft_share": soft_share, "alpha": alpha, "temperature": temperature}
    return replace(
        student,
        recipe="thickened_kd_net",
        options={**student.options, **told, "teacher_network": teacher_network},
        method=method,
        teachers={"teacher": teacher},
        teacher_outputs="recorded",
        control=replace(student, control=None),
    )


def _seeing(experiment: Experiment, sees: Sequence[str]) -> Experiment:
    """The experiment with a student that is shown these modalities."""
    shown = replace(experiment.networks["student"], in_channels=len(sees))
    plain = experiment.method
    indices = modality_indices(sees, experiment.study)

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.method import Modalities, Role

        made = plain(shapes)
        own = made.roles["student"]
        made.roles = {**made.roles, "student": Role(own.taps, Modalities(indices), own.trained)}
        return made

    return replace(experiment, networks={"student": shown}, sees=tuple(sees), method=method)
