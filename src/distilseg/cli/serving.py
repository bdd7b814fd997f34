"""serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .arguments import AnyDevice, Threads
from .text import examples

IN, BACK, SPOOL, STUDY = "Studies in", "Answers back", "Keeping and watching", "Predicting"


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_serve = examples(
        "distilseg serve student.zip --ae DISTILSEG --port 11112 --send-to 127.0.0.1:4242:ORTHANC",
        "distilseg serve student.zip --ae DISTILSEG --host 0.0.0.0 --allow PACS --send-to 10.0.0.5:104:PACS",
        "distilseg serve student.zip --ae DISTILSEG --send-to PACS --peers peers.json --spool SPOOL",
        "distilseg serve student.zip --dicomweb https://pacs.example/dicom-web  # all studies from today on",
        "distilseg serve student.zip --dicomweb http://localhost:8042/dicom-web --study 1.2.840.4711",
        "distilseg serve student.zip --ae DISTILSEG --send-to PACS --peers peers.json --once",
    )
    app.command(rich_help_panel=panel, epilog=of_serve)(serve)


def serve(
    artefact: Annotated[Path, typer.Argument(help="A folder or zip that `distilseg export` made.")],
    ae: Annotated[
        str | None,
        typer.Option(help="Our AE title; studies come to it by C-STORE.", rich_help_panel=IN),
    ] = None,
    port: Annotated[int, typer.Option(help="Where it listens.", rich_help_panel=IN)] = 11112,
    host: Annotated[
        str,
        typer.Option(
            help="The address it listens on; this machine alone can reach it otherwise.", rich_help_panel=IN
        ),
    ] = "127.0.0.1",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="AETITLE", help="Who may send; others are refused. Repeat for more.", rich_help_panel=IN
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(metavar="UID", help="Of --dicomweb this study alone, then end.", rich_help_panel=IN),
    ] = None,
    days: Annotated[
        int,
        typer.Option(
            min=0, help="Of --dicomweb studies of today and so many days before.", rich_help_panel=IN
        ),
    ] = 1,
    look_seconds: Annotated[
        float, typer.Option(help="How often --dicomweb is looked into.", rich_help_panel=IN)
    ] = 30.0,
    quiet_seconds: Annotated[
        float,
        typer.Option(min=0, help="A study is whole when nothing came for so long.", rich_help_panel=IN),
    ] = 10.0,
    most_gb: Annotated[float, typer.Option(help="Larger studies are refused.", rich_help_panel=IN)] = 8.0,
    send_to: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT:AETITLE", help="C-STORE, or a name in --peers.", rich_help_panel=BACK
        ),
    ] = None,
    peers: Annotated[
        Path | None,
        typer.Option(help='JSON: {"PACS": "10.0.0.5:104:ORTHANC"}.', rich_help_panel=BACK),
    ] = None,
    dicomweb: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="QIDO-RS and WADO-RS in, STOW-RS back; with --ae only back, with --send-to only in.",
            rich_help_panel=BACK,
        ),
    ] = None,
    spool: Annotated[
        Path,
        typer.Option(
            help="Where studies lie meanwhile; a folder for its owner alone.", rich_help_panel=SPOOL
        ),
    ] = Path("distilseg-spool"),
    keep_hours: Annotated[
        float,
        typer.Option(min=0, help="How long images of studies that ended are kept.", rich_help_panel=SPOOL),
    ] = 72.0,
    health_seconds: Annotated[
        float, typer.Option(help="How often the log says how it is.", rich_help_panel=SPOOL)
    ] = 300.0,
    once: Annotated[
        bool,
        typer.Option("--once", help="End after one study; exit 1 if it was refused.", rich_help_panel=SPOOL),
    ] = False,
    limit_minutes: Annotated[
        float, typer.Option(help="A prediction that takes longer is ended.", rich_help_panel=STUDY)
    ] = 60.0,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="Which series, as of `predict`; repeated.", rich_help_panel=STUDY),
    ] = None,
    dicom_tilt: Annotated[
        str, typer.Option(help="A gantry tilt: refuse, or resample.", rich_help_panel=STUDY)
    ] = "refuse",
    seg: Annotated[
        str,
        typer.Option(
            help="binary, or labelmap, where it is accepted (fewer readers know it).", rich_help_panel=STUDY
        ),
    ] = "binary",
    codes: Annotated[
        Path | None, typer.Option(help="SNOMED codes of the classes, as of `predict`.", rich_help_panel=STUDY)
    ] = None,
    device: AnyDevice = "auto",
    threads: Threads = 0,
) -> None:
    """Studies in from the PACS, DICOM SEG back, one at a time; goes on where it was after a kill."""
    from .. import commands

    answered = commands.serve(
        artefact,
        ae=ae,
        port=port,
        host=host,
        allow=allow or (),
        send_to=send_to,
        peers=peers,
        dicomweb=dicomweb,
        study=study,
        days=days,
        look_s=look_seconds,
        spool=spool,
        quiet_s=quiet_seconds,
        most_gb=most_gb,
        keep_hours=keep_hours,
        limit_minutes=limit_minutes,
        health_s=health_seconds,
        once=once,
        series=series or (),
        dicom_tilt=dicom_tilt,
        seg=seg,
        codes=codes,
        device=device,
        threads=threads,
    )
    if not answered:
        raise typer.Exit(1)
