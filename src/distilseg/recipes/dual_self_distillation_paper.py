"""Dual self-distillation with the paper's own patches, normalisation and schedule, one recipe per dataset.

From the authors' code; hours on a GPU, days on a CPU. `--epochs` shortens them. Ablations are options: DS has
alpha and beta 0, SDD alpha 0, SDE beta 0; Basic is the control of each. How the rivals of the brain tumours'
table were trained is not said: here they have the schedule of the networks with transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.planning.normalisation import Normalisation
from ..errors import UserError
from ..training.budget import Budget
from ..training.experiment import Experiment, Optimisation, Sampling, Study
from .dual_self_distillation import TITLE as TITLE
from .dual_self_distillation import dual_self_distillation
from .published import as_published, planned
from .variant import Given, inherits

Sizes = Mapping[str, Mapping[str, Any]]  # network -> its options
TERMS = ("temperature", "alpha", "beta", "deep_supervision", "teacher")  # what the paper's ablations change
DYNUNET = {"filters": [16, 32, 64, 128, 256]}
ERA_2022 = {"merging": "2022"}  # MONAI's patch merging when the paper's Swin UNETR was trained


@inherits(dual_self_distillation, *TERMS, own_first=True)
def dsd_paper_hippocampus(study: Study, terms: Given, *, network: str = "dynunet") -> Experiment:
    """MSD Hippocampus as published: 32³ patches, 16 a case, 300 epochs at 1e-4, scaled to 0...1."""
    study = planned(study, Normalisation(kind="minmax"), (32, 32, 32))
    sampling = Sampling(16, patches_per_case=16, foreground_fraction=1.0, augmentation="dsd_hippocampus")
    sizes: Sizes = {"dynunet": DYNUNET, "swin_unetr": ERA_2022}
    return _as_published(study, network, sizes, sampling, _adamw(1e-4, "constant"), epochs=300, terms=terms)


@inherits(dual_self_distillation, *TERMS, own_first=True)
def dsd_paper_mmwhs(study: Study, terms: Given, *, network: str = "dynunet") -> Experiment:
    """MMWHS CT as published: 96³ patches, 2 a case, 300 epochs (UNETR 600) at 1e-3 halved six times."""
    window = Normalisation(kind="range_zscore_nonzero", low=-175, high=250)
    study = planned(study, window, (96, 96, 96), spacing_mm=(1.5, 1.5, 2.0))
    sampling = Sampling(
        2, patches_per_case=2, foreground_fraction=1.0, pad="reflect", augmentation="dsd_mmwhs"
    )
    sizes: Sizes = {
        "dynunet": {"filters": [32, 64, 128, 256, 320]},
        "unetr": {"feature_size": 32},
        "swin_unetr": {"feature_size": 36, **ERA_2022},
    }
    epochs = 600 if network == "unetr" else 300
    return _as_published(study, network, sizes, sampling, _adamw(1e-3, "halving"), epochs=epochs, terms=terms)


@inherits(dual_self_distillation, *TERMS, own_first=True)
def dsd_paper_brats(
    study: Study, terms: Given, *, network: str = "dynunet", light: bool = False
) -> Experiment:
    """MSD BraTS as published: 128³ patches, 2 a case, raw intensities; 300 epochs (others 325 at 1e-4).

    network: dynunet, unetr, swin_unetr; or a rival of the paper's table, cotr or transbts, which has the
    sizes of its own paper, and whose row is the control.
    light: UNETR of 16 features in place of 64, the paper's light one.
    """
    if light and network != "unetr":
        raise UserError(f"there is no light {network} in the paper", "give network unetr, or leave light out")
    study = planned(study, Normalisation(kind="none"), (128, 128, 128))
    sampling = Sampling(2, patches_per_case=2, foreground_fraction=1.0, augmentation="dsd_hippocampus")
    sizes: Sizes = {
        "dynunet": DYNUNET,
        "unetr": {"feature_size": 16 if light else 64},
        "swin_unetr": {"feature_size": 12, **ERA_2022},
    }
    of_dynunet = network == "dynunet"
    optimisation = _adamw(1e-3, "halving") if of_dynunet else _adamw(1e-4, "constant")
    epochs = 300 if of_dynunet else 325
    return _as_published(study, network, sizes, sampling, optimisation, epochs=epochs, terms=terms)


def _as_published(
    study: Study,
    network: str,
    sizes: Sizes,
    sampling: Sampling,
    optimisation: Optimisation,
    *,
    epochs: int,
    terms: Given,
) -> Experiment:
    """The recipe and its control with the paper's numbers in place of a laptop's."""
    window = {"kind": "sliding_window", "patch": list(study.plan.patch), "overlap": 0.25, "blend": "constant"}
    settings = {
        "sampling": sampling,
        "optimisation": optimisation,
        "budget": Budget(epochs=epochs),
        "inferer": window,
    }
    made = dual_self_distillation(study, network=network, network_options=sizes.get(network, {}), **terms)
    return as_published(made, settings)


def _adamw(learning_rate: float, schedule: str) -> Optimisation:
    return Optimisation("adamw", learning_rate, weight_decay=1e-5, schedule=schedule, clip=None)
