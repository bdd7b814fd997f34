"""Teach-Former on the data it was published on, with the paper's schedule: HECKTOR 2021 (CT and PET, volumes)
and PI-CAI 2022 (T2W, HBV and ADC, slices).

The paper's repository holds no training code; its tables match H-DenseFormer's framework, whose preparation,
augmentation and batches these are. Days on a GPU for the three teachers, the control and the student;
`--epochs` shortens it, `--folds 5` is the paper's cross-validation. Every network is trained from scratch
with one schedule. Early stopping and the best weights follow the validation Dice (the paper: its loss). PET
keeps its SUV as real numbers, where that framework cut them to whole ones. Weight decay falls on all weights
(that framework: not on biases and norms).

PI-CAI: the paper takes 220 studies, by their number those in which a lesion was drawn; here every study with
a map takes part unless a `--split` narrows them. Its volumes are cut to the middle 24 x 384 x 384 voxels;
here slices of 384 x 384 are drawn, and slide, over the whole volume. It divides each slice by its maximum,
here each volume. Its scores fit slices counted as cases: `distilseg evaluate RUN --by slice --empty one`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..data.planning.normalisation import Normalisation
from ..training.budget import Budget
from ..training.experiment import Experiment, Optimisation, Sampling, Study, Validation
from .published import as_published, planned, resampled
from .teach_former import COUNTED, LEARNING_RATE, TAUGHT, teach_former
from .teach_former import TITLE as TITLE
from .variant import Given, inherits, renamed

HECKTOR21 = {
    "CT": Normalisation(kind="window_zscore", low=-1024, high=1024, mean=0, std=1024),
    "PET": Normalisation(kind="zscore_damped"),
}
PICAI22 = Normalisation(kind="maximum")
PICAI22_SLICES = 24  # of a case


@inherits(teach_former, *TAUGHT, *COUNTED)
def teach_former_hecktor21(
    study: Study, given: Given, *, patch: Sequence[int] = (144, 144, 144)
) -> Experiment:
    """HECKTOR 2021 as published: 144³ crops of 1 mm, batches of 2, 100 epochs of Adam at 1e-3, patience 40.

    Needs the folder as it was handed out, with its table of boxes. Networks have the paper's sizes unless
    options say otherwise.

    patch: voxels of a crop, multiples of 16.
    """
    size = tuple(int(n) for n in patch)
    fields = {**resampled(size, (1.0, 1.0, 1.0)), "crop": "nonzero", "batch_size": 2}  # the box
    made = teach_former(planned(study, HECKTOR21, size, **fields), **given)
    sampling = Sampling(2, patches_per_case=1, foreground_fraction=0.0, augmentation="hecktor21")
    window = {"kind": "sliding_window", "patch": list(size), "overlap": 0.5, "blend": "gaussian"}
    return renamed(_published(made, sampling, window), "teach_former_hecktor21")


@inherits(teach_former, *TAUGHT, *COUNTED)
def teach_former_picai22(study: Study, given: Given, *, patch: Sequence[int] = (384, 384)) -> Experiment:
    """PI-CAI 2022 as published: slices of 384² at 0.5 mm, batches of 16, 100 epochs of Adam at 1e-3.

    Needs the public images and the repository of their labels. Networks have the paper's sizes unless options
    say otherwise.

    patch: voxels of a slice, multiples of 16.
    """
    size = (*(int(n) for n in patch[:2]), 1)
    fields = {**resampled(size, (0.5, 0.5, 3.0)), "batch_size": 16}
    made = teach_former(planned(study, PICAI22, size, **fields), **given)
    sampling = Sampling(16, patches_per_case=PICAI22_SLICES, foreground_fraction=0.0, augmentation="picai22")
    window = {"kind": "slices", "axis": 2, "patch": list(size[:2]), "overlap": 0.5, "blend": "gaussian"}
    return renamed(_published(made, sampling, window), "teach_former_picai22")


def _published(experiment: Experiment, sampling: Sampling, inferer: dict[str, Any]) -> Experiment:
    """The paper's schedule, for every network."""
    settings = {
        "sampling": sampling,
        "optimisation": Optimisation(
            "adam", LEARNING_RATE, weight_decay=1e-4, schedule="polynomial", clip=None
        ),
        "validation": Validation(each_epoch=True, patience=40),
        "budget": Budget(epochs=100),
        "inferer": inferer,
        "empty": "one",
    }
    return as_published(experiment, settings)
