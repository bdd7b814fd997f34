"""What the students for CPUs are made of, against what they might have been made of: time on one thread.

`distilseg.networks.student` follows from these rows, each a choice (ours) and an alternative (peer), in
OpenVINO and in eager PyTorch. `docs/explanation/students.md` tells which followed from which. Where the
alternative is faster, as depthwise convolutions are, a row says "no", and that page says why not.

    block       a pair of 3x3x3 convolutions with a shortcut; plain, (2+1)D, depthwise separable, inverted
    norm        batch norm, folded into the convolution; instance norm
    channels    seconds per 10^9 multiply-accumulates of a convolution of 8, 16, 32 channels; of 7, 12, 24
    way up      1x1x1 convolution, voxels repeated, skip added; linear, transposed, shuffled; concatenated
    stem        of stride 2; of stride 1 and 4
    network     the students and what they replace, of one window of a hippocampus plan or one slab

Notes give milliseconds per 10^6 voxels of the larger map and achieved GFLOP/s (two per multiply-accumulate).
PyTorch takes two windows at a time and is given half the seconds: with one, its convolutions of small maps
leave oneDNN. Times are the process's own, contestants in turns; batch norms are folded for both.
"""

from __future__ import annotations

import importlib.util
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distilseg.export.openvino import write_openvino
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.count import multiply_accumulates
from distilseg.networks.folding import folded
from distilseg.networks.student import Residual

from .common import Row, in_turns, ratio_row

PATCH = (32, 48, 32)  # of a plan of MSD's hippocampus cases
CLASSES = 3
LARGE, SMALL = {"filters": [32, 64, 128, 256, 320]}, {"filters": [4, 8, 8, 8, 8]}
STUDENTS = ("student_tiny", "student_small", "student_base")


@dataclass(frozen=True)
class Contestant:
    """A network, the image [1 M *S] that it is shown, and what its time is divided by for the ratio."""

    network: nn.Module
    channels: int
    size: tuple[int, ...]
    per: float = 1.0

    @property
    def gmacs(self) -> float:
        return multiply_accumulates(self.network, (1, self.channels, *self.size)) / 1e9


@dataclass(frozen=True)
class Comparison:
    """One choice and its alternatives."""

    what: str
    ours: str
    peers: Sequence[str]
    aim: str = ">= 1"


def main(quick: bool = False) -> list[Row]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    runtimes: dict[str, Callable[[Contestant], Callable[[], object]]] = {"PyTorch": _in_torch}
    if importlib.util.find_spec("openvino") is not None:
        runtimes["OpenVINO"] = _in_openvino
    contestants, comparisons = candidates(quick)
    rows = []
    for runtime, prepared in runtimes.items():
        calls = {name: prepared(contestant) for name, contestant in contestants.items()}
        with torch.inference_mode():
            seconds = in_turns(calls, repeats=1 if quick else 9, clock=time.process_time, again=True)
        windows = 2 if runtime == "PyTorch" else 1
        seconds = {name: [taken / windows for taken in rounds] for name, rounds in seconds.items()}
        for comparison in comparisons:
            rows += [_row(runtime, comparison, peer, contestants, seconds) for peer in comparison.peers]
    return rows


