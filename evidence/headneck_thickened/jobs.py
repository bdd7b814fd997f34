"""Thickened networks on CT of head and neck: axial slabs beside single slices, three views, 3D of equal time.

Scans here are 50 to 110 voxels long, in place of the hippocampus' 35: see `protocol.md`.
"""

from __future__ import annotations

from ..slabs import SlabStudy, train_one

__all__ = ["DATA", "collect", "jobs", "train_one"]

DATA = "Dataset070_HeadNeckCT"
SLABS = SlabStudy(
    steps=500,
    learning_rate=1e-2,  # by validation of one seed, 400 steps: 0.549, at the recipe's 2e-3 0.517
    # by seconds of a step that were taken beforehand (0.23 and 0.21); in the runs 3D took longer than that
    time_of_a_view=1.07,
    time_of_three=3.2,
    seeds=(0, 1),
)
jobs, collect = SLABS.jobs, SLABS.collect
