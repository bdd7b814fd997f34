"""MONAI bundles: a configuration that describes a network and its pipeline, read as data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..teacher import TeacherOptions
from .layout import recognises

if TYPE_CHECKING:
    from .bundle import BundleTeacher as BundleTeacher

__all__ = ["open_as_teacher", "recognises"]


def open_as_teacher(path: Path, options: TeacherOptions) -> BundleTeacher:
    """The bundle at `path`. Nothing in it is executed; what would have to be is refused, by name."""
    from .bundle import open_bundle

    return open_bundle(path, options)
