"""A CT of 512x512x600 voxels at 1.5 mm, predicted by `distilseg predict` in a process of its own.

    memory    <= 2 GB with 105 classes, whose logits would be 6 GB; 105 classes against 5, <= 1.3
    time      of the network's stage and the label export, block by block against all logits at once, <= 1;
              in turns in one process, on a scan of a tenth of the voxels, so that both fit

The student's weights are random: they cost the same, and classes change from voxel to voxel, which is the
worst that a label export can be given.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan

from .common import Row, ratio_row, row
from .shipping import _artefact, _child, _plan, _predicted

BYTES = 2e9
MIB = 2**20


def main(quick: bool = False) -> list[Row]:
    shape = (40, 40, 48) if quick else (512, 512, 600)
    small = shape if quick else (256, 256, 240)
    with tempfile.TemporaryDirectory() as folder:
        large, less = Path(folder) / "large", Path(folder) / "less"
        for scans, size in ((large, shape), (less, small)):
            scans.mkdir()
            _child("memory", ["write", str(scans / "ct.nii.gz"), size, (0.7, 0.7, 0.625)])
        plans = {k: _student(k, quick) for k in (5, 105)}
        artefacts = {k: _artefact(Path(folder) / f"artefact-{k}", plan) for k, plan in plans.items()}
        peaks = {
            k: _predicted(artefact, large, Path(folder) / f"out-{k}", 0) for k, artefact in artefacts.items()
        }
        told = _child("memory", ["turns", str(artefacts[105]), str(less / "ct.nii.gz"), 1 if quick else 3])
    what = "x".join(map(str, shape))
    return [
        row(
            "large scan",
            f"{what}, 105 classes",
            ours=peaks[105][1] / MIB,
            peer=BYTES / MIB,
            unit="MiB resident",
            ratio=peaks[105][1] / BYTES,
            aim="<= 1",
            peer_name="2 GB",
            repeats=1,
            note=f"the whole process, {peaks[105][0]:.0f} s",
        ),
        row(
            "large scan",
            f"{what}, 105 classes against 5",
            ours=peaks[105][1] / MIB,
            peer=peaks[5][1] / MIB,
            unit="MiB resident",
            ratio=peaks[105][1] / peaks[5][1],
            aim="<= 1.3",
            peer_name="5 classes",
            repeats=1,
            note=f"the whole process, {peaks[105][0]:.0f} s and {peaks[5][0]:.0f} s",
        ),
        ratio_row(
            "large scan",
            f"{'x'.join(map(str, small))}, 105 classes, block by block",
            told["blocks"],
            told["at once"],
            aim="<= 1",
            peer_name="all logits at once",
            note=f"{told['differ']} labels differ; medians"
            f" {statistics.median(told['blocks']):.3g} and {statistics.median(told['at once']):.3g} s",
        ),
    ]


def _student(classes: int, quick: bool) -> Plan:
    patch = (32, 32, 32) if quick else (64, 64, 64)
    how = Normalisation(kind="window_zscore", low=-150, high=300, mean=100, std=80)
    return _plan("CT", classes, (1.5, 1.5, 1.5), patch, how)
