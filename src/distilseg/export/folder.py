"""The folder of an artefact: written whole or not at all, as a folder or packed; described; what it costs."""

from __future__ import annotations

import statistics
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from ..data.readable import readable_json
from ..files import folder_written_whole, written_whole
from ..hardware import processor_name
from ..runtime.artefact import DESCRIPTION, Description

Made = TypeVar("Made")


def made_whole(out: Path, make: Callable[[Path], Made], *, packed: bool) -> Made:
    """What `make` returns, having filled a folder: that is `out` then, or what a zip of that name holds."""
    if not packed:
        with folder_written_whole(out) as aside:
            return make(aside)
    with tempfile.TemporaryDirectory() as folder:
        made = make(Path(folder))
        with written_whole(out) as aside:
            _pack(Path(folder), aside, out.stem)
    return made


def describe(folder: Path, about: Description) -> None:
    """Writes artefact.json."""
    text = readable_json(about.model_dump(mode="json"))
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def cost_of(
    folder: Path,
    about: Description,
    run_bytes: int,
    run_s: Sequence[float],
    artefact_s: Sequence[float],
    waited: float | None,
) -> dict[str, Any]:
    """Of what was exported and of the artefact: bytes of the network, median seconds of a case once it is
    warm. Both on as many threads; waited: see `hardware.Waiting`."""
    networks = (folder / name for name in about.files if not name.endswith(".json"))
    return {
        "run_bytes": run_bytes,
        "artefact_bytes": sum(network.stat().st_size for network in networks),
        "run_s": statistics.median(run_s[1:] or run_s),
        "artefact_s": statistics.median(artefact_s[1:] or artefact_s),
        "cases": len(run_s[1:] or run_s),
        "threads": torch.get_num_threads(),
        "waited": waited,
        "processor": processor_name(),
    }


def _pack(folder: Path, path: Path, name: str) -> None:
    """One zip with one folder called `name` in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, f"{name}/{file.name}")
