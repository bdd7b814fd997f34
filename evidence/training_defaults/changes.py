"""What is changed in turn: settings of training, and options of the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from distilseg.data.planning.plan import Normalisation


@dataclass(frozen=True)
class Change:
    """One difference from the defaults."""

    training: Mapping[str, Any] = field(default_factory=dict)  # fields of Sampling and Optimisation
    plan: Mapping[str, Any] = field(default_factory=dict)  # options of `make_plan`
    patch: float = 1.0  # voxels of the patch, as a share of the planned ones
    times: int = 1  # as long
    windows: Mapping[str, str] = field(default_factory=dict)  # name of a second CT channel -> its range


@dataclass(frozen=True)
class Bench:
    """A dataset, and what is tried on it."""

    folder: str
    voxels: float  # that a run is shown
    changes: Mapping[str, Change]


DEFAULT = "as it was"
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
SPREAD = Normalisation(kind="piecewise", points=((-1024, -1.5), (-160, -1), (240, 1), (1600, 2)))
WINDOWS = {
    "window of soft tissue": Change(plan={"normalisation": {"CT": SOFT}}),
    "two windows": Change(windows={"CT of soft tissue": SOFT}),
    "soft tissue spread": Change(plan={"normalisation": {"CT": SPREAD}}),
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
            "rate 1e-2, three times as long": replace(RATES["rate 1e-2"], times=3),
            "quarter, rate 1e-2, three times as long": replace(RATES["rate 1e-2"], patch=1 / 4, times=3),
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
            "no flips": NO_FLIPS,
            "percentiles of PET": Change(plan={"normalisation": {"PET": "percentile"}}),
        },
    ),
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
