"""nnU-Net v2 models as teachers, run from their files alone: nnU-Net need not be installed.

folder.py        what a user points at           checkpoint.py    weights, read without running anything
plans.py         what a configuration says       labels.py        what the logits are of
architecture.py  the network that plans name     resample.py      splines, coarse axes, labels
prepare.py       from scans to the network       windows.py, predict.py   windows, mirrors, folds
restore.py       from logits to the scan         model.py         the teacher
"""

from __future__ import annotations

from pathlib import Path

from ..teacher import Teacher, TeacherOptions
from .folder import recognises

__all__ = ["open_as_teacher", "recognises"]


def open_as_teacher(path: Path, options: TeacherOptions) -> Teacher:
    """The nnU-Net v2 model at `path`. Raises `UserError` where it is none, or cannot be rebuilt."""
    from .model import open_path

    return open_path(path, options)
