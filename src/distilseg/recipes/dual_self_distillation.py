"""Dual self-distillation (Banerjee et al., 2025) on any dataset, its ablations, and the paper's own settings.

Ablations (the paper's tables): Basic, DS, SDD, SDE, DSD; T = 1 ... 4; mean and reversed teachers. Each is the
recipe with the one thing changed that differs. The paper's settings are in `dual_self_distillation_paper.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UserError
from ..training.experiment import Experiment, FeatureShapes, Study
from .supervised import supervised
from .variant import variant

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "Dual self-distillation (Banerjee et al., 2025)"
WHEN = "Costs nothing at use: in minutes of training it helped no network; dsd_growing lost no organs of CT."

Options = Mapping[str, Any] | None
SHARED_IN_THE_CODE = ("dynunet", "swin_unetr")  # heads that encoder and decoder share where shapes agree


def dual_self_distillation(
    study: Study,
    *,
    network: str = "dynunet",
    network_options: Options = None,
    temperature: float = 3.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    over_time: Literal["constant", "growing", "fading"] = "constant",
    deep_supervision: float = 1.0,
    deep_supervision_over_time: Literal["constant", "growing", "fading"] = "constant",
    feature_l2: float = 0.0,
    teacher: Literal["deepest", "mean", "reversed"] = "deepest",
    detach_teacher: bool = False,
    t2_factor: bool = True,
    include_background: bool = True,
    ds_levels: Literal["all", "without_coarsest"] = "all",
    head_upsample: Literal["shared_x2", "single_deconv", "nearest", "trilinear"] = "shared_x2",
    shared_heads: bool | None = None,
) -> Experiment:
    """The deepest encoder and the finest decoder output teach the other outputs of the same network.

    network: any with encoder and decoder levels.
    temperature: softens teachers and students.
    alpha: weight of the encoder's term.
    beta: weight of the decoder's term.
    over_time: whether alpha and beta hold from the first step, grow to it, or fade to 0; ours.
    deep_supervision: weight of the side outputs' own loss on the labels.
    deep_supervision_over_time: the same of that weight; ours.
    feature_l2: weight of the distance between pooled features (the authors' code: 1e-4).
    teacher: which output of each side teaches.
    detach_teacher: no gradient flows into the teachers.
    t2_factor: the divergences are multiplied by the temperature squared.
    include_background: it counts in the divergences.
    ds_levels: without_coarsest is the code's variant.
    head_upsample: how side outputs reach the full resolution; nearest: compared at their own, costs least.
    shared_heads: encoder and decoder share heads of equal size; default: as the authors' networks do.
    """
    options = {name: value for name, value in locals().items() if name != "study"}
    options["network_options"] = dict(network_options or {})
    changed = {"over_time": (alpha, beta), "deep_supervision_over_time": (deep_supervision,)}
    for name, weights in changed.items():
        if options[name] == "constant":  # as before there was a choice: such runs keep their names
            del options[name]
        elif not any(weights):
            raise UserError(
                f"{name} is {options[name]}, and what it changes has a weight of 0",
                f"give it one, or leave {name} out",
            )
    control = supervised(study, network=network, network_options=network_options)
    shared = network in SHARED_IN_THE_CODE if shared_heads is None else shared_heads

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.dual_self_distillation import DualSelfDistillation, default_sides
        from ..distillation.over_time import over_time as changing

        encoder, decoder = default_sides(shapes["student"])
        return DualSelfDistillation(
            shapes["student"],
            len(study.plan.classes),
            study.plan.network_patch,
            encoder=encoder,
            decoder=decoder,
            temperature=temperature,
            t2_factor=t2_factor,
            detach_teacher=detach_teacher,
            include_background=include_background,
            ds_levels=decoder[:-1] if ds_levels == "without_coarsest" else None,
            head_upsample=head_upsample,
            shared_heads=shared,
            teacher=teacher,
            weights={
                "deep_supervision": changing(deep_supervision, deep_supervision_over_time),
                "encoder": changing(alpha, over_time),
                "decoder": changing(beta, over_time),
                "feature_l2": feature_l2,
            },
        )

    return replace(control, recipe="dual_self_distillation", options=options, method=method, control=control)


_ablation = partial(variant, dual_self_distillation, offers=("network", "network_options"))

dsd_basic = variant(supervised, "Ablation Basic: the main output alone; the same run as `supervised`.")
dsd_ds = _ablation("Ablation DS: deep supervision of the decoder, no self-distillation.", alpha=0.0, beta=0.0)
dsd_sdd = _ablation("Ablation SDD: deep supervision, self-distillation in the decoder only.", alpha=0.0)
dsd_sde = _ablation("Ablation SDE: deep supervision, self-distillation in the encoder only.", beta=0.0)
dsd_t1 = _ablation("Ablation T = 1: soft labels as they are.", temperature=1.0)
dsd_t2 = _ablation("Ablation T = 2.", temperature=2.0)
dsd_t3 = _ablation("T = 3, the paper's choice; the same run as `dual_self_distillation`.")
dsd_t4 = _ablation("Ablation T = 4.", temperature=4.0)
dsd_mean_teacher = _ablation(
    "Ablation: the mean of all outputs of a side teaches each of them.", teacher="mean"
)
dsd_reversed = _ablation(
    "Ablation: the finest encoder and the coarsest decoder output teach.", teacher="reversed"
)
dsd_feature_l2 = _ablation(
    "The variant of the authors' code with an L2 distance of pooled features (weight 1e-4).", feature_l2=1e-4
)
dsd_own_resolution = _ablation(
    "Ours: side outputs are compared at their own resolution, for a fraction of the cost of a step.",
    head_upsample="nearest",
)
dsd_growing = _ablation(
    "Ours, for short trainings: a tenth of the divergences; they and deep supervision grow to their weights.",
    alpha=0.1,
    beta=0.1,
    over_time="growing",
    deep_supervision_over_time="growing",
)
