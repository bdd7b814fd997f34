"""What each taught student gained over its control."""

from ..figures import draw_gains as draw

__all__ = ["draw"]
