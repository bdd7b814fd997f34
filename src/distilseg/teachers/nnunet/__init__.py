"""nnU-Net v2 models as teachers, run from their files alone: nnU-Net need not be installed.

folder.py        what a user points at
plans.py         what a configuration does to a scan
labels.py        what its logits are of
architecture.py  the network that plans name, and whether weights are of it
predict.py       the folds in torch
restore.py       from logits to the scan
model.py         the teacher

How scans are prepared, windows blended and logits restored lies in `runtime.nnunet`, which needs no torch: an
artefact of such a model does the same.
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
