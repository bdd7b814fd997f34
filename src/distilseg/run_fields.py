"""What the JSON files of a run hold, by kinds, so that a damaged field is refused by its name.

A field may be absent, as in files of earlier versions and of folders that only read like a run; whoever asks
for one that is not there is refused in one line. Fields without a kind here are taken as they come.

    int, str, ...     a value of that type; a float is any finite number, an int one of 64 bits
    None              null
    (a, b)            one of several kinds
    [kind]            a list of any length
    {"name": kind}    an object, with these among its fields
    Each(kind)        an object whose fields, whatever their names, are all of one kind
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import UserError
from .names import pasted, quoted


@dataclass(frozen=True)
class Each:
    """An object whose fields are all of one kind."""

    kind: Any


_PERHAPS_TEXT = (str, None)
_TEACHER = {
    **dict.fromkeys(("name", "kind", "digest"), str),
    **dict.fromkeys(("licence", "reference"), _PERHAPS_TEXT),
    **{name: [str] for name in ("traps", "warnings")},
    "saw": ([str], None),
    "learned": dict,
}
_DATASET = {
    **dict.fromkeys(("name", "folder", "layout", "labelled_by"), str),
    **dict.fromkeys(("licence", "reference"), _PERHAPS_TEXT),
    "one_slice_per_subject": {"view": str, "seed": int},
}
KINDS: Mapping[str, Mapping[str, Any]] = {
    "experiment.json": {
        **dict.fromkeys(("recipe", "key", "answers"), str),
        **dict.fromkeys(("control", "continues"), _PERHAPS_TEXT),
        **{
            name: [str]
            for name in ("modalities", "modalities_of_study", "unlabelled", "unlabelled_from", "command")
        },
        **dict.fromkeys(("options", "asked", "sampling", "optimisation", "validation"), dict),
        **dict.fromkeys(("budget", "weights", "inferer"), dict),
        "dataset": (_DATASET, str, None),
        "networks": Each(({"name": str, "options": dict}, None)),
        "teachers": (Each(str), None),
        "teachers_of_others": (Each(_TEACHER), None),
        "teacher_of_others": _TEACHER,
        "prototypes": (dict, None),
        "subjects": ({"training": int, "drawn": bool}, None),
        "seed": int,
        "machine": {"precision": str, "probed_s": Each(float), "processor": str, "threads": int},
        "versions": (Each(str), None),
        "fusion": {"how": str, "threshold": float, "runs": [str]},
    },
    "plan.json": {
        "modalities": [str],
        "spacing_mm": [float],
        "patch": [int],
        **dict.fromkeys(("orientation", "interpolation"), str),
        **dict.fromkeys(("labels", "reasons"), dict),
        "normalisation": Each({"kind": str}),
        "tissue_windows": Each([[float]]),
    },
    "split.json": {name: [str] for name in ("train", "validation", "test")},
    "status.json": {
        **dict.fromkeys(("steps", "patches", "best_step"), int),
        **dict.fromkeys(("seconds", "best_validation_dice"), float),
        "stopped_because": str,
    },
    "cost.json": {
        **dict.fromkeys(("parameters", "multiply_accumulates", "peak_memory_bytes"), (float, None)),
        **dict.fromkeys(("seconds_per_case", "energy_j_per_case", "threads", "waited"), (float, None)),
        "bytes_on_disk": (float, None),
        "counted_on": [int],
        "stages_s": Each(float),
        **dict.fromkeys(("device", "processor"), str),
    },
    "evaluation.json": {
        **dict.fromkeys(("weights", "empty", "unit", "labelled_by", "by"), str),
        **{name: [str] for name in ("cases", "modalities", "also", "weights_digest")},
        "tolerance_mm": float,
        "slice_axis": (int, None),
    },
}


class Fields(dict[str, Any]):
    """A JSON object of a run; asking for a field that it lacks raises `UserError`, which names the file."""

    def __init__(self, values: Mapping[str, Any], place: str, fix: str) -> None:
        super().__init__(values)
        self._place, self._fix = place, fix

    def __missing__(self, name: str) -> Any:
        raise UserError(f"{self._place} lacks {quoted(name)}", self._fix)


def fields(value: Mapping[str, Any], path: Path) -> Fields:
    """What was read from the file `path`, held to its `KINDS`; raises `UserError` for a misfit."""
    try:
        found = _checked(value, KINDS.get(path.name, {}), str(path), "", fix(path))
    except RecursionError:
        raise UserError(f"{path} is damaged: lists within lists without end", fix(path)) from None
    assert isinstance(found, Fields)
    return found


def fix(path: Path) -> str:
    """What to do where the file `path` of a run is damaged."""
    if path.name in ("evaluation.json", "cost.json", "metrics.csv", "overlays.npz"):
        run = path.parent.parent if path.parent.name == "by-slice" else path.parent
        slices = ["--by", "slice"] if path.parent.name == "by-slice" else []
        return f"run `{pasted('distilseg', 'evaluate', run, *slices, '--again')}`"
    return f"restore it, or delete {path.parent} and train the run again"


def _checked(value: Any, kind: Any, place: str, field: str, fix: str) -> Any:
    if not _is(value, kind):
        came = reprlib.repr(value)
        raise UserError(f"{place} is damaged: {field} is {came}, {_told(kind)} was expected", fix)
    if isinstance(kind, tuple):
        kind = next(one for one in kind if _is(value, one))
    if isinstance(value, list):
        of = kind[0] if isinstance(kind, list) else object
        return [_checked(one, of, place, f"{field}[{n}]", fix) for n, one in enumerate(value)]
    if isinstance(value, dict):
        inside = {}
        for name, one in value.items():
            own = kind.kind if isinstance(kind, Each) else kind.get(name, object) if _names(kind) else object
            inside[name] = _checked(one, own, place, f"{field}.{name}" if field else name, fix)
        return Fields(inside, place, fix)
    return value


def _names(kind: Any) -> bool:
    return isinstance(kind, Mapping)


def _is(value: Any, kind: Any) -> bool:
    """Whether the value itself, leaving aside what it holds, is of the kind."""
    if isinstance(kind, tuple):
        return any(_is(value, one) for one in kind)
    if kind is None:
        return value is None
    if isinstance(kind, list):
        return isinstance(value, list)
    if isinstance(kind, Each) or _names(kind):
        return isinstance(value, dict)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and _finite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, kind)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


_WORDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", dict: "an object"}


def _told(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(_told(one) for one in kind)
    if kind is None:
        return "null"
    if isinstance(kind, list):
        return "a list"
    return "an object" if isinstance(kind, Each) or _names(kind) else _WORDS[kind]
