"""`--to web`: a run, or an artefact for ONNX, as a page. A run is exported to ONNX first, and compared."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...disk import no_link
from ...errors import UserError
from ...runs import Run
from ...runtime.artefact import Artefact, open_artefact
from ..artefact import Exported, export_run
from .knowing import check_known
from .page import write_page


@dataclass(frozen=True)
class Page:
    """Where it is, and how what it runs compared with the run; None of an artefact, which was compared."""

    path: Path
    bytes: int  # of a folder those of all its files
    folder: bool  # for a web server; else one file that opens by a double click
    exported: Exported | None = None


def export_page(of: Run | Artefact, out: Path | None = None, *, folder: bool = False, **options: Any) -> Page:
    """Writes the page of a run or an artefact to `out`; by default RUN/export/web.html or ARTEFACT.html here.

    `folder`: files for a web server instead of one page. `options`: those of `export_run`, of a run alone.
    Raises `UserError`, by name and before anything is exported, for what a page cannot do.
    """
    ending = "" if folder else ".html"
    if isinstance(of, Run):
        if out is None:
            no_link(of.folder / "export")
            out = of.folder / "export" / f"web{ending}"
    elif out is None:
        out = Path(f"{of.path.resolve().stem}-web{ending}")
    _check_place(out, folder)
    check_known(of)
    if isinstance(of, Artefact):
        return Page(out, write_page(of, out, folder=folder), folder)
    with tempfile.TemporaryDirectory() as aside:
        exported = export_run(of, "onnx", Path(aside) / "onnx", **options)
        written = write_page(open_artefact(exported.path), out, folder=folder)
    return Page(out, written, folder, exported)


def _check_place(out: Path, folder: bool) -> None:
    if out.exists():
        raise UserError(f"{out} exists already", "remove it, or name another place with --out")
    if not folder and out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{out} does not end as a page does", "name it .html, or add --folder")
