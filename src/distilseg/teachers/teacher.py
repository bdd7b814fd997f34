"""What a teacher is: a model of anyone's that answers for whole scans, on a grid of its own.

A teacher prepares scans in its own way (spacing, order of steps, windows) and knows where the voxels of its
answer lie in the scan. It never gets a `Plan` of ours, and is never asked live: its answers are recorded.

Teacher          the contract, which every kind beside this file signs
Answer           logits on the teacher's working grid, with the `Placement` of that grid in the scan
Head, Provenance what a logit is of, and where the model comes from
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..data.preparing.grid import Grid
from ..data.scans.scan import Scan

Activation = Literal["softmax", "sigmoid"]
Labels = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class Head:
    """What one logit is of: a class (one label value) or a region (a union of them)."""

    name: str
    values: tuple[int, ...]  # in the teacher's own label maps


@dataclass(frozen=True)
class Provenance:
    """Where a teacher comes from, for run, card and report."""

    kind: str  # such as "nnU-Net v2"
    files: Mapping[str, str]  # name of a file -> digest of its content
    network: str = ""  # such as "PlainConvUNet, 31,195,784 parameters"
    trainer: str = ""
    dataset: str = ""
    licence: str = ""  # as stated in its files; "": not stated
    reference: str = ""
    warnings: tuple[str, ...] = ()  # terms of use, traps: one sentence each


@dataclass(frozen=True)
class Placement:
    """Where a working grid lies in a scan: voxel i of working axis a has its centre at stored coordinate
    start[a] + i * step[a] of the scan's stored axis order[a]."""

    original_shape: tuple[int, ...]  # of the scan, as stored: I J K
    order: tuple[int, ...]
    start: tuple[float, ...]
    step: tuple[float, ...]  # negative where the working axis runs against the stored one
    shape: tuple[int, ...]  # working voxels
    box: tuple[tuple[int, int], ...]  # first, last + 1 stored voxel by working axis; background outside

    @classmethod
    def of_grid(cls, grid: Grid) -> Placement:
        """That of a grid of ours, whose outer voxel edges lie on those of its crop."""
        starts, steps, boxes = [], [], []
        for axis, flipped, (first, stop), voxels in zip(
            grid.order, grid.flipped, grid.box, grid.working_shape, strict=True
        ):
            n = grid.original_shape[axis]
            low, high = (n - stop, n - first) if flipped else (first, stop)  # the box in stored voxels
            step = (high - low) / voxels
            # Working voxel i is centred at (i + 1/2) step from the crop's edge, which lies at low - 1/2.
            starts.append(high - 0.5 - step / 2 if flipped else low - 0.5 + step / 2)
            steps.append(-step if flipped else step)
            boxes.append((low, high))
        return cls(
            grid.original_shape, grid.order, tuple(starts), tuple(steps), grid.working_shape, tuple(boxes)
        )


@dataclass(frozen=True, eq=False)
class Answer:
    """What a teacher says of one scan, on its own working grid."""

    logits: NDArray[np.float32]  # [K *W]
    placement: Placement
    activation: Activation


@runtime_checkable
class Teacher(Protocol):
    """A model that answers for whole scans."""

    @property
    def name(self) -> str:
        """What people call it: the file's or folder's name."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it is shown, in its order; (): nothing, any scan of a case will do for its grid."""

    @property
    def heads(self) -> tuple[Head, ...]:
        """What its logits are of, in their order; of classes (softmax) the background is the first."""

    @property
    def activation(self) -> Activation:
        """softmax: its heads are classes, one of which holds; sigmoid: regions, each by itself."""

    @property
    def provenance(self) -> Provenance:
        """Where it comes from."""

    @property
    def digest(self) -> str:
        """Of all that determines its answers: weights, preparation, windows, options."""

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Its logits for scans by modality. Raises `UserError`, naming the case, for scans it cannot take."""

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """Label values [I J K] in the teacher's own numbers, on the grid of `scans`, as its makers do it."""

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        """Probabilities [K I J K] on the grid of `scans`, as its makers do it."""

    def summary(self) -> dict[str, Any]:
        """What it is, in plain values: kind, network, classes or regions, modalities, spacing_mm, patch,
        licence, files and their digests, warnings, and what its kind adds."""


@dataclass(frozen=True)
class TeacherOptions:
    """How a teacher is opened and run, where the user wants it otherwise than it says itself."""

    configuration: str | None = None  # nnU-Net: which, where a folder holds several
    folds: tuple[str, ...] | None = None  # nnU-Net: such as ("0", "1") or ("all",); None: all integer folds
    checkpoint: str = "checkpoint_final.pth"
    mirror: bool | None = None  # average over mirrored scans; None: as the teacher says
    step: float | None = None  # of the windows, as a share of the patch; None: the teacher's
    orientation: str | None = None  # scans are turned to it before they are shown, such as "LPS"
    card: Path | None = None  # of ONNX and TorchScript: what the file itself does not say
    trust: tuple[str, ...] = ()  # SHA-256 digests, or names, of files that may run code (TorchScript)
    device: str = "auto"
    threads: int | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
