"""What each student of CT gained over the untaught one."""

from ..figures import draw_gains as draw

__all__ = ["draw"]
