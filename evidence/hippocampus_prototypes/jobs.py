"""Unpaired prototypes on hippocampus MR: sagittal slices, volumes of one half of the subjects.

Most sagittal slices show both structures. An hour of a core.
"""

from __future__ import annotations

from ..slices_of_others import Deal, PrototypeStudy, collect

__all__ = ["DATA", "collect", "jobs", "train_one"]

DATA = "Task04_Hippocampus"
SLICES = PrototypeStudy(
    Deal("sagittal", 0.5, (0.64, 0.06, 0.3), {"train": 1, "validation": 3, "test": 5}),
    teacher={"network": "student_base"},
    teacher_steps=1500,
    steps=800,
)
jobs, train_one = SLICES.jobs, SLICES.train_one
