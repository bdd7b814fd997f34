"""`distilseg fetch`: public scans, downloaded once."""

from __future__ import annotations

from ..data.fetch import fetch

__all__ = ["fetch"]
