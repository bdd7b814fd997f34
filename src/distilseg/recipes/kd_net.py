"""KD-Net (Hu et al., 2020) on any dataset of several modalities, and the ablations of its table 2.

The teacher sees every modality, the student those named by `student_sees`. Each is a run of its own: the
teacher and the control are found again for every ablation. Ablations are the recipe with one thing changed:
control and teacher (the labels alone), GT+KL, GT+KD, full; each with every skip connection and with none.
The paper's own data and schedule are in `kd_net_paper.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError
from ..networks.build import describe
from ..training.experiment import Answers, Experiment, FeatureShapes, MakeMethod, Study
from .modalities import modality_indices, named_modalities
from .others import OPENING, TaughtBy, check_features, names_of, opening, outputs_of, taken
from .supervised import supervised
from .variant import Given, inherits, renamed, variant

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "KD-Net (Hu et al., 2020)"
WHEN = "For one scan at use where training had more: here no student was shown to gain."

Options = Mapping[str, Any] | None
ALL_SKIPS = 4
TERMS = ("soft_share", "alpha", "temperature")  # options of what a teacher adds


@inherits(opening, own_first=True)
def kd_net(
    study: Study,
    given: Given,
    *,
    student_sees: Sequence[str] = (),
    network: str = "kd_net",
    network_options: Options = None,
    skips: int = ALL_SKIPS,
    teacher: str | None = None,
    teacher_network: str | None = None,
    teacher_network_options: Options = None,
    soft_share: float = 0.75,
    gt_weight: float | None = None,
    alpha: float = 10.0,
    temperature: float = 5.0,
    latent: Literal["softmax", "channel_softmax", "l1_abs"] = "softmax",
    reduction: Literal["mean", "sum"] = "mean",
    include_background: bool = True,
    activation: Literal["softmax", "sigmoid"] = "softmax",
    teacher_outputs: Literal["live", "recorded", "auto"] = "live",
) -> Experiment:
    """A teacher that sees every modality guides a student that sees some of them.

    student_sees: the modalities of the student, such as CT,PET; default: the first of the dataset.
    network: of the student, its control and, unless said otherwise, its teacher.
    skips: how many skip connections the network kd_net keeps, the deepest ones.
    teacher: a finished run folder to take as it is, or a model that others trained, whose answers are
    recorded (its bottleneck is not seen: alpha 0); default: trained first, on all modalities.
    teacher_network: default: the student's.
    soft_share: the paper's lambda, the weight of the soft labels.
    gt_weight: weight of the labels; default: 1 - soft_share.
    alpha: weight of the divergence between the bottlenecks.
    temperature: softens the teacher's labels.
    latent: how bottlenecks are normalised.
    reduction: over the cases of a batch.
    include_background: it counts as a class like any other.
    activation: sigmoid answers the overlapping regions that the plan names (regions) instead of its classes.
    teacher_outputs: live asks the teacher at every step; recorded asks it once per case, which is faster, and
    moves its answers with the augmented image; auto takes what asks less.
    """
    options = {name: value for name, value in locals().items() if name not in ("study", "given")}
    if not 0 <= soft_share <= 1:
        raise UserError(f"the share of soft labels is {soft_share}", "give a number from 0 to 1")
    answer: dict[str, Any] = {"include_background": include_background, "activation": activation}
    control = kd_net_control(
        study,
        student_sees=student_sees,
        network=network,
        network_options=network_options,
        skips=skips,
        **answer,
    )
    of_teacher = teacher_network or network
    if teacher_network_options is None and of_teacher == network:
        teacher_network_options = network_options
    made = kd_net_teacher(
        study, network=of_teacher, network_options=teacher_network_options, skips=skips, **answer
    )
    named = {} if teacher is None else {"teacher": teacher}
    taught_by: TaughtBy = taken(named, study, given, control.answers) or {"teacher": made}
    check_features(taught_by, "bottleneck", "alpha", alpha, without="kd_net_gt_kd")
    if not (soft_share or alpha):
        taught_by = {}
    options |= {name: control.options[name] for name in ("student_sees", "network_options")}
    options["teacher_network"] = None if teacher else of_teacher
    options["teacher_outputs"] = outputs_of(taught_by, teacher_outputs)
    if teacher and taught_by:
        (options["teacher"],) = names_of(taught_by, named)

    weights = {
        "seg": 1 - soft_share if gt_weight is None else gt_weight,
        "soft_labels": soft_share,
        "latent": alpha,
    }
    terms: dict[str, Any] = {"temperature": temperature, "latent": latent, "reduction": reduction}
    return replace(
        control,
        recipe="kd_net",
        study=study if taught_by else control.study,
        options=options,
        method=_objective(study, control.sees, weights, **answer, **terms),
        teachers=taught_by,
        teacher_outputs=options["teacher_outputs"],
        control=control if study.split.train else None,
    )


def kd_net_control(
    study: Study,
    *,
    student_sees: Sequence[str] = (),
    network: str = "kd_net",
    network_options: Options = None,
    skips: int = ALL_SKIPS,
    include_background: bool = True,
    activation: Literal["softmax", "sigmoid"] = "softmax",
) -> Experiment:
    """The undistilled student: it sees some modalities and learns from the labels alone."""
    sees = named_modalities(student_sees, study) or study.plan.modalities[:1]
    options = _with_skips(network, network_options, skips)
    plain = supervised(study, network=network, network_options=options)
    answers: Answers = "classes" if activation == "softmax" else "regions"
    shown = study.network(network, options, answers, sees)
    answer: dict[str, Any] = {"include_background": include_background, "activation": activation}
    weights = {"seg": 1.0, "soft_labels": 0.0, "latent": 0.0}
    return replace(
        plain,
        recipe="kd_net_control",
        networks={"student": shown},
        answers=answers,
        sees=sees,
        method=_objective(study, sees, weights, **answer),
        options={**plain.options, "student_sees": list(sees), **answer},
    )


@inherits(kd_net_control, "network", "network_options", "skips", "include_background", "activation")
def kd_net_teacher(study: Study, given: Given) -> Experiment:
    """The teacher: it sees every modality and learns from the labels alone."""
    made = kd_net_control(study, student_sees=study.plan.modalities, **given)
    options = {name: value for name, value in made.options.items() if name != "student_sees"}
    return replace(made, recipe="kd_net_teacher", options=options)


_STUDENT = ("student_sees", "network", "network_options", "skips")


@inherits(kd_net, *_STUDENT)
def kd_net_gt_kl(study: Study, given: Given, *, gt_weight: float = 1.0) -> Experiment:
    """Ablation GT+KL: labels and bottleneck, no soft labels (gt_weight 0.25 keeps the paper's 1 - lambda).

    gt_weight: weight of the labels.
    """
    return renamed(kd_net(study, soft_share=0.0, gt_weight=gt_weight, **given), "kd_net_gt_kl")


_ablation = partial(variant, offers=_STUDENT)
_no_skips = partial(_ablation, skips=0)

kd_net_gt_kd = _ablation(
    kd_net,
    "Ablation GT+KD: labels and soft labels, nothing from the bottleneck.",
    offers=(*_STUDENT, "teacher", *OPENING),
    alpha=0.0,
)
kd_net_no_skips = _no_skips(
    kd_net, "Ablation: the full method without skip connections, so that all passes through the bottleneck."
)
kd_net_control_no_skips = _no_skips(
    kd_net_control, "Ablation: the undistilled student without skip connections."
)
kd_net_teacher_no_skips = _no_skips(
    kd_net_teacher, "Ablation: the teacher without skip connections.", offers=("network", "network_options")
)
kd_net_gt_kl_no_skips = _no_skips(kd_net_gt_kl, "Ablation GT+KL without skip connections.")
kd_net_gt_kd_no_skips = _no_skips(kd_net_gt_kd, "Ablation GT+KD without skip connections.")


def _objective(
    study: Study,
    sees: Sequence[str],
    weights: Mapping[str, float],
    *,
    include_background: bool,
    activation: str,
    **terms: Any,
) -> MakeMethod:
    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.kd_net import KDNet

        return KDNet(
            shapes,
            modality_indices(sees, study),
            regions=None if activation == "softmax" else study.plan.region_classes,
            include_background=include_background,
            weights=weights,
            **terms,
        )

    return method


def _with_skips(network: str, options: Options, skips: int) -> dict[str, Any]:
    """The network's options; those that have skips to leave out are told how many to keep."""
    options = dict(options or {})
    if "skips" in describe(network).options:
        options.setdefault("skips", skips)
    elif skips != ALL_SKIPS:
        raise UserError(f"the network {network} has a fixed number of skip connections", "use kd_net")
    return options
