"""MISSU (Wang et al., 2023): a rival of dual self-distillation, on a network of its own, and its control.

The encoder's skips teach the decoder (`distillation/missu.py`) in a TransBTS whose skips are fused over
scales while it is trained (`networks/missu.py`). The control is that network with the same fusion, on the
labels alone. The schedule is that of `supervised`.

The published weight is not known to us, and 1 may be unfair to the method: 250 steps on phantoms of 40
voxels, one seed, gave a validation Dice of 0.48 (control), 0.43 (weight 0.01), 0.22 (0.1) and 0.11 (1). With
the fusion kept after training (`fusion=always`), which the paper takes away, it was 0.80 (control) and 0.22
(weight 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ..training.experiment import Experiment, FeatureShapes, Study
from .supervised import supervised

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "MISSU (Wang et al., 2023)"
WHEN = "Not tried here on real scans."

Options = Mapping[str, Any] | None


def missu(
    study: Study,
    *,
    network: str = "missu",
    network_options: Options = None,
    self_distillation: float = 1.0,
    counted_axes: Literal["last", "first"] = "last",
) -> Experiment:
    """MISSU: what the encoder's skips hold teaches the decoder of the same network.

    network: any whose encoder and decoder have equal channels on each level.
    self_distillation: weight of that term; 0 leaves the control.
    counted_axes: which two axes of space its divisor counts: the authors', or the first.
    """

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.missu import MISSU

        weights = {"self_distillation": self_distillation}
        return MISSU(shapes["student"], counted_axes=counted_axes, weights=weights)

    control = missu_control(study, network=network, network_options=network_options)
    own = {"self_distillation": self_distillation, "counted_axes": counted_axes}
    options = {**control.options, **own}
    return replace(control, recipe="missu", options=options, method=method, control=control)


def missu_control(study: Study, *, network: str = "missu", network_options: Options = None) -> Experiment:
    """MISSU's network on the labels alone; the same run as `supervised` with that network."""
    return supervised(study, network=network, network_options=network_options)
