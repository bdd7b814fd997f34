"""What several layouts need: descriptions in JSON, image files in a folder, names of label values."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError, told_of
from ...hardware import usable_cores
from ...json_files import read_object
from ...names import check_distinct, quoted
from ..scans.reading import read_stored
from ..scans.scan import ENDINGS, UnreadableImage, ending, stem

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
MOST_VALUES = 256  # a label map with more distinct values is taken for an image


def description(folder: Path) -> dict[str, Any]:
    """The folder's dataset.json; empty if it has none."""
    path = folder / "dataset.json"
    return read_object(path) if path.is_file() else {}


def by_stem(files: Sequence[Path]) -> dict[str, Path]:
    """Files by name without ending; raises `UserError` if two have one name."""
    check_twins(files)
    return {stem(path): path for path in files}


def check_twins(files: Sequence[Path]) -> None:
    """Raises `UserError` for two files that differ by ending, or by case, alone: which is meant?"""
    check_distinct(((stem(path), path) for path in files), kind="file", endings=ENDINGS)


def folders_in(place: Path) -> list[Path]:
    """The folders in `place`, sorted; of files there, which may be many, only the names are looked at."""
    with os.scandir(place) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir())


def image_files(folder: Path) -> list[Path]:
    """The images in `folder`, sorted; hidden files (macOS writes `._` twins) are passed over."""
    if not folder.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if ending(name) and name[0] != "."]


def listed(folder: Path, name: str, place: object) -> Path:
    """The file that the list at `place` calls `name`, relative to `folder` if it is no whole path.

    Variables of the environment (`$SCANS`, `${SCANS}`) and a `~` ahead stand for what they do in a shell, as
    in nnU-Net's lists, unless a file is called so. Raises `UserError` for a variable that is not set.
    """
    literal = folder / name
    if not ("$" in name or "%" in name or name.startswith("~")) or _is_there(literal):
        return literal
    expanded = os.path.expanduser(os.path.expandvars(name))
    if unset := _VARIABLE.search(expanded):
        raise UserError(
            f"{place}: {quoted(name)} names the variable {unset[1] or unset[2]}, which is not set",
            "set it, or write the path out",
        )
    return folder / expanded


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, a null byte: told where it is read
        return False


def in_numeric_order(names: Mapping[str, Any], what: str, path: Path) -> tuple[str, ...]:
    """Values of {"0": ..., "1": ..., "10": ...} by number; raises `UserError` for keys that are none."""
    ordered = tuple(str(names[key]) for key in sorted(names, key=lambda key: whole_number(key, what, path)))
    if len(set(ordered)) < len(ordered):
        raise UserError(f"{path}: {what} names {list(ordered)} are not distinct", "name each differently")
    return ordered


def whole_number(value: Any, what: str, path: Path) -> int:
    """`value` as an integer; raises `UserError` naming `what` in `path` otherwise."""
    try:
        if isinstance(value, bool) or int(value) != float(value):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise UserError(
            f"{path}: {what} {value!r} is not a whole number", "number them 0, 1, 2, ..."
        ) from None


def value_to_name(labels: Any, path: Path) -> dict[int, str]:
    """Labels as value -> name, from {"0": "background"} (Decathlon) or {"background": 0} (nnU-Net v2)."""
    if not isinstance(labels, dict) or not labels:
        raise UserError(f"{path} names no labels", 'add "labels", such as {"0": "background", "1": "tumour"}')
    if any(isinstance(value, list) for value in labels.values()):
        raise UserError(
            f"{path} describes region labels (lists of values), which are not supported",
            'name every value once, such as {"background": 0, "edema": 1, "core": 2}',
        )
    by_name = all(str(value).isdigit() for value in labels.values()) and not all(
        key.isdigit() for key in labels
    )
    pairs = ((value, name) for name, value in labels.items()) if by_name else labels.items()
    numbered = [(whole_number(value, "the label value", path), str(name)) for value, name in pairs]
    named = dict(sorted(numbered))
    if len(named) < len(numbered):
        raise UserError(
            f"{path} gives one label value to two names: {labels}", "give each class its own value"
        )
    with told_of(path):
        check_distinct(((name, f"the value {value}") for value, name in named.items()), kind="class")
    if min(named) < 0:
        raise UserError(f"{path} names the negative label value {min(named)}", "label values start at 0")
    return named


def unknown_value(labels: Any, path: Path) -> tuple[Any, int | None]:
    """nnU-Net's labels without "ignore", and the value of the voxels that it marks: nobody labelled them."""
    if not isinstance(labels, dict) or not isinstance(labels.get("ignore"), int | str):
        return labels, None
    others = {name: value for name, value in labels.items() if name != "ignore"}
    return others, whole_number(labels["ignore"], "the value of the ignore label", path)


def labels_beside(folder: Path, label_maps: Sequence[Path]) -> dict[int, str]:
    """Names from `labels.json` in `folder`; without it "label <value>" for the values that the maps hold."""
    sidecar = folder / "labels.json"
    if sidecar.is_file():
        return value_to_name(read_object(sidecar), sidecar)
    found = values_held(label_maps)
    if len(found) > MOST_VALUES:
        raise UserError(
            f"the label maps of {folder} hold {len(found)} different values",
            f"are the images and labels swapped? otherwise name the classes in {sidecar}",
        )
    return {0: "background", **{value: unnamed(value) for value in sorted(found) if value > 0}}


def unnamed(value: int) -> str:
    """What a label value is called that nobody named."""
    return f"label {value}"


def values_held(label_maps: Sequence[Path]) -> set[int]:
    """The whole numbers that any of the label maps holds; those that cannot be read add none."""
    with ThreadPoolExecutor(usable_cores()) as pool:
        return set().union(*pool.map(_whole_values, label_maps))


def _whole_values(path: Path) -> set[int]:
    """The whole numbers that a label map holds; none where it cannot be read, which the check reports."""
    try:
        values = np.unique(read_stored(path).array)
    except UnreadableImage:
        return set()
    return {int(value) for value in values if np.isfinite(value) and value == np.floor(value)}
