"""`distilseg teacher`: what a model of others is, and whether it can be rebuilt here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..teachers.opening import open_teacher
from ..teachers.teacher import TeacherOptions


def teacher(path: Path | str, options: TeacherOptions | None = None) -> dict[str, Any]:
    """What the model at `path` is, as plain values: network, classes, modalities, spacing, licence, digests.

    Nothing in it is executed but TorchScript that `options.trust` names, and no scan is predicted. Weights
    are compared with the network that their files describe; a graph is tried on noise. Raises `UserError`
    where it cannot be rebuilt, naming the first layer that differs.
    """
    told: dict[str, Any] = open_teacher(path, options).summary()
    return told
