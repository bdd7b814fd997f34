"""Dice against subjects, control and distilled."""

from ..prototype_rows import draw

__all__ = ["draw"]
