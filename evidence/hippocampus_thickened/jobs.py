"""Thickened networks on hippocampus MR: slabs beside single slices, three views, 3D of equal time: see `protocol.md`."""

from __future__ import annotations

from ..slabs import SlabStudy, train_one

__all__ = ["DATA", "SLABS", "collect", "jobs", "train_one"]

DATA = "Task04_Hippocampus"
SLABS = SlabStudy(
    steps=1500,
    learning_rate=2e-3,  # TODO
    time_of_a_view=0.2,
    time_of_three=0.7,
)
jobs, collect = SLABS.jobs, SLABS.collect
