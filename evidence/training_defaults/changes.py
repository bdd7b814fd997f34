"""What is changed in turn: settings of training, and options of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Change:
    """One difference from the defaults."""

    training: Mapping[str, Any] = field(default_factory=dict)  # fields of Sampling and Optimisation
    plan: Mapping[str, Any] = field(default_factory=dict)  # options of `make_plan`
    patch: float = 1.0  # voxels of the patch, as a share of the planned ones
    times: int = 1  # as long


@dataclass(frozen=True)
class Bench:
    """A dataset, and what is tried on it."""

    folder: str
    voxels: float  # that a run is shown
    changes: Mapping[str, Change]


DEFAULT = "as it was"
# What the defaults were, whatever they are now.
TRAINING = {"learning_rate": 5e-3, "augmentation": "light"}
PLAN = {"patch_voxels": 64**3}
LONGER, LONGEST = ", three times as long", ", eight times as long"  # eight: about 30 epochs of hippocampi
# What was chosen: the defaults as they are now.
CHOSEN = "as it is now"
RATE = {"learning_rate": 1e-2, "augmentation": "light"}
NOW = {
    "headneck": Change(RATE, {"patch_voxels": 48**3}),
    "hippocampus": Change(RATE),
    "sarcoma": Change(RATE),
}
RATES = {
    "rate 1e-3": Change({"learning_rate": 1e-3}),
    "rate 2e-3": Change({"learning_rate": 2e-3}),
    "rate 1e-2": Change({"learning_rate": 1e-2}),
    "rate 2e-2": Change({"learning_rate": 2e-2}),
}
OTHERS = {
    "averaged weights": Change({"ema": 0.99}),
    "no augmentation": Change({"augmentation": "none"}),
}
PATCHES = {"half of the patch": Change(patch=1 / 2), "quarter of the patch": Change(patch=1 / 4)}
NO_FLIPS, ALL_FLIPS = Change({"flip_axes": ()}), Change({"flip_axes": (0, 1, 2)})
SOFT = "range:-160:240"  # HU: muscle, fat and organs; bone is white
WINDOWS = {
    "window of soft tissue": Change(plan={"normalisation": {"CT": SOFT}}),
    "window of soft tissue beside it": Change(plan={"tissue_windows": {"CT": [(-160, 240)]}}),
}
OF_ORGANS = {
    **OTHERS,
    "warm-up": Change({"warmup": 0.05}),
    "all around structures": Change({"foreground_fraction": 1.0}),
    **WINDOWS,
}
BENCHES = {
    # Its plan's patch leaves few steps: the rest is tried from the best patch, and then from the best rate.
    "headneck": Bench(
        "Dataset070_HeadNeckCT",
        98e6,
        {
            DEFAULT: Change(),
            **PATCHES,
            "rate 1e-2": RATES["rate 1e-2"],
            f"rate 1e-2{LONGER}": replace(RATES["rate 1e-2"], times=3),
            f"quarter, rate 1e-2{LONGER}": replace(RATES["rate 1e-2"], patch=1 / 4, times=3),
            "half, rate 1e-2": replace(RATES["rate 1e-2"], patch=1 / 2),
            **{f"quarter, {name}": replace(change, patch=1 / 4) for name, change in RATES.items()},
            **{
                f"quarter, rate 1e-2, {name}": replace(
                    change, patch=1 / 4, training={"learning_rate": 1e-2, **change.training}
                )
                for name, change in OF_ORGANS.items()
            },
        },
    ),
    "hippocampus": Bench(
        "Task04_Hippocampus",
        49e6,
        {
            DEFAULT: Change(),
            **RATES,
            **OTHERS,
            "half of the patch": PATCHES["half of the patch"],
            "no flips": NO_FLIPS,
            "flips along all axes": ALL_FLIPS,
            "percentiles": Change(plan={"normalisation": "percentile"}),
            # Does what helps in so short a training help in a longer one?
            **{
                f"{name}{LONGER}": replace(change, times=3)
                for name, change in {
                    DEFAULT: Change(),
                    "rate 1e-2": RATES["rate 1e-2"],
                    "no augmentation": OTHERS["no augmentation"],
                    "half of the patch": PATCHES["half of the patch"],
                    "no flips": NO_FLIPS,
                }.items()
            },
            f"rate 1e-2{LONGEST}": replace(RATES["rate 1e-2"], times=8),
            f"rate 1e-2, no flips{LONGEST}": Change(
                {**RATES["rate 1e-2"].training, "flip_axes": ()}, times=8
            ),
        },
    ),
    "sarcoma": Bench(
        "Dataset090_SoftTissueSarcoma",
        79e6,
        {
            DEFAULT: Change(),
            "rate 1e-2": RATES["rate 1e-2"],
            "rate 2e-2": RATES["rate 2e-2"],
            "averaged weights": OTHERS["averaged weights"],
            **PATCHES,
            "half, rate 1e-2": replace(RATES["rate 1e-2"], patch=1 / 2),
            "quarter, rate 1e-2": replace(RATES["rate 1e-2"], patch=1 / 4),
            "no flips": NO_FLIPS,
            "percentiles of PET": Change(plan={"normalisation": {"PET": "percentile"}}),
        },
    ),
}
# Rows whose runs those that confirm are, too, and are not made again.
SAME = {"headneck": "half, rate 1e-2", "hippocampus": "rate 1e-2", "sarcoma": "rate 1e-2"}
# Of the first seed's gains, those that a second one was to show again.
AGAIN = {
    "headneck": (
        DEFAULT,
        "quarter of the patch",
        "half, rate 1e-2",
        "quarter, rate 1e-2",
        "quarter, rate 1e-2, window of soft tissue beside it",
    ),
    "hippocampus": (DEFAULT, "rate 1e-2", "rate 2e-2", "no augmentation", "no flips", "half of the patch"),
    "sarcoma": (DEFAULT, "rate 1e-2", "half of the patch", "half, rate 1e-2"),
}
LIGHT = {"filters": [8, 16, 32, 64, 128]}
OF_DYNUNET = (
    DEFAULT,
    "rate 1e-3",
    "rate 1e-2",
    "rate 2e-2",
    "no flips",
    "flips along all axes",
)  # of hippocampus
# Validation Dice is taken at a plan's own spacing. So these, of head and neck, are set against each other in
# the scans' own space, still on validation cases; all of them with what was chosen.
AS_PLANNED = "as planned, 4.6x4.6x2.75 mm"
SPACINGS: Mapping[str, Mapping[str, Any]] = {
    AS_PLANNED: {},
    "voxels a quarter longer": {"spacing_mm": (5.73, 5.73, 3.44)},
    "voxels a fifth shorter": {"spacing_mm": (3.67, 3.67, 2.2)},
}
FOCAL = "as planned, focal loss and Dice"
