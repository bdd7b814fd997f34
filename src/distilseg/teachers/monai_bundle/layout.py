"""Which file of a bundle is which: its top in a folder or zip, the configuration that predicts, its weights.

configs/inference.json|yaml    network, preprocessing, inferer, postprocessing
configs/metadata.json          modalities, names of the classes
models/model.pt                weights; else those within models/model.ts, whose program is not run
LICENSE                        terms of use
large_files.yml                where weights are to be had that are not here
scripts/                       Python of the bundle's own: never looked at, and refused where it is needed
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ...errors import UserError
from ..archive import Files, open_files
from .config import Config

_LOADED = re.compile(r"\$@bundle_root \+ '/([\w\-./]+)'")
_DESCRIPTION = re.compile(r"((?:[^/]+/)?)configs/(?:metadata\.json|inference\.(?:json|ya?ml))")


def recognises(path: Path) -> bool:
    """Whether `path` is a bundle: a folder, or a zip of one, with its configs."""
    if path.is_dir():
        return _top([p.relative_to(path).as_posix() for p in _shallow(path)]) is not None
    if path.suffix.lower() != ".zip":
        return False
    try:
        return _top(open_files(path).names) is not None
    except UserError:
        return False


def files_of(path: Path) -> Files:
    """A bundle's files, named from the folder that holds its configs."""
    whole = open_files(path)
    return whole.below(_top(whole.names) or "")


def configuration_file(files: Files, wanted: str | None) -> str:
    """The file of its configs that says how it predicts."""
    endings = (".json", ".yaml", ".yml")
    configs = [n for n in files.names if n.startswith("configs/") and n.lower().endswith(endings)]
    stems = {PurePosixPath(n).stem: n for n in reversed(configs) if n.count("/") == 1}
    if wanted is not None:
        if PurePosixPath(wanted).stem not in stems:
            raise UserError(
                f"{files.path} has no configuration {wanted!r}", f"known: {', '.join(sorted(stems))}"
            )
        return stems[PurePosixPath(wanted).stem]
    if "inference" in stems:
        return stems["inference"]
    inference = sorted(stem for stem in stems if "inference" in stem)
    if len(inference) == 1:
        return stems[inference[0]]
    raise UserError(
        f"{files.path} has no configs/inference.json, but {', '.join(sorted(stems)) or 'nothing'}",
        "say which of them predicts: --configuration NAME (of distil and recipes: --teacher-configuration)",
    )


def refuse_wrapped(config: Config, files: Files) -> None:
    """Raises `UserError` for an nnU-Net within a bundle, which is read as such."""
    if "ModelnnUNetWrapper" not in repr(config.values):
        return
    inside = next((PurePosixPath(n).parent for n in files.names if n.endswith("/plans.json")), None)
    where = "the nnU-Net folder within it" if inside is None else str(files.path / inside)
    raise UserError(f"{files.path} wraps a model of nnU-Net", f"give {where}, which is read as such")


def weights_file(config: Config) -> str | None:
    """Where the configuration has its weights, if it says so in a form that is known; they lie in models/."""
    loader = config.first("checkpointloader")
    raw = loader.raw.get("load_path") if loader is not None and loader.is_component else None
    match = _LOADED.fullmatch(raw) if isinstance(raw, str) else None
    return match[1] if match else None


def weights_keys(config: Config) -> tuple[str, ...]:
    """Under which names the configuration has the network's weights in that file."""
    loader = config.first("checkpointloader")
    loaded = loader.raw.get("load_dict") if loader is not None and loader.is_component else None
    return tuple(map(str, loaded)) if isinstance(loaded, Mapping) else ()


def licences(files: Files) -> list[str]:
    """The files that say the terms of use."""
    return [n for n in files.names if PurePosixPath(n).name.lower().startswith(("license", "licence"))]


def _top(names: Iterable[str]) -> str | None:
    """The folder within a bundle's files that holds its configs, with / at its end."""
    tops = {match[1] for name in names if (match := _DESCRIPTION.fullmatch(name))}
    return min(tops, key=len) if tops else None


def _shallow(path: Path) -> list[Path]:
    """The files of its configs, at the top or one level below."""
    return [p for pattern in ("configs/*", "*/configs/*") for p in path.glob(pattern)]
