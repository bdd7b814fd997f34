"""One network for every subset of modalities: what one student for each subset is compared with.

U-HeMIS and U-HVED of Dorent et al., MICCAI 2019, arXiv 1907.11150, on all the plan's modalities. In training
each patch loses a random part of its modalities; in use, those that a case lacks are channels of NaN. The
schedule is that of `supervised`, as for the students. The published one (patches of 112 voxels, Adam 1e-3,
60,000 steps) is a matter of settings; in 250 steps on phantoms its learning rate gave a validation Dice of
0.06 (U-HeMIS) and 0.02 (U-HVED), that of `supervised` 0.18 and 0.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..networks.build import describe
from ..training.experiment import Experiment, FeatureShapes, Study
from .supervised import supervised
from .variant import Given, inherits, renamed

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "One network for any modalities: U-HeMIS, U-HVED (Dorent et al., 2019)"
WHEN = "Not tried here on real scans."

Options = Mapping[str, Any] | None


def u_hemis(study: Study, *, network: str = "u_hemis", network_options: Options = None) -> Experiment:
    """U-HeMIS: one network for any subset of modalities, fused by mean and variance."""
    options = dict(network_options or {})
    known = describe(network).options
    if {"filters", "strides"} <= known.keys():  # fewer levels than were planned: the coarsest are left out
        levels = len(options.get("filters", known["filters"].default))
        options.setdefault("strides", [list(stride) for stride in study.plan.network_strides[:levels]])
    return renamed(supervised(study, network=network, network_options=options), "u_hemis")


@inherits(u_hemis, "network_options", network="u_hved")
def u_hved(study: Study, given: Given, *, kl: float = 0.1, reconstruction: float = 0.1) -> Experiment:
    """U-HVED: one variational network for any subset of modalities, which also completes the others.

    kl and reconstruction weigh the terms beside the segmentation's.
    """
    weights = {"kl": kl, "reconstruction": reconstruction}

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.hved import HVED

        return HVED(shapes["student"], weights=weights)

    plain = u_hemis(study, **given)
    return replace(plain, recipe="u_hved", options={**plain.options, **weights}, method=method)
