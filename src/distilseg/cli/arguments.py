"""Options that several commands have, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..data.planning.views import VIEWS
from ..training.machine import DEVICES
from ..training.setting import one_of

# A dataset.
Layout = Annotated[str | None, typer.Option(help="msd, nnunet, brats, hecktor, picai, table or folders.")]
Modalities = Annotated[str | None, typer.Option(metavar="A,B", help="Only these of the dataset.")]
SliceView = Annotated[str | None, typer.Option(help=f"Of these slices: {one_of(VIEWS)}")]
Data = Annotated[Path | None, typer.Option(help="Where the run's dataset lies, if it moved.")]
Cache = Annotated[Path | None, typer.Option(help="Prepared cases; else the user's cache.")]

# A trained network.
Weights = Annotated[str, typer.Option(help="best (of the validations) or last.")]
Trust = Annotated[str | None, typer.Option(help="A network of your own that may be run: file.py:function.")]

# Where it runs.
Device = Annotated[str, typer.Option(help=one_of(DEVICES))]
AnyDevice = Annotated[
    str, typer.Option(help=f"{one_of(DEVICES, end=';')} of an artefact cuda for ONNX, gpu for OpenVINO.")
]
Threads = Annotated[int, typer.Option(min=0, help="0: what suits the machine.")]
