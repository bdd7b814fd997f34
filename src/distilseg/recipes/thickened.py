"""Thickened 2D networks (T2D) on any dataset: slabs of slices, 3D context at 2D cost; and its ablations.

A network for each view of the volume, trained on slabs across that axis, on the labels alone. `--view all`
trains three and fuses them. The control is the plain thickened network: all slices as channels of its first
convolution, no multiplexing, no attention. Ablations: `thickened_esm` (multiplexing alone),
`thickened_concat` and `thickened_dot` (other heads).

The paper begins with ImageNet's weights and minimises Dice alone; here nothing is downloaded, so training is
from scratch with cross-entropy beside it: `--cross-entropy 0` is the paper's, and ImageNet's weights are
taken from a file (`--backbone resnet50 --network-option imagenet=FILE`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from ..data.planning.views import VIEWS, view_axis
from ..data.sampling.slices import slabbed
from ..errors import UserError, unknown
from ..training.experiment import Experiment, FeatureShapes, Study
from .supervised import supervised
from .variant import Given, inherits, renamed, variant

if TYPE_CHECKING:
    from ..distillation.method import Method

TITLE = "Thickened 2D networks, T2D (Yu et al., 2019)"
WHEN = "For 2D in place of 3D: slabs of MR gained +0.029 Dice over slices; which part gains is not settled."

Options = Mapping[str, Any] | None
OneView = Literal["axial", "coronal", "sagittal"]
View = Literal["axial", "coronal", "sagittal", "all"]
Backbone = Literal["light", "resnet50", "deeplab_v3_plus", "student_tiny", "student_small", "student_base"]
LEARNING_RATE = 2e-3


def thickened(
    study: Study,
    *,
    view: View = "axial",
    thickness: int = 12,
    backbone: Backbone = "light",
    head: Literal["ssa", "none", "concat", "dot"] = "ssa",
    query: Literal["fused", "group"] = "fused",
    multiplexing: bool = True,
    network_options: Options = None,
    cross_entropy: float = 1.0,
    reduce: Literal["sample", "batch"] = "sample",
    stride: int = 1,
    fuse: Literal["vote", "mean", "threshold"] = "vote",
) -> Experiment:
    """A 2D network that segments slabs of slices: early-stage multiplexing, slice-sensitive attention.

    view: across which axis slabs are cut; all trains the three views and fuses them, its control is axial.
    thickness: slices in a slab, a multiple of 3; 1 is a network of single slices.
    backbone: light and the smaller students are for CPUs, resnet50 is the paper's, which is deeplab_v3_plus
    without its atrous pyramid.
    head: how what belongs to a group of slices is found in what all share: by attention (ssa), or other ways.
    query: of the attention, by the map that all slices share or by each group's; the paper does not say.
    multiplexing: groups of slices pass the first layers apart; without it they are channels from the start.
    network_options: further options of the network thickened.
    cross_entropy: its weight beside Dice; the paper has 0.
    reduce: Dice of each slab, or of the whole batch.
    stride: slices from one window to the next when predicting; above 1 is faster.
    fuse: how three views become one.
    """
    if view not in (*VIEWS, "all"):
        raise unknown("view", view, (*VIEWS, "all"))
    if thickness != 1 and (thickness < 1 or thickness % 3):
        raise UserError(f"slabs of {thickness} slices", "give 1 or a multiple of 3, the size of a group")
    options = {name: value for name, value in locals().items() if name not in ("study", "view", "fuse")}
    options["network_options"] = dict(network_options or {})
    first, *others = VIEWS if view == "all" else (view,)
    made = _of_view(study, first, options)
    if others:
        made = replace(made, views=tuple(_of_view(study, other, options) for other in others), fuse=fuse)
    return made


@inherits(thickened, "thickness", "backbone", "network_options", "cross_entropy", "reduce", "stride")
def thickened_plain(study: Study, given: Given, *, view: OneView = "axial") -> Experiment:
    """The control: a slab's slices as channels of the first convolution, nothing more.

    view: across which axis slabs are cut.
    """
    plain = thickened(study, view=view, head="none", multiplexing=False, **given)
    return renamed(plain, "thickened_plain")


_with_head = partial(variant, thickened, offers=("view", "thickness", "backbone", "network_options"))

thickened_esm = _with_head("Ablation: early-stage multiplexing without attention.", head="none")
thickened_concat = _with_head("Ablation: concatenation in place of attention.", head="concat")
thickened_dot = _with_head("Ablation: the product of both maps in place of attention.", head="dot")


def _of_view(study: Study, view: str, options: Mapping[str, Any]) -> Experiment:
    """The network of one view, and its control unless it is that itself."""
    thickness, stride = options["thickness"], options["stride"]
    axis = view_axis(study.plan.orientation, view)
    own = replace(study, plan=slabbed(study.plan, axis, thickness, multiple=_output_stride(options)))
    network_options = {
        "axis": axis,
        "group": 1 if thickness == 1 else 3,
        "backbone": options["backbone"],
        "head": options["head"],
        **({"query": options["query"]} if options["head"] == "ssa" else {}),
        "multiplexing": options["multiplexing"],
        **options["network_options"],
    }

    def method(shapes: Mapping[str, FeatureShapes]) -> Method:
        from ..distillation.thickened import OverlapSupervised

        return OverlapSupervised(options["reduce"], weights={"cross_entropy": options["cross_entropy"]})

    base = supervised(own, network="thickened", network_options=network_options)
    plain = not options["multiplexing"] and options["head"] == "none"
    shared = {name: value for name, value in options.items() if name not in ("head", "query", "multiplexing")}
    slabs = {
        "kind": "slabs",
        "patch": list(own.plan.patch),
        "axis": axis,
        "stride": stride,
        "divisor": _output_stride(options),
    }
    return replace(
        base,
        recipe="thickened",
        options={"view": view, **options},
        method=method,
        optimisation=replace(base.optimisation, learning_rate=LEARNING_RATE),
        inferer=slabs,
        control=None if plain else thickened_plain(study, view=view, **shared),
    )


def _output_stride(options: Mapping[str, Any]) -> int:
    return int(options["network_options"].get("output_stride", 16))
