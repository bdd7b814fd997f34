"""What memory does, in a process without torch: over many scans, and over the classes of a label export; and
what a scan takes whose logits come block by block."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from distilseg.data.case import Source
from distilseg.data.scans.reading import read_scans
from distilseg.runtime.label_export import export_labels
from distilseg.runtime.pipeline import predict_files
from distilseg.runtime.predictor import load_artefact


def over_scans(artefact: str, scans: str, out: str, early: int) -> dict[str, Any]:
    """Resident bytes after `early` scans and after all, predicted in one call; how many were written."""
    seen: dict[int, int] = {}

    def look(done: int, cases: int) -> None:
        if done in (early, cases):
            seen[done] = resident("VmRSS")

    summary = predict_files(load_artefact(artefact), scans, out, progress=look)
    return {
        "early": seen[early],
        "late": seen[max(seen)],
        "written": len(summary.written),
        "refused": len(summary.refused),
    }


def over_classes(classes: int, coarse: list[int], fine: list[int]) -> dict[str, Any]:
    """Bytes that a label export of noise, where every class may win everywhere, takes beside its logits."""
    import numpy as np

    logits = np.random.default_rng(0).standard_normal((classes, *coarse), np.float32)
    export_labels(logits[:2], fine)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    export_labels(logits, fine)
    return {"added": max(1, resident("VmHWM") - before)}


def write_scan(path: str, shape: list[int], spacing_mm: list[float]) -> dict[str, Any]:
    """A CT of boxes of 8 voxels and a little noise, which packs well."""
    import nibabel
    import numpy as np

    chance = np.random.default_rng(0)
    array = chance.integers(-300, 400, [n // 8 + 1 for n in shape]).astype(np.int16)
    for axis, size in enumerate(shape):
        array = array.repeat(8, axis).take(range(size), axis)
    array += chance.integers(-20, 20, shape[:2]).astype(np.int16)[..., None]
    nibabel.save(nibabel.Nifti1Image(array, np.diag([*spacing_mm, 1.0])), path)
    return {}


def in_turns(artefact: str, scan: str, rounds: int) -> dict[str, Any]:
    """Seconds of the network's stage and label export, block by block and of all logits at once, in turns."""
    predictor = load_artefact(artefact)
    scans = read_scans({name: Source(Path(scan)) for name in predictor.plan.modalities})
    prepared = predictor.prepare(scans, case="scan")
    seconds: dict[str, list[float]] = {"blocks": [], "at once": []}
    for _ in range(rounds):
        begun = time.perf_counter()
        blocks = predictor.ask(prepared, case="scan")()
        seconds["blocks"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        whole = predictor.labels(predictor.logits(prepared.image), prepared.grid)
        seconds["at once"].append(time.perf_counter() - begun)
    return {**seconds, "differ": int((blocks != whole).sum())}


def resident(field: str) -> int:
    """Bytes of this process, VmRSS (now) or VmHWM (at most); Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    name, *arguments = json.loads(sys.argv[1])
    asked = {"scans": over_scans, "classes": over_classes, "write": write_scan, "turns": in_turns}[name]
    print(json.dumps(asked(*arguments)))
