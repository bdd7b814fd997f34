"""How strictly values are read that came from whoever made a bundle or an artefact."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid", frozen=True)

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]
