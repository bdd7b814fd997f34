"""Teach-Former on any dataset: several teachers of different architectures, one slim student; its ablations.

Each teacher, the control and the student are runs of their own, so the seven subsets of teachers share three
trainings. All learn from the labels by one objective: focal and Dice, at each resolution that the network
answers at. Published: Adam with 1e-3 and a weight decay of 1e-4, falling as (1 - progress)^0.9.

Ablations are the recipe with one thing changed: `teach_former_t1` ... `_t23` (subsets of the teachers; all
three are the recipe itself), `teach_former_afs` and `teach_former_pwd` (one of the two terms), and the
control. Where the plan's patch is a slice (`distilseg plan --slices`) all of it is 2D; `teach_former_2d`
makes slices of any plan. The paper's own data and schedule are in `teach_former_paper.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..data.sampling.slices import sliced
from ..errors import UserError, unknown
from ..networks.build import describe
from ..training.experiment import Experiment, FeatureShapes, MakeMethod, Optimisation, Study
from .modalities import modality_indices, named_modalities
from .others import OPENING, TaughtBy, check_features, names_of, opening, outputs_of, taken
from .supervised import GENTLER, supervised
from .variant import Given, inherits, renamed, variant

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "Teach-Former (Hossain et al., 2025)"
WHEN = "Pays where teachers lead and with --order hinton: here +0.017 Dice with few labels, +0.011 with all."

Options = Mapping[str, Any] | None
Matching = Literal["student_to_teacher", "teacher_to_student", "channel_collapse", "conv1x1"]
TeacherOutputs = Literal["live", "recorded", "auto"]
T1, T2, T3 = "h_denseformer", "swin_unetr", "unetr"  # the paper's teachers
STUDENT = "h_denseformer_light"
# The paper's Swin UNETR has no level at stride 32: its table's counts are those of the truncated network.
NETWORKS = {"swin_unetr": "swin_unetr_truncated"}
UX_NET_2D = (24, 48, 96, 192)  # features of the paper's third student on slices
LEARNING_RATE = 1e-3
# Options of a recipe: of its networks, of what teachers add, of teachers that others trained.
_NETWORKS = ("teachers", "student", "student_options", "teacher_options")
TAUGHT = (*_NETWORKS, "attention", "soft_labels", "teacher_outputs", *OPENING)
# Which voxels the loss on labels counts, by default; a default takes no part in a run's identity.
COUNTED = {"dice": "case", "focal": "all"}


@inherits(opening, own_first=True)
def teach_former(
    study: Study,
    given: Given,
    *,
    teachers: Sequence[str] = (T1, T2, T3),
    student: str = STUDENT,
    student_options: Options = None,
    student_sees: Sequence[str] = (),
    teacher_options: Options = None,
    attention: float = 1.0,
    soft_labels: float = 1.0,
    deep_supervision: float = 1.0,
    matching: Matching = "student_to_teacher",
    order: Literal["paper", "hinton"] = "paper",
    afs_scale: float = 1.0,
    gamma: float = 2.0,
    focal_norm: Literal["element", "voxel"] = "element",
    dice: Literal["case", "global"] = "case",
    focal: Literal["all", "foreground"] = "all",
    teacher_outputs: TeacherOutputs = "auto",
) -> Experiment:
    """Several frozen teachers guide a slim student by their attention maps and their soft labels.

    teachers: networks, such as h_denseformer,swin_unetr,unetr, each trained first or found; folders of
    finished runs, taken as they are; or models that others trained, whose answers are recorded (their maps
    are not seen: attention 0). swin_unetr is the one of the paper's table, without the level at stride 32.
    student: h_denseformer_light, swin_unetr_light, ux_net or any other network.
    student_sees: the modalities of the student, such as CT; default: all, as its teachers do.
    teacher_options: options of a teacher's network, such as unetr.feature_size=8.
    attention: weight of AFS, the distance between attention maps.
    soft_labels: weight of PWD, the divergence of the soft labels.
    deep_supervision: weight of the labels at coarser resolutions, where the student answers there.
    matching: how maps of different numbers of channels are compared.
    order: of the divergence, KL(student, teacher) as the paper writes it, or KL(teacher, student).
    afs_scale: multiplies AFS, which is about 1e-4.
    gamma: exponent of the focal loss.
    focal_norm: its mean, over all elements or per voxel.
    dice: of each case, or global: one ratio of all voxels of a batch.
    focal: over all classes, or the foreground alone.
    teacher_outputs: live asks the teachers at every step; recorded asks them once per case, which is faster,
    and moves their answers with the augmented image; auto takes what asks less.
    """
    options = {name: value for name, value in locals().items() if name not in ("study", "given")}
    teachers = (teachers,) if isinstance(teachers, str) else tuple(teachers)
    told = _by_teacher(teachers, teacher_options)
    sees = _seen(student_sees, study)
    options |= {
        "student_sees": list(sees),
        "student_options": dict(student_options or {}),
        "teacher_options": dict(teacher_options or {}),
    }
    counted = _unusual(dice=dice, focal=focal)
    options = {name: value for name, value in options.items() if name not in COUNTED} | counted
    seg: dict[str, Any] = {"gamma": gamma, "focal_norm": focal_norm, **counted}
    labels: dict[str, Any] = {"deep_supervision": deep_supervision, **seg}
    control = teach_former_control(
        study, student=student, student_options=student_options, student_sees=sees, **labels
    )
    named = _by_role(teachers)
    trained_before = taken({role: name for role, name in named.items() if _is_path(name)}, study, given)
    taught_by: TaughtBy = {
        role: trained_before[role]
        if role in trained_before
        else teach_former_control(study, student=name, student_options=told[name], **labels)
        for role, name in named.items()
    }
    check_features(taught_by, "attention maps", "attention", attention, without="teach_former_pwd")
    options["teachers"] = names_of(taught_by, named)
    if not (attention or soft_labels):
        taught_by = {}
    options["teacher_outputs"] = outputs_of(taught_by, teacher_outputs)

    weights = {"attention": attention, "soft_labels": soft_labels, "deep_supervision": deep_supervision}
    terms = {"matching": matching, "order": order, "afs_scale": afs_scale, **seg}
    return replace(
        control,
        recipe="teach_former",
        study=study if taught_by else control.study,
        options=options,
        method=_objective(study, sees, tuple(taught_by), weights, **terms),
        teachers=taught_by,
        teacher_outputs=options["teacher_outputs"],
        control=control if study.split.train else None,
    )


def teach_former_control(
    study: Study,
    *,
    student: str = STUDENT,
    student_options: Options = None,
    student_sees: Sequence[str] = (),
    deep_supervision: float = 1.0,
    gamma: float = 2.0,
    focal_norm: Literal["element", "voxel"] = "element",
    dice: Literal["case", "global"] = "case",
    focal: Literal["all", "foreground"] = "all",
) -> Experiment:
    """The undistilled control, and each teacher: a network on the labels alone, by the same objective."""
    sees = _seen(student_sees, study)
    seg: dict[str, Any] = {"gamma": gamma, "focal_norm": focal_norm, **_unusual(dice=dice, focal=focal)}
    weights = {"attention": 0.0, "soft_labels": 0.0, "deep_supervision": deep_supervision}
    if student == "ux_net" and study.plan.slice_axis is not None:
        student_options = {"features": list(UX_NET_2D), **(student_options or {})}
    plain = supervised(study, network=NETWORKS.get(student, student), network_options=student_options)
    shown = study.network(NETWORKS.get(student, student), student_options, sees=sees)
    return replace(
        plain,
        recipe="teach_former_control",
        networks={"student": shown},
        sees=sees,
        options={
            "student": student,
            "student_options": dict(student_options or {}),
            "student_sees": list(sees),
            "deep_supervision": deep_supervision,
            **seg,
        },
        method=_objective(study, sees, (), weights, **seg),
        optimisation=Optimisation(
            learning_rate=min(LEARNING_RATE, GENTLER.get(student, LEARNING_RATE)),
            weight_decay=1e-4,
            schedule="polynomial",
        ),
    )


@inherits(teach_former, *TAUGHT)
def teach_former_2d(study: Study, given: Given) -> Experiment:
    """Teach-Former on slices: 2D teachers, a 2D student.

    A plan of `distilseg plan --slices` is taken as it is; of any other plan the slices across its coarsest
    axis are taken, and as many of them in a batch as the patch was thick.
    """
    return renamed(teach_former(replace(study, plan=sliced(study.plan)), **given), "teach_former_2d")


@inherits(teach_former, *_NETWORKS, "attention", "soft_labels", *OPENING)
def _subset(study: Study, given: Given) -> Experiment:
    """The options of teachers that a subset leaves out go with them: one command line fits all subsets."""
    left_out = [name for name in (T1, T2, T3) if name not in given["teachers"]]
    told = {k: v for k, v in (given["teacher_options"] or {}).items() if k.rpartition(".")[0] not in left_out}
    return teach_former(study, **{**given, "teacher_options": told})


_ablation = partial(variant, _subset, offers=_NETWORKS)

teach_former_t1 = _ablation("Ablation: H-DenseFormer is the only teacher.", teachers=(T1,))
teach_former_t2 = _ablation("Ablation: Swin UNETR is the only teacher.", teachers=(T2,))
teach_former_t3 = _ablation("Ablation: UNETR is the only teacher.", teachers=(T3,))
teach_former_t12 = _ablation("Ablation: H-DenseFormer and Swin UNETR teach.", teachers=(T1, T2))
teach_former_t13 = _ablation("Ablation: H-DenseFormer and UNETR teach.", teachers=(T1, T3))
teach_former_t23 = _ablation("Ablation: Swin UNETR and UNETR teach.", teachers=(T2, T3))
teach_former_afs = _ablation("Ablation: attention maps alone, no soft labels.", soft_labels=0.0)
teach_former_pwd = _ablation(
    "Ablation: soft labels alone, no attention maps.", offers=(*_NETWORKS, *OPENING), attention=0.0
)


def _objective(
    study: Study, sees: Sequence[str], teachers: Sequence[str], weights: Mapping[str, float], **terms: Any
) -> MakeMethod:
    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.teach_former import TeachFormer

        seen = modality_indices(sees, study)
        return TeachFormer(shapes, teachers, student_sees=seen, weights=weights, **terms)

    return method


def _unusual(**chosen: str) -> dict[str, str]:
    """Without defaults: runs from before there was a choice keep their names."""
    return {name: value for name, value in chosen.items() if value != COUNTED[name]}


def _seen(named: Sequence[str], study: Study) -> tuple[str, ...]:
    """The modalities that are named; () for all."""
    seen = named_modalities(named, study)
    return () if seen == study.plan.modalities else seen


def _is_path(teacher: str) -> bool:
    """It names what was trained before, not a network, which may be one in a file of the user's own."""
    return Path(teacher).exists() or (len(Path(teacher).parts) > 1 and ".py:" not in teacher)


