"""check, plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UserError
from ..names import pasted
from ..progress import counting
from . import show
from .arguments import Layout, Modalities, SliceView
from .text import drawn_view, examples, lengths, pairs, ranges, whole_numbers, words

_BUDGET = "A budget, on this machine"


def add_to(app: typer.Typer, panel: str, words: Sequence[str]) -> None:
    of_check = examples(
        "distilseg check DATASET",
        "distilseg check DATASET --fix REPAIRED",
        "distilseg check DATASET --json",
        "distilseg check DICOM_FOLDER",
        "distilseg check my_method.py",
    )
    of_plan = examples(
        "distilseg plan DATASET --out plan.json",
        "distilseg plan DATASET --tissue-window CT=-160:240 --tissue-window CT=0:80",
        "distilseg plan DATASET --patch 32,48,32 --spacing 1,1,1 --normalisation MRI=minmax",
        "distilseg plan DATASET --codes codes.json --out plan.json",
        "distilseg plan DATASET --max-seconds 1 --max-memory 1GB --out plan.json",
        "distilseg train supervised --data DATASET --plan plan.json  # the network that was chosen",
    )
    app.command(rich_help_panel=panel, epilog=of_check)(check)
    app.command(rich_help_panel=panel, epilog=of_plan)(plan)


def check(
    dataset: Annotated[Path, typer.Argument(help="A folder of scans, a CSV table, DICOM, or a Python file.")],
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    fix: Annotated[
        Path | None, typer.Option(help="A new folder for a copy, repaired where that is safe.")
    ] = None,
    layout: Layout = None,
    tolerance_mm: Annotated[
        float, typer.Option(min=0, help="How far two grids of a case may lie apart.")
    ] = 0.01,
) -> None:
    """Every problem of a dataset, by case and with the fix; exit 2 if there is an error.

    Given a Python file, whether the methods and networks in it keep their contracts. Given a folder of DICOM,
    which series are volumes and why others are none; exit 2 if some are refused. Where segmentations (SEG)
    lie among them, also whether they are labels that can be learned from.
    """
    from .. import commands

    if dataset.suffix == ".py":
        from ..commands._check import check_file

        for kept in check_file(dataset):
            show.say(f"{dataset}: {kept} keeps its contract")
        return
    from ..commands._check import check_series

    with counting("checking") as progress:
        series = check_series(dataset, progress)
    if series is not None and not as_json:
        show.print_series(series)
    if series is not None and not series.segmented:
        if fix is not None or layout is not None:
            raise UserError(f"{dataset} is DICOM without labels", "leave out --fix and --layout")
        if as_json:
            show.say_json(series.to_dict())
        if not series.ok:
            raise typer.Exit(2)
        return
    with counting("checking") as progress:
        report = commands.check(dataset, layout=layout, fix=fix, tolerance_mm=tolerance_mm, progress=progress)
    if as_json:
        of_series = {} if series is None else {"series": series.to_dict()}
        show.say_json(report.to_dict() | of_series)
    else:
        show.print_check(report)
        if fix is not None:
            repaired = any(problem.fixable for problem in report.problems)
            show.say(
                f"repaired copy: {fix}" if repaired else "nothing that can be repaired; no copy was made"
            )
    if not report.ok:
        raise typer.Exit(2)


def plan(
    dataset: Annotated[
        Path, typer.Argument(help="A folder of labelled scans, or of DICOM with SEG; a CSV table.")
    ],
    out: Annotated[Path | None, typer.Option(help="A JSON file; edit it, and train with --plan.")] = None,
    modalities: Modalities = None,
    patch: Annotated[str | None, typer.Option(help="Voxels per axis.", metavar="I,J,K")] = None,
    spacing: Annotated[str | None, typer.Option(help="Millimetres per axis.", metavar="I,J,K")] = None,
    normalisation: Annotated[
        list[str] | None,
        typer.Option(help="One kind for all modalities, or MODALITY=KIND, such as CT=range:-175:250."),
    ] = None,
    tissue_window: Annotated[
        list[str] | None,
        typer.Option(help="MODALITY=LOW:HIGH, a range of intensities that networks see as one channel more."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Patches in a step.")] = None,
    levels: Annotated[int | None, typer.Option(help="Resolutions of the network.")] = None,
    slices: Annotated[
        bool, typer.Option("--slices", help="Patches of one slice, across the coarsest axis: 2D networks.")
    ] = False,
    one_slice_per_subject: Annotated[
        bool,
        typer.Option(
            "--one-slice-per-subject",
            help="For one slice of each patient's volumes, drawn among those that show a structure.",
        ),
    ] = False,
    slice_view: SliceView = None,
    split_seed: Annotated[int, typer.Option(min=0, help="Draws these slices.")] = 0,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="For the case of median size, on this machine, from reading to writing, the network loaded.",
            rich_help_panel=_BUDGET,
        ),
    ] = None,
    max_memory: Annotated[
        str | None,
        typer.Option(
            help="Of the process that predicts the largest case: 800MB, 1GB, 1GiB.", rich_help_panel=_BUDGET
        ),
    ] = None,
    measure_again: Annotated[
        bool,
        typer.Option(
            "--measure-again",
            help="What is known of this machine may be wrong, as when it was busy.",
            rich_help_panel=_BUDGET,
        ),
    ] = False,
    codes: Annotated[
        Path | None,
        typer.Option(
            help="What the classes are in SNOMED CT, JSON, for DICOM SEG; a file that is not there yet is"
            " suggested."
        ),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Which series of DICOM its students take, such as description=venous; of several modalities"
            " PET:modality=PT, repeated.",
        ),
    ] = None,
    layout: Layout = None,
) -> None:
    """How a dataset will be prepared and cut, and why.

    With a budget also by which student and with how much overlap: the best that is predicted to fit, from
    what this machine is measured to need, then measured itself. `distilseg train` takes them from the plan.
    """
    from .. import commands
    from ..commands._plan import within_budget
    from ..data.formats.dicom import rules_to_keep
    from ..data.planning.coded import with_codes
    from ..data.planning.plan import save_plan

    options: dict[str, Any] = {
        "patch": whole_numbers(patch, "--patch"),
        "spacing_mm": lengths(spacing, "--spacing"),
        "batch_size": batch_size,
        "levels": levels,
        "slices": slices or None,
        "tissue_windows": ranges(tissue_window, "--tissue-window") or None,
    }
    if normalisation:
        one_for_all = len(normalisation) == 1 and "=" not in normalisation[0]
        options["normalisation"] = (
            normalisation[0] if one_for_all else pairs(normalisation, "--normalisation")
        )
    given = {name: value for name, value in options.items() if value is not None}
    chosen: dict[str, Any] = {
        "layout": layout,
        "modalities": words(modalities),
        "one_slice_per_subject": drawn_view(one_slice_per_subject, slice_view),
        "split_seed": split_seed,
    }
    if max_seconds is None and max_memory is None:
        kept: dict[str, Any] = {"codes": codes, "series": series or ()}
        made = commands.plan(dataset, out=out, measure_again=measure_again, **kept, **chosen, **given)
        show.print_plan(made)
    else:
        with counting("measuring this machine") as progress:
            found = within_budget(
                dataset,
                max_seconds=max_seconds,
                max_memory=max_memory,
                measure_again=measure_again,
                progress=progress,
                **chosen,
                **given,
            )
        made = found.plan if codes is None else with_codes(found.plan, codes)
        if series:
            made = made.model_copy(update={"series": rules_to_keep(series, made.modalities, made.series)})
        if out is not None:
            save_plan(out, made)
        show.print_plan(made)
        show.print_budget(found)
    if out is not None:
        show.say(f"written to {out}; edit it and train with {pasted('--plan', out)}")
