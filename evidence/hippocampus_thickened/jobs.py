"""Thickened networks on hippocampus MR: slabs beside single slices, three views, 3D of equal time: see `protocol.md`."""

from __future__ import annotations

from ..slabs import SlabStudy, train_one

__all__ = ["DATA", "SLABS", "collect", "jobs", "train_one"]

DATA = "Task04_Hippocampus"
SLABS = SlabStudy(
    steps=1000,
    learning_rate=1e-2,  # by validation of one seed, 400 steps: 0.816, at the recipe's 2e-3 0.802
    # by seconds of a step, taken beforehand beside another training: axial 0.15, three views 0.5; 3D 0.3
    time_of_a_view=0.5,
    time_of_three=1.7,
)
jobs, collect = SLABS.jobs, SLABS.collect
