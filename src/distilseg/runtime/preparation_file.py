"""preparation.json of an artefact of a model of others: how its makers prepare scans, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import UserError


class PreparationFile(BaseModel):
    """What such a file holds; each kind of model has its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, content: bytes, path: Path) -> Self:
        """The preparation that `content` spells; `path` is where it was, for errors. Raises `UserError`."""
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the whole"
            raise UserError(
                f"{path} makes no sense ({where}: {first['msg']})",
                "export the model again, with this version",
            ) from None
