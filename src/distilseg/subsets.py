"""A network for any subset of modalities, judged as if only some had been acquired.

Such a run is a model for every subset; a student that sees one modality is a model for that one. To compare
the two, the run is judged again with the other scans held back. What that gives lies in a folder of its own
inside the run, `given-CT+PET`, which reads like a run: `compare` and `report` find it and name what was
given.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .data.planning.plan import load_plan
from .disk import no_link
from .errors import UserError, unknown
from .files import folder_written_whole, write_json
from .names import component
from .networks.checkpoint import load_network
from .networks.modality_encoders import any_subset
from .runs import Run


def given(run: Run, modalities: Sequence[str]) -> Run:
    """The run as one that is given only `modalities`, found or made; its weights are not copied.

    Raises UserError for a modality that it does not know, or a network that needs them all.
    """
    known = load_plan(run.plan).modalities
    for name in modalities:
        if name not in known:
            raise unknown("modality", name, known)
    if not modalities:
        raise UserError("no modality is given", f"name some of {', '.join(known)}")
    network, spec, _ = load_network(run.best)
    if not any_subset(network):
        raise UserError(
            f"{run.name}: {spec.name} needs all of {', '.join(known)}",
            "train u_hemis or u_hved, or a student that sees these alone (--student-sees)",
        )
    kept = [name for name in known if name in modalities]
    part = Run(run.folder / component(f"given-{'+'.join(kept)}", kind="modality"))
    no_link(part.folder)
    if not part.experiment.is_file():
        about = run.read(run.experiment)
        about["options"] = {**about["options"], "given": kept}
        with folder_written_whole(part.folder) as aside:
            inside = Run(aside)
            for ours, its in (
                (run.plan, inside.plan),
                (run.split, inside.split),
                (run.status, inside.status),
            ):
                shutil.copyfile(ours, its)
            _linked(run.best, inside.best)
            write_json(inside.experiment, about)
    return part


def is_part(run: Run) -> bool:
    """Whether the folder is a run judged with some of its modalities."""
    return "given" in run.read(run.experiment).get("options", {})


def _linked(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
