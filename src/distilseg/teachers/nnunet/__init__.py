"""nnU-Net v2 models as teachers, run from their files alone: nnU-Net need not be installed.

folder.py        what a user points at
plans.py         what a configuration does to a scan
labels.py        what its logits are of
architecture.py  the network that plans name, and whether weights are of it
resample.py      splines, coarse axes, labels
prepare.py       from scans to what the network is shown
windows.py       where windows stand and what they count
predict.py       windows, mirrors, folds
restore.py       from logits to the scan
model.py         the teacher
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
