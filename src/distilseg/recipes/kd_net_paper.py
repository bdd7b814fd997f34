"""KD-Net on the data it was published on: the BraTS 2018 training folder, with the paper's schedule.

Days on a CPU, half a day for each run on the paper's GPU; `--epochs` shortens it, `--folds 3` is the paper's
cross-validation. What the paper does not say is decided here: batches of one crop, no weight decay, no
clipping. The plateau is of the validation Dice (the paper: the validation loss), and intensities are scaled
after resampling. The paper's ablations are options: GT+KL is `--soft-share 0 --gt-weight 1`, GT+KD is
`--alpha 0`; the baseline is the control.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.planning.normalisation import Normalisation
from ..training.budget import Budget
from ..training.experiment import Experiment, Optimisation, Sampling, Study, Validation
from .kd_net import TITLE as TITLE
from .kd_net import kd_net
from .published import as_published, planned
from .variant import Given, inherits

REGIONS = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}  # whole tumour, tumour core, enhancing tumour


@inherits(kd_net, "student_sees", "network", "skips", "soft_share", "gt_weight", "alpha", "activation")
def kd_net_brats2018(
    study: Study, given: Given, *, filters: Sequence[int] = (16, 32, 64, 128, 256)
) -> Experiment:
    """BraTS 2018 as published: 128³ centre crops at half resolution, 500 epochs at 1e-4, lowered on plateaus.

    Needs the folder as it was handed out (HGG, LGG). Judged by the regions WT, TC and ET; where one is empty
    in both, its Dice is 1, as BraTS counts.

    student_sees: the modalities of the student; default: T1ce.
    filters: those of the network kd_net.
    """
    plan = study.plan
    fields: dict[str, Any] = {
        "crop": "center",
        "crop_voxels": (128, 128, 128),
        "spacing_mm": (2.0, 2.0, 2.0),
        "batch_size": 1,
    }
    if {1, 2, 4} <= set(plan.labels):
        fields["regions"] = REGIONS
    options = {
        **given,
        "student_sees": given["student_sees"] or (("T1ce",) if "T1ce" in plan.modalities else ()),
        "network_options": {"filters": list(filters)} if given["network"] == "kd_net" else None,
    }
    experiment = kd_net(
        planned(study, Normalisation(kind="zscore_nonzero"), (64, 64, 64), **fields), **options
    )
    settings = {
        "sampling": Sampling(1, patches_per_case=1, foreground_fraction=0.0, augmentation="flips"),
        "optimisation": Optimisation("adam", 1e-4, weight_decay=0.0, schedule="plateau", clip=None),
        "validation": Validation(each_epoch=True),
        "budget": Budget(epochs=500),
        "empty": "brats",
    }
    return as_published(experiment, settings)
