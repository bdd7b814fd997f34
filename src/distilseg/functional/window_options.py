"""How a volume is cut and put together, as a value that cannot be absurd: the options of each inferer.

    sliding_window    patch, overlap, blend, batch, mirror, stride, average, activation
    slices            patch, axis, overlap, blend, batch, mirror
    slabs             patch, axis, stride, average, activation, batch, divisor, pad
    fitted_windows    patch, multiple, least, most, overlap, most_voxels, blend, batch, mirror, average,
                      activation

The inferers in torch are these values with a `__call__`, those on NumPy are given their fields; so both
refuse the same, wherever the options come from: a recipe, an experiment.json, an artefact, a teacher's card.
Standard library and NumPy alone.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

from ..errors import UserError, unknown
from .fitted_windows import fitted, smallest
from .windows import window_steps

Blend = Literal["gaussian", "constant"]
Pad = Literal["edge", "zeros"]
Average = Literal["probabilities", "logits"]
Activation = Literal["softmax", "sigmoid"]
Options = TypeVar("Options")

MOST_VOXELS = 2**28  # of all windows in one pass: 1 GB of 32-bit floats for each modality
MOST_WINDOWS = 4096  # that look at one voxel: beyond it a prediction ends in weeks
MOST_DIVISOR = 1024  # slices are padded to multiples of it


@dataclass(frozen=True)
class SlidingWindowOptions:
    """Of overlapping patches, 2D or 3D; raises UserError for what cannot be."""

    patch: tuple[int, ...]  # voxels
    overlap: float = 0.25  # least share of a patch that its neighbour sees too
    blend: Blend = "gaussian"
    batch: int = 4  # patches in one pass of the network
    mirror: bool | tuple[int, ...] = False  # average over flips of all axes, or of these
    stride: tuple[int, ...] | None = None  # voxels from one window to the next, in place of the overlap
    average: Average = "logits"
    activation: Activation = "softmax"  # what makes probabilities of logits; sigmoid for regions

    def __post_init__(self) -> None:
        if not _whole_numbers(self.patch, least=1) or len(self.patch) > 3:
            raise UserError(
                f"a sliding window cannot have the patch {_told(self.patch)}", "give voxels from 1"
            )
        _check_overlap(self.overlap)
        _check_choice("blend of windows", self.blend, Blend)
        check_averaging(self.average, self.activation)
        _check_mirror(self.mirror, len(self.patch))
        _check_pass(self.batch, self.patch)
        if self.stride is not None and not (
            _whole_numbers(self.stride, least=1)
            and len(self.stride) == len(self.patch)
            and all(step <= size for step, size in zip(self.stride, self.patch, strict=True))
        ):
            raise UserError(
                f"windows of {list(self.patch)} voxels cannot stand {_told(self.stride)} apart",
                "give a stride for each axis, from 1 to the patch's voxels",
            )
        _check_windows(self.patch, self.strides)

    @property
    def strides(self) -> tuple[int, ...]:
        """Voxels from one window to the next, at most, along each axis."""
        return window_steps(self.patch, self.overlap, self.stride)

    @property
    def mirrored_axes(self) -> tuple[int, ...]:
        """Axes of space that are flipped."""
        if isinstance(self.mirror, bool):
            return tuple(range(len(self.patch))) if self.mirror else ()
        return tuple(self.mirror)


@dataclass(frozen=True)
class SlicesOptions:
    """Of a 2D network that goes slice by slice; raises UserError for what cannot be."""

    patch: tuple[int, ...]  # voxels in the plane
    axis: int = 2  # of the volume, across the slices
    overlap: float = 0.25
    blend: Blend = "gaussian"
    batch: int = 8  # slices, and patches in one pass of the network
    mirror: bool | tuple[int, ...] = False  # over flips in the plane

    def __post_init__(self) -> None:
        if not _whole_numbers(self.patch, least=1) or len(self.patch) != 2 or not _is_axis(self.axis):
            raise UserError(
                f"slices across axis {_told(self.axis)} by patches of {_told(self.patch)}",
                "give an axis from 0 to 2 and two sizes in voxels",
            )
        _ = self.window

    @property
    def window(self) -> SlidingWindowOptions:
        """What happens in the plane; it checks the rest."""
        return SlidingWindowOptions(self.patch, self.overlap, self.blend, self.batch, self.mirror)


@dataclass(frozen=True)
class SlabsOptions:
    """Of k slices at once; raises UserError for what cannot be."""

    patch: tuple[int, ...]  # voxels; across the slices it counts, in their plane it does not
    axis: int = 2  # of the volume, across the slices
    stride: int = 1  # slices from one window to the next, at most
    average: Average = "probabilities"
    activation: Activation = "softmax"  # what makes probabilities of logits; sigmoid for regions
    batch: int = 4  # windows in one pass of the network
    divisor: int = 32  # slices are padded to multiples of it
    pad: Pad = "edge"

    def __post_init__(self) -> None:
        if not _whole_numbers(self.patch, least=1) or len(self.patch) != 3 or not _is_axis(self.axis):
            raise UserError(
                f"slabs across axis {_told(self.axis)} by patches of {_told(self.patch)}",
                "give an axis from 0 to 2 and three sizes in voxels",
            )
        if not _whole_numbers([self.stride], least=1) or self.stride > self.thickness:
            raise UserError(
                f"windows of {self.thickness} slices, one every {_told(self.stride)}",
                f"give a stride from 1 to {self.thickness}, or slices are left out",
            )
        check_averaging(self.average, self.activation)
        _check_choice("padding of slices", self.pad, Pad)
        if not _whole_numbers([self.divisor], least=1) or self.divisor > MOST_DIVISOR:
            raise UserError(
                f"slabs with a divisor of {_told(self.divisor)}", f"give 1 or more, at most {MOST_DIVISOR}"
            )
        _check_pass(self.batch, self.patch)
        _check_windows((self.thickness,), (self.stride,))

    @property
    def thickness(self) -> int:
        """k: slices of a window."""
        return self.patch[self.axis]


@dataclass(frozen=True)
class FittedWindowsOptions:
    """Of overlapping patches whose size follows the scan's; raises UserError for what cannot be."""

    patch: tuple[int, ...]  # voxels of the windows of training, on which a network's cost is counted
    multiple: tuple[int, ...]  # these and the next three as `fitted_windows` has them
    least: tuple[int, ...]
    most: tuple[int, ...]
    overlap: tuple[int, ...]
    most_voxels: int  # of all windows in one pass of the network
    blend: Blend = "gaussian"
    batch: int = 4  # windows in one pass, if so many voxels are allowed
    mirror: bool | tuple[int, ...] = False  # average over flips of all axes, or of these
    average: Average = "logits"
    activation: Activation = "softmax"

    def __post_init__(self) -> None:
        SlidingWindowOptions(self.patch, mirror=self.mirror)
        for name, values, lowest in (
            ("multiple", self.multiple, 1),
            ("least", self.least, 1),
            ("most", self.most, 1),
            ("overlap", self.overlap, 0),
        ):
            if not _whole_numbers(values, least=lowest) or len(values) != len(self.patch):
                raise UserError(
                    f"fitted windows cannot have {_told(values)} for their {name}",
                    f"give {len(self.patch)} whole numbers from {lowest}",
                )
        if max(self.multiple) > MOST_DIVISOR:
            raise UserError(
                f"fitted windows in multiples of {_told(self.multiple)}", f"give at most {MOST_DIVISOR}"
            )
        for sizes in (self.patch, self.least, self.most):
            if any(size % by for size, by in zip(sizes, self.multiple, strict=True)):
                raise UserError(
                    f"fitted windows of {_told(sizes)} voxels, which are no multiples of"
                    f" {_told(self.multiple)}",
                    "give multiples of what the network divides by",
                )
        if not _whole_numbers([self.most_voxels], least=1) or self.most_voxels > MOST_VOXELS:
            raise UserError(
                f"fitted windows of up to {_told(self.most_voxels)} voxels",
                f"give a whole number from 1 to {MOST_VOXELS:,}",
            )
        needed = smallest(self.multiple, self.least, self.overlap)
        if any(size > most for size, most in zip(needed, self.most, strict=True)):
            raise UserError(
                f"fitted windows of {_told(self.most)} voxels at most, where the smallest are"
                f" {_told(needed)}",
                "allow more, or a smaller overlap",
            )
        if math.prod(needed) > self.most_voxels:
            raise UserError(
                f"fitted windows of up to {self.most_voxels:,} voxels, where the smallest are"
                f" {_told(needed)}",
                "allow more voxels, or a smaller overlap",
            )
        self.window(needed)
        apart = tuple(size - over for size, over in zip(needed, self.overlap, strict=True))
        _check_windows(needed, apart)

    def window(self, shape: Sequence[int]) -> SlidingWindowOptions:
        """The windows of a scan of `shape` voxels."""
        patch, stride = fitted(shape, self.multiple, self.least, self.most, self.overlap, self.most_voxels)
        batch = self.batch
        if _whole_numbers([batch], least=1):
            batch = max(1, min(batch, self.most_voxels // math.prod(patch)))
        return SlidingWindowOptions(
            patch,
            blend=self.blend,
            batch=batch,
            mirror=self.mirror,
            stride=stride,
            average=self.average,
            activation=self.activation,
        )


OPTIONS: dict[
    str,
    type[SlidingWindowOptions] | type[SlicesOptions] | type[SlabsOptions] | type[FittedWindowsOptions],
] = {
    "sliding_window": SlidingWindowOptions,
    "slices": SlicesOptions,
    "slabs": SlabsOptions,
    "fitted_windows": FittedWindowsOptions,
}


def check_averaging(average: str, activation: str) -> None:
    """Raises UserError, with the known names, for one that there is not."""
    _check_choice("average of windows", average, Average)
    _check_choice("activation", activation, Activation)


def described(description: Mapping[str, Any], kinds: Mapping[str, Callable[..., Options]]) -> Options:
    """What `kinds` makes of a description as experiment.json and artefacts hold it.

    Such as {"kind": "sliding_window", "patch": [32, 48, 32], "overlap": 0.25}. Raises UserError for an
    unknown kind or option, a missing one, and whatever the options themselves refuse.
    """
    if not isinstance(description, Mapping):
        raise UserError(f"an inferer is described by {_told(description)}", "give its kind and its options")
    options = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in description.items()
        if name != "kind"
    }
    kind = str(description.get("kind"))
    if kind not in kinds:
        raise unknown("kind of inferer", kind, kinds)
    parameters = inspect.signature(kinds[kind]).parameters
    for name in options:
        if name not in parameters:
            raise unknown(f"option of the inferer {kind}", name, parameters)
    if missing := [name for name, p in parameters.items() if p.default is p.empty and name not in options]:
        raise UserError(f"the inferer {kind} lacks {', '.join(missing)}", "add it to its description")
    return kinds[kind](**options)


def check_volumes(description: Mapping[str, Any]) -> None:
    """Raises UserError where windows cannot be cut from a volume [I J K]; slices and slabs always can."""
    options = described(description, OPTIONS)
    if isinstance(options, SlidingWindowOptions | FittedWindowsOptions) and len(options.patch) != 3:
        raise UserError(f"windows of {list(options.patch)} voxels for volumes", "give a patch of three axes")


def _whole_numbers(values: Any, *, least: int) -> bool:
    """Whether these are whole numbers, at least one, none below `least`; True and False are none."""
    if not isinstance(values, tuple | list) or not values:
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) and n >= least for n in values)


