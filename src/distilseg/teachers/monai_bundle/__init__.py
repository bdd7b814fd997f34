"""MONAI bundles: a configuration that describes a network and its pipeline, read as data."""

from .bundle import BundleTeacher, open_as_teacher
from .layout import recognises

__all__ = ["BundleTeacher", "open_as_teacher", "recognises"]