def candidates(quick: bool) -> tuple[dict[str, Contestant], list[Comparison]]:
    """All that is timed, by name, and what is compared."""
    contestants: dict[str, Contestant] = {}
    comparisons: list[Comparison] = []

    def compare(what: str, entries: Mapping[str, Contestant], aim: str = ">= 1") -> None:
        named = {f"{name}, {what}": contestant for name, contestant in entries.items()}
        contestants.update(named)
        ours, *peers = named
        comparisons.append(Comparison(what, ours, peers, aim))

    half, quarter = tuple(n // 2 for n in PATCH), tuple(n // 4 for n in PATCH)
    for width, size in ((16, half), (32, half), (64, quarter))[: 1 if quick else 3]:
        blocks = {name: make(width) for name, make in BLOCKS.items()}
        compare(
            f"{width} channels, {_times(size)} voxels",
            {name: Contestant(block, width, size) for name, block in blocks.items()},
        )
    pair = {name: Contestant(_layer(32, 32, norm=norm), 32, half) for name, norm in NORMS.items()}
    compare("after a convolution of 32 channels", pair)
    for good, odd in ((8, 7), (16, 12), (32, 24))[: 1 if quick else 3]:
        entries = {}
        for width in (good, odd):
            one = Contestant(_layer(width, width), width, PATCH)
            entries[f"{width} channels"] = Contestant(one.network, width, PATCH, per=one.gmacs)
        compare(f"a 3x3x3 convolution of {_times(PATCH)} voxels, for each multiply-accumulate", entries)
    ways = {name: Contestant(Up(name), 64, quarter) for name in WAYS}
    compare(f"up from 64 channels of {_times(quarter)} voxels to 32, and a convolution", ways)
    stems = {f"stem of stride {by}": Contestant(_stem(by), 1, PATCH) for by in (2, 1, 4)}
    compare(f"1 modality to 16 channels, {_times(PATCH)} voxels", stems)
    large = Contestant(_network("dynunet", PATCH, SMALL if quick else LARGE), 1, PATCH)
    light = Contestant(_network("dynunet", PATCH, SMALL if quick else {}), 1, PATCH)
    students = STUDENTS[:1] if quick else STUDENTS
    for name, aim in zip(students, (">= 20", ">= 10", ">= 5"), strict=False):
        ours = Contestant(_network(name, PATCH, {}), 1, PATCH)
        entries = {name: ours, "DynUNet 32...320": large}
        compare(f"a window of {_times(PATCH)}", entries, aim)
        compare("the same window", {name: ours, "DynUNet 16...256": light})
    slab = (48, 64, 12) if quick else (256, 256, 12)
    of_slab = {
        name: Contestant(_network("thickened", slab, {"backbone": name}), 1, slab)
        for name in (*students, "light")
    }
    for name in students:
        compare(f"a thickened network's slab of {_times(slab)}", {n: of_slab[n] for n in (name, "light")})
    return contestants, comparisons


class Up(nn.Module):
    """A coarse map [B 64 *s] to [B 32 *2s]; the skip is made of the same map: one input alone."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.change: nn.Module = nn.Conv3d(64, 32 * (8 if way == "pixel shuffle" else 1), 1)
        if way == "transposed convolution":
            self.change = nn.ConvTranspose3d(64, 32, 2, 2)
        self.skip = nn.Sequential(nn.Conv3d(64, 32, 1), nn.Upsample(scale_factor=2.0, mode="nearest"))
        self.enlarge = nn.Upsample(scale_factor=2.0, mode="trilinear" if way == "linear" else "nearest")
        self.block = _layer(64 if way == "concatenated" else 32, 32)

    def forward(self, map_BCs: Tensor) -> Tensor:
        fine, skip = self.change(map_BCs), self.skip(map_BCs)
        if self.way == "pixel shuffle":
            batch, _, *size = map_BCs.shape
            split = fine.reshape(batch, 32, 2, 2, 2, *size).permute(0, 1, 5, 2, 6, 3, 7, 4)
            fine = split.reshape(batch, 32, *(2 * n for n in size))
        elif self.way != "transposed convolution":
            fine = self.enlarge(fine)
        merged: Tensor = torch.cat([fine, skip], 1) if self.way == "concatenated" else fine + skip
        out: Tensor = self.block(merged)
        return out


class Shortcut(nn.Module):
    """x + change(x)."""

    def __init__(self, change: nn.Module) -> None:
        super().__init__()
        self.change = change

    def forward(self, map_BCs: Tensor) -> Tensor:
        out: Tensor = map_BCs + self.change(map_BCs)
        return out


def _layer(
    before: int,
    after: int,
    kernel: Sequence[int] = (3, 3, 3),
    groups: int = 1,
    norm: type[nn.Module] = nn.BatchNorm3d,
) -> nn.Sequential:
    padding = [size // 2 for size in kernel]
    made = nn.Conv3d(before, after, tuple(kernel), padding=tuple(padding), groups=groups, bias=False)  # type: ignore[arg-type]
    return nn.Sequential(made, norm(after), nn.ReLU())


def _stem(stride: int) -> nn.Module:
    made = nn.Conv3d(1, 16, 2 * stride + 1, stride, stride, bias=False)
    return nn.Sequential(made, nn.BatchNorm3d(16), nn.ReLU())


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(*_layer(width, width, groups=width), *_layer(width, width, (1, 1, 1)))


def _inverted(width: int) -> nn.Module:
    wide = 4 * width
    layers = (_layer(width, wide, (1, 1, 1)), _layer(wide, wide, groups=wide), _layer(wide, width, (1, 1, 1)))
    return Shortcut(nn.Sequential(*layers))


def _apart(width: int) -> nn.Sequential:
    return nn.Sequential(*_layer(width, width, (3, 3, 1)), *_layer(width, width, (1, 1, 3)))


BLOCKS: Mapping[str, Callable[[int], nn.Module]] = {
    "residual block": lambda width: Residual(width, (3, 3, 3)),
    "plain pair": lambda width: nn.Sequential(_layer(width, width), _layer(width, width)),
    "(2+1)D pair": lambda width: nn.Sequential(_apart(width), _apart(width)),
    "depthwise separable pair": lambda width: nn.Sequential(_separable(width), _separable(width)),
    "inverted bottleneck": _inverted,
}
NORMS: Mapping[str, Any] = {"batch norm, folded": nn.BatchNorm3d, "instance norm": nn.InstanceNorm3d}
WAYS = ("repeated and added", "linear", "transposed convolution", "pixel shuffle", "concatenated")


def _network(name: str, patch: tuple[int, ...], options: Mapping[str, Any]) -> nn.Module:
    return build(NetworkSpec(name, 1, CLASSES, patch, dict(options)))


def _in_torch(contestant: Contestant) -> Callable[[], object]:
    network, image = folded(contestant.network), torch.randn(2, contestant.channels, *contestant.size)
    return lambda: network(image)


def _in_openvino(contestant: Contestant) -> Callable[[], object]:
    import openvino as ov

    core = ov.Core()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.xml"
        write_openvino(
            folded(contestant.network), path, modalities=contestant.channels, patch=contestant.size
        )
        model = core.read_model(path)
        model.reshape([1, contestant.channels, *contestant.size])
        settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
    image = torch.randn(1, contestant.channels, *contestant.size).numpy()
    return lambda: request.infer([image], share_inputs=True, share_outputs=True)


def _row(
    runtime: str,
    comparison: Comparison,
    peer: str,
    contestants: Mapping[str, Contestant],
    seconds: Mapping[str, list[float]],
) -> Row:
    ours, other = contestants[comparison.ours], contestants[peer]
    short = [name.removesuffix(f", {comparison.what}") for name in (comparison.ours, peer)]
    told = [
        f"{name} {_told(contestants[full], seconds[full])}"
        for name, full in zip(short, (comparison.ours, peer), strict=True)
    ]
    return ratio_row(
        f"student for CPUs, {runtime}",
        f"{short[0]} against {short[1]}, {comparison.what}",
        [taken / ours.per for taken in seconds[comparison.ours]],
        [taken / other.per for taken in seconds[peer]],
        aim=comparison.aim,
        peer_name=short[1],
        note=f"one thread, processor time; {'; '.join(told)}",
    )


def _told(contestant: Contestant, rounds: Sequence[float]) -> str:
    taken, voxels = statistics.median(rounds), math.prod(contestant.size)
    gmacs = contestant.gmacs
    return (
        f"{1e3 * taken:.3g} ms, {1e9 * taken / voxels:.3g} ms per 10^6 voxels,"
        f" {gmacs:.3g} GMAC, {2 * gmacs / taken:.3g} GFLOP/s"
    )


def _times(sizes: Sequence[int]) -> str:
    return "x".join(map(str, sizes))
