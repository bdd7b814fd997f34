"""From a prepared case to its logits: thickened 2D networks against 3D networks, >= 4 times faster than a
3D U-Net.

One case of 512x512x394 voxels, one modality, two classes, one thread. Thickened networks see whole slices,
slabs of 12 of them, the next one a slice on (the paper's) or half a slab on; one view or three. 3D networks
have the paper's 3D setting: patches of 128x128x64, the next one 32x32x16 voxels on. The 3D U-Net is MONAI's
BasicUNet with its default widths; V-Net and AH-Net are MONAI's, too. Weights are random: they cost the same.

All of it would take hours. What is taken instead:

    seconds = beside + windows x seconds of the network for one window

`beside` is the inferer on the whole case with a network that costs nothing, which also tells how many windows
there are and of what size; nothing of the geometry is computed here. A window's seconds are the median of
several, the networks in turns after a round that warms up. The paper's seconds, in the notes, are of its GPU.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distilseg.inference.denormals import denormals_flushed
from distilseg.inference.inferer import Inferer
from distilseg.inference.slabs import Slabs
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.networks.build import NetworkSpec, build

from .common import Row, in_turns, row

CLASSES = 2
VIEWS = {"axial": 2, "coronal": 1, "sagittal": 0}
BASELINES = {"3D U-Net": "basic_unet", "V-Net": "vnet", "AH-Net": "ahnet"}
BACKBONES = ("resnet50", "light")
PAPER = "one view 110.75 s, three 335.04 s; 3D U-Net 446.64 s, V-Net 833.42 s, AH-Net 226.14 s"


@dataclass(frozen=True)
class Sizes:
    """Of the case, of slabs, of patches: voxels."""

    case: tuple[int, int, int] = (512, 512, 394)
    thickness: int = 12
    patch: tuple[int, int, int] = (128, 128, 64)
    stride: tuple[int, int, int] = (32, 32, 16)


QUICK = Sizes(case=(72, 40, 36), thickness=6, patch=(64, 32, 32), stride=(8, 8, 4))


@dataclass(frozen=True)
class Walk:
    """What an inferer does with a case, the network left out."""

    windows: int
    window: tuple[int, ...]  # voxels
    beside_s: float


def main(quick: bool = False) -> list[Row]:
    torch.set_num_threads(1)
    sizes = QUICK if quick else Sizes()
    steps = (1, sizes.thickness // 2)
    in_3d = walked(_window(sizes), sizes.case)
    walks = {(view, step): walked(_slabs(sizes, view, step), sizes.case) for view in VIEWS for step in steps}
    calls = {name: _forward(network, in_3d.window) for name, network in BASELINES.items()}
    for backbone in BACKBONES:
        for view, axis in VIEWS.items():
            options = {"backbone": backbone, "axis": axis, "query": "fused"}  # as the recipe has it
            calls[f"{backbone} {view}"] = _forward("thickened", walks[view, 1].window, options)
    with torch.inference_mode(), denormals_flushed():
        seconds = in_turns(calls, repeats=1 if quick else 5)
    median = {name: statistics.median(taken) for name, taken in seconds.items()}
    rows = []
    for backbone in BACKBONES:
        for step in steps:
            for views in (["axial"], [*VIEWS]):
                parts = [(walks[view, step], median[f"{backbone} {view}"]) for view in views]
                against = ["3D U-Net"]
                if (backbone, step, len(views)) == ("resnet50", 1, 1):
                    against = [*BASELINES]
                number = "one view" if len(views) == 1 else "three views"
                what = f"thickened {backbone}, slabs of {sizes.thickness}, stride {step}, {number}"
                rows += [
                    _row(
                        f"{what}, against {peer}",
                        parts,
                        peer,
                        (in_3d, median[peer]),
                        sizes,
                        len(seconds[peer]),
                    )
                    for peer in against
                ]
    return rows


def walked(inferer: Inferer, shape: Sequence[int]) -> Walk:
    """The inferer on a case of `shape` voxels with a network that costs nothing; it must take one window at
    a time, all of one size."""
    seen: list[tuple[int, ...]] = []

    def network(window: Tensor) -> Tensor:
        seen.append(tuple(window.shape))
        return torch.zeros(1, CLASSES, 1, 1, 1).expand(1, CLASSES, *window.shape[2:])

    image = torch.zeros(1, 1, *shape)
    with torch.inference_mode(), denormals_flushed():
        start = time.perf_counter()
        inferer(image, network)
        beside_s = time.perf_counter() - start
    (size,) = set(seen)
    return Walk(len(seen), size[2:], beside_s)


def extrapolated(parts: Sequence[tuple[Walk, float]]) -> float:
    """Seconds for a case, of walks and the seconds of their networks for one window."""
    return sum(walk.beside_s + walk.windows * window_s for walk, window_s in parts)


def _window(sizes: Sizes) -> SlidingWindow:
    return SlidingWindow(sizes.patch, stride=sizes.stride, blend="constant", average="probabilities", batch=1)


def _slabs(sizes: Sizes, view: str, step: int) -> Slabs:
    axis = VIEWS[view]
    slab = tuple(sizes.thickness if n == axis else size for n, size in enumerate(sizes.case))
    return Slabs(slab, axis, step, batch=1)


def _forward(
    network: str, window: tuple[int, ...], options: Mapping[str, object] | None = None
) -> Callable[[], Tensor]:
    torch.manual_seed(0)
    built = build(NetworkSpec(network, 1, CLASSES, window, dict(options or {}))).eval()
    image = torch.randn(1, 1, *window)
    return lambda: built(image)


def _row(
    what: str,
    parts: Sequence[tuple[Walk, float]],
    peer: str,
    of_peer: tuple[Walk, float],
    sizes: Sizes,
    repeats: int,
) -> Row:
    ours, theirs = extrapolated(parts), extrapolated([of_peer])
    told = "; ".join(f"{name}: {_told(part)}" for name, part in (("ours", parts), (peer, [of_peer])))
    return row(
        f"latency of a case of {_times(sizes.case)}",
        what,
        ours=ours,
        peer=theirs,
        unit="s",
        ratio=theirs / ours,
        aim=">= 4" if peer == "3D U-Net" else ">= 1",
        peer_name=peer,
        repeats=repeats,
        note=f"seconds per window times windows, one thread. {told}. The paper, on its GPU: {PAPER}",
    )


def _told(parts: Sequence[tuple[Walk, float]]) -> str:
    return ", ".join(
        f"{walk.windows} of {_times(walk.window)} at {window_s:.3g} s and {walk.beside_s:.3g} s"
        for walk, window_s in parts
    )


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
