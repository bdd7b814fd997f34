"""What each taught student gained over its control."""

from ..leading_teachers import draw

__all__ = ["draw"]
