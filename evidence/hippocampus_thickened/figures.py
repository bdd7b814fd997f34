"""What slabs and their vote gain over 3D networks that train as long."""

from ..slabs import draw

__all__ = ["draw"]
