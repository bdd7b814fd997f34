"""Options that several commands have, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..data.planning.views import VIEWS
from ..training.machine import DEVICES
from ..training.setting import one_of

# A dataset.
Layout = Annotated[
    str | None, typer.Option(help="msd, nnunet, brats, hecktor, picai, table, answered, folders or dicom.")
]
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

# What it prints.
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]

# A model that others trained.
Configuration = Annotated[
    str | None, typer.Option("--configuration", help="Of an nnU-Net folder that holds several.")
]
Folds = Annotated[
    str | None, typer.Option("--folds", help="Of nnU-Net, such as 0,1 or all; else all numbered.")
]
Mirror = Annotated[
    bool | None,
    typer.Option("--mirror/--no-mirror", help="Average over mirrored scans; else as the model says."),
]
Step = Annotated[
    float | None, typer.Option("--step", min=0.05, max=1, help="Of its windows, as a share of the patch.")
]
Orientation = Annotated[
    str | None,
    typer.Option(
        "--teacher-orientation", help="Scans are turned to it before the model sees them, such as LPS."
    ),
]
Card = Annotated[
    Path | None, typer.Option("--card", help="JSON that says what an ONNX or TorchScript file does not.")
]
TrustModel = Annotated[
    str | None, typer.Option("--trust-model", help="SHA-256 of a TorchScript file that may run its code.")
]
