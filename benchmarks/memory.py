"""What memory does, in a process without torch: over many scans, and over the classes of a label export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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


def resident(field: str) -> int:
    """Bytes of this process, VmRSS (now) or VmHWM (at most); Linux."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


if __name__ == "__main__":
    name, *arguments = json.loads(sys.argv[1])
    print(json.dumps({"scans": over_scans, "classes": over_classes}[name](*arguments)))
