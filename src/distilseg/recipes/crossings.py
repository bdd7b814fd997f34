"""Two methods over one student: Teach-Former crossed with KD-Net, and with dual self-distillation.

The sum of both objectives, in which the labels count once: Teach-Former's. Everything else of the recipe
(teachers, their recording, the control) is Teach-Former's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..training.experiment import Experiment, FeatureShapes, Study
from .modalities import modality_indices
from .teach_former import STUDENT, T1, T2, T3, Options, TeacherOutputs, teach_former

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
