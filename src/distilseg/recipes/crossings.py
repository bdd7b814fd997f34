"""Two methods over one student: crossings of Teach-Former, KD-Net, self-distillation, thickened networks.

The sum of both objectives; the labels of the finest output count once, by Teach-Former or by the thickened
network. A thickened student is shown slabs, its teachers learned on patches: their answers are recorded once
per case on the volume's grid, and the slab's part is cut from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from ..training.experiment import Experiment, FeatureShapes, MakeMethod, Study
from .kd_net import TERMS, kd_net, kd_net_teacher
from .modalities import modality_indices, named_modalities, seeing
from .others import OPENING, TaughtBy, check_features, names_of, taken
from .teach_former import TAUGHT, Options, teach_former
from .thickened import OneView, thickened
from .variant import Given, inherits, renamed

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "Two methods together"
WHEN = "Not tried here on real scans."


@inherits(teach_former, *TAUGHT)
@inherits(kd_net, *TERMS)
def teach_former_kd_net(
    study: Study, of_kd_net: Given, of_teach_former: Given, *, student_sees: Sequence[str] = ()
) -> Experiment:
    """Teachers that see every modality, a student that sees some: Teach-Former and KD-Net together.

    The first teacher is KD-Net's: its softened answer and its bottleneck are learned from as well.

    student_sees: the modalities of the student, such as CT; default: the first of the dataset.
    soft_share: weight of KD-Net's soft labels.
    alpha: weight of KD-Net's bottleneck.
    temperature: of KD-Net's soft labels.
    """
    sees = student_sees or study.plan.modalities[:1]
    plain = teach_former(study, student_sees=sees, **of_teach_former)
    if not plain.teachers:
        raise UserError("no teacher has a weight", "give attention or soft labels one, or take kd_net")
    first = dict(list(plain.teachers.items())[:1])
    check_features(first, "bottleneck", "alpha", of_kd_net["alpha"])
    made = crossed(plain, of_kd_net, kd_net=_kd_net(plain, of_kd_net))
    return renamed(made, "teach_former_kd_net")


@inherits(teach_former, *TAUGHT)
def teach_former_dsd(study: Study, given: Given, *, alpha: float = 1.0, beta: float = 1.0) -> Experiment:
    """Teach-Former, and dual self-distillation inside its student.

    student: h_denseformer_light, swin_unetr_light, ux_net or any other U-shaped network.
    alpha: weight of the encoder's self-distillation.
    beta: weight of the decoder's self-distillation.
    """

    dsd = self_distilled(alpha, beta, study)
    made = crossed(teach_former(study, **given), {"alpha": alpha, "beta": beta}, dsd=dsd)
    return renamed(made, "teach_former_dsd")


@inherits(thickened, "thickness", "backbone")
@inherits(teach_former, "teachers", "teacher_options", "attention", "soft_labels", *OPENING)
def thickened_teach_former(
    study: Study, of_teach_former: Given, of_student: Given, *, view: OneView = "axial"
) -> Experiment:
    """3D teachers guide a thickened 2D student by their attention maps and their soft labels.

    view: across which axis the student's slabs are cut.
    teachers: networks of volumes, such as h_denseformer,swin_unetr,unetr, each trained first or found; or
    models that others trained.
    """
    taught = teach_former(study, **of_teach_former)
    student = _taught(thickened(study, view=view, **of_student), taught.teachers, study)
    weights = {name: of_teach_former[name] for name in ("attention", "soft_labels")}

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.teach_former import TeachFormer

        others = {"seg": 0.0, "deep_supervision": 0.0}
        return TeachFormer(shapes, tuple(taught.teachers), weights=weights | others)

    told = {name: taught.options[name] for name in ("teachers", "teacher_options")} | weights
    return renamed(_of_slabs(student, told, teach_former=method), "thickened_teach_former")


@inherits(thickened, "thickness", "backbone")
@inherits(kd_net, "student_sees", "teacher", *TERMS, *OPENING)
def thickened_kd_net(
    study: Study,
    of_kd_net: Given,
    of_student: Given,
    *,
    view: OneView = "axial",
    teacher_network: str = "kd_net",
    teacher_network_options: Options = None,
) -> Experiment:
    """A 3D teacher that sees every modality, a thickened 2D student that sees some.

    view: across which axis the student's slabs are cut.
    teacher: of volumes: a finished run folder, or a model that others trained (then alpha is 0).
    teacher_network: in place of one, a network of volumes that is trained first or found.
    soft_share: weight of the soft labels.
    alpha: weight of the bottleneck.
    """
    sees = named_modalities(of_kd_net["student_sees"], study) or study.plan.modalities[:1]
    student = seeing(thickened(study, view=view, **of_student), sees)
    made = kd_net_teacher(study, network=teacher_network, network_options=teacher_network_options)
    named = {} if of_kd_net["teacher"] is None else {"teacher": of_kd_net["teacher"]}
    teachers: TaughtBy = taken(named, study, of_kd_net) or {"teacher": made}
    check_features(teachers, "bottleneck", "alpha", of_kd_net["alpha"])
    student = _taught(student, teachers, study)
    told = {name: of_kd_net[name] for name in TERMS}
    told |= {"student_sees": list(sees), "teacher_network": None if named else teacher_network}
    told |= dict(zip(named, names_of(teachers, named), strict=True))
    made = _of_slabs(student, told, kd_net=_kd_net(student, of_kd_net))
    return renamed(made, "thickened_kd_net")


def crossed(plain: Experiment, told: Given, **second: MakeMethod) -> Experiment:
    """`plain` with the terms of a second method, by its name, and the options that this one was `told`."""

    def method(shapes: Mapping[str, FeatureShapes], *files: Any) -> Method:
        from ..distillation.method import Combined

        own = {plain.recipe.removesuffix("_2d"): plain.method(shapes)}
        return Combined(**own, **{name: make(shapes, *files) for name, make in second.items()})

    return replace(plain, options={**plain.options, **told}, method=method)


def self_distilled(alpha: float, beta: float, study: Study) -> MakeMethod:
    """Dual self-distillation of a student whose labels another method counts."""

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.dual_self_distillation import DualSelfDistillation

        weights = {"seg": 0.0, "encoder": alpha, "decoder": beta}
        sizes = len(study.plan.classes), study.plan.network_patch
        return DualSelfDistillation(shapes["student"], *sizes, weights=weights)

    return method


def _of_slabs(student: Experiment, told: Given, **second: MakeMethod) -> Experiment:
    """The same for a thickened student with teachers of volumes; its control is the student without them."""
    alone = replace(student, control=None, teachers={}, study=replace(student.study, unlabelled=()))
    control = alone if student.study.split.train else None
    return replace(crossed(student, told, **second), teacher_outputs="recorded", control=control)


def _taught(student: Experiment, teachers: TaughtBy, study: Study) -> Experiment:
    """The student with teachers, which answer for the unlabelled scans of the study, too."""
    learning = replace(student.study, unlabelled=study.unlabelled if teachers else ())
    return replace(student, teachers=teachers, study=learning)


def _kd_net(student: Experiment, told: Given) -> MakeMethod:
    """KD-Net's terms but for the labels, of the student's first teacher."""

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.kd_net import KDNet

        return KDNet(
            shapes,
            modality_indices(student.sees, student.study),
            temperature=told["temperature"],
            teacher=next(iter(student.teachers)),
            weights={"seg": 0.0, "soft_labels": told["soft_share"], "latent": told["alpha"]},
        )

    return method