def _by_role(teachers: Sequence[str]) -> dict[str, str]:
    """A teacher's role is called as its network, run or model, without a path's marks; of several that are
    called alike the later ones are numbered."""
    named: dict[str, str] = {}
    for teacher in teachers:
        called = re.sub(r"\W+", "_", Path(teacher).name if _is_path(teacher) else teacher)
        alike = sum(role == called or role.startswith(f"{called}_no") for role in named)
        named[f"{called}_no{alike + 1}" if alike else called] = teacher
    return named


def _by_teacher(teachers: Sequence[str], options: Options) -> dict[str, dict[str, Any]]:
    """{"unetr.feature_size": 8} -> {"unetr": {"feature_size": 8}}; every teacher has an entry."""
    if not teachers:
        raise UserError("there is no teacher", f"name some, such as --teachers {T1},{T3}")
    if len(set(teachers)) < len(teachers):
        raise UserError(f"the teachers {', '.join(teachers)} name one twice", "name each once")
    told: dict[str, dict[str, Any]] = {name: {} for name in teachers}
    for key, value in (options or {}).items():
        teacher, _, option = key.rpartition(".")
        if teacher not in told:
            raise unknown("teacher", teacher or key, told)
        if _is_path(teacher):
            raise UserError(
                f"the teacher {teacher} is a finished run or model", f"leave out its option {option}"
            )
        known = describe(NETWORKS.get(teacher, teacher)).options
        if option not in known:
            raise unknown(f"option of {teacher}", option, known)
        # A name may look like a number: swin_unetr.merging=2022.
        told[teacher][option] = str(value) if isinstance(known[option].default, str) else value
    return told
