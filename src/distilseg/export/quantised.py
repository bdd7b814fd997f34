"""What became of an attempt at int8: which form an artefact holds, why, and how people are told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from ..evaluation.agreement import titled
from .judging import Scores, mean_dice

MAX_DICE_DROP = 0.5  # points
SLOWER = 1.05  # times float's time; closer to it, a clock cannot tell

Form = Literal["int8", "float"]


def kept(
    drop: float,
    max_dice_drop: float,
    milliseconds_float: float,
    milliseconds_int8: float,
    *,
    even_if_slower: bool = False,
) -> Form:
    """int8, unless it loses more Dice than is allowed, or is slower and nobody wants it even so."""
    if drop > max_dice_drop:
        return "float"
    return "int8" if even_if_slower or milliseconds_int8 <= SLOWER * milliseconds_float else "float"


@dataclass(frozen=True)
class Quantised:
    """The attempt; `kept` says which network the artefact holds."""

    kept: Form
    cases: int  # that judged
    calibration_cases: int
    calibration_windows: int
    dice_float: Scores
    dice_int8: Scores
    drop: float  # of the mean Dice over the structures, in points
    max_dice_drop: float
    layers: int
    layers_in_float: tuple[str, ...]
    bytes_float: int
    bytes_int8: int
    milliseconds_float: float  # of one call of the network on the windows it is shown at once
    milliseconds_int8: float
    timed_on: str
    even_if_slower: bool = False
    labelled_by: str = ""  # the teacher whose answers judged; "": labels

    @property
    def judged(self) -> str:
        """What the scores are."""
        return titled("Dice", self.labelled_by)

    @property
    def slower(self) -> bool:
        """Whether int8 takes longer than float, beyond what a clock can tell."""
        return self.milliseconds_int8 > SLOWER * self.milliseconds_float

    def record(self) -> dict[str, Any]:
        """For artefact.json."""
        return {**asdict(self), "layers_in_float": list(self.layers_in_float)}

    def sentences(self) -> list[str]:
        """What it says to people: the drop, the layers, the size, the time; first what decided."""
        told = [self._dice(), self._layers(), self._size(), self._time()]
        return told[-1:] + told[:-1] if self.slower and self.drop <= self.max_dice_drop else told

    def _dice(self) -> str:
        before, after = (f"{100 * mean_dice(scores):.2f}" for scores in (self.dice_float, self.dice_int8))
        told = f"mean {self.judged} {before} in float, {after} in int8"
        told += f" on {self.cases} cases: a drop of {self.drop:.2f} points"
        if self.drop <= self.max_dice_drop:
            return told
        return f"int8 refused, the artefact is in float: {told}, above the {self.max_dice_drop:g} allowed"

    def _layers(self) -> str:
        return f"{len(self.layers_in_float)} of {self.layers} layers stayed in float"

    def _size(self) -> str:
        return f"in int8 the network takes {self.bytes_int8 / self.bytes_float:.2f} of its size in float"

    def _time(self) -> str:
        ratio = self.milliseconds_int8 / self.milliseconds_float
        told = (
            f"a call in int8 takes {ratio:.2f} of its time in float"
            f" ({self.milliseconds_int8:.3g} ms, {self.milliseconds_float:.3g} ms) on {self.timed_on}"
        )
        if not self.slower:
            return f"{told}: int8 is {'faster' if ratio < 1 / SLOWER else 'as fast'}"
        if self.kept == "int8":
            return f"int8 is slower here, and kept (--even-if-slower): {told}; --to openvino gives float"
        if self.drop > self.max_dice_drop:
            return f"int8 is slower here, too: {told}"
        return f"int8 is slower here, the artefact is in float: {told}; --even-if-slower gives int8"
