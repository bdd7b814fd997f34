"""The tables of the papers as data, a file a paper: rows, what was published, the command that makes each.

Every module here that holds a `PAPER` is a paper by the module's name; no list is edited. `tables` says what
a paper, a table and a row are. A `Row` more in a paper's file is a row more in
`distilseg recipes --paper NAME`, and tests hold that its command can be parsed and names what exists.
"""

from __future__ import annotations

import importlib
import pkgutil

from ...errors import unknown
from .tables import Data, Paper, Row, Table

__all__ = ["Data", "Paper", "Row", "Table", "find_paper", "papers"]


def papers() -> dict[str, Paper]:
    """All papers by name, sorted."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: module.PAPER for name, module in modules.items() if hasattr(module, "PAPER")}


def find_paper(name: str) -> Paper:
    """The paper called `name`; raises UserError with the known names."""
    known = papers()
    if name not in known:
        raise unknown("paper", name, known)
    return known[name]