def _is_axis(axis: Any) -> bool:
    return _whole_numbers([axis], least=0) and axis <= 2


def _check_overlap(overlap: Any) -> None:
    number = isinstance(overlap, int | float) and not isinstance(overlap, bool)
    if not number or not 0 <= overlap < 1:
        raise UserError(f"windows cannot overlap by {_told(overlap)}", "give a share in [0, 1), such as 0.25")


def _check_choice(kind: str, value: Any, choices: Any) -> None:
    if value not in get_args(choices):
        raise unknown(kind, value, get_args(choices))


def _check_mirror(mirror: Any, axes: int) -> None:
    if isinstance(mirror, bool) or mirror == ():
        return
    if not _whole_numbers(mirror, least=0) or len(set(mirror)) < len(mirror):
        raise UserError(f"mirror is {_told(mirror)}", "give true, false, or axes, each once")
    if strange := [axis for axis in mirror if axis >= axes]:
        raise UserError(f"there is no axis {strange[0]} to mirror", f"a patch has axes 0 to {axes - 1}")


def _check_pass(batch: Any, patch: tuple[int, ...]) -> None:
    if not _whole_numbers([batch], least=1):
        raise UserError(f"a pass of {_told(batch)} patches is none", "give a batch of 1 or more")
    if batch * math.prod(patch) > MOST_VOXELS:
        raise UserError(
            f"a pass of {_told(batch)} patches of {_told(patch)} voxels is larger than any memory for it",
            f"give a patch and a batch of at most {MOST_VOXELS:,} voxels together",
        )


def _check_windows(patch: tuple[int, ...], steps: tuple[int, ...]) -> None:
    windows = math.prod(math.ceil(size / step) for size, step in zip(patch, steps, strict=True))
    if windows > MOST_WINDOWS:
        raise UserError(
            f"windows of {list(patch)} voxels, {list(steps)} apart, look at each voxel {windows:,} times",
            f"let them overlap less: {MOST_WINDOWS:,} times is the most",
        )


def _told(value: Any) -> str:
    """For a message: a list as one, and nothing of any length."""
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= 60 else text[:57] + "..."
