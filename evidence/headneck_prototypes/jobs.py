"""Unpaired prototypes on CT with five organs: axial slices, volumes of two fifths of the patients."""

from __future__ import annotations

from ..slices_of_others import Deal, PrototypeStudy, collect

__all__ = ["DATA", "collect", "jobs", "train_one"]

DATA = "Dataset070_HeadNeckCT"
SLICES = PrototypeStudy(
    Deal("axial", 0.4, (0.6, 0.1, 0.3), {"train": 1, "validation": 4, "test": 6}),
    teacher={"network": "student_base"},
    teacher_steps=2000,
    steps=600,
)
jobs, train_one = SLICES.jobs, SLICES.train_one
