"""The ways in which several answers about one volume become one; see `inference/fusion.py`."""

from __future__ import annotations

from ..errors import UserError, unknown

FUSIONS = ("vote", "mean", "threshold", "organs")


def check_fusion(how: str, threshold: float) -> None:
    """Raises `UserError` for an unknown way, or a threshold that is no probability."""
    if how not in FUSIONS:
        raise unknown("way to fuse", how, FUSIONS)
    if not 0 < threshold < 1:
        raise UserError(f"a threshold of {threshold} is no probability", "give one between 0 and 1")
