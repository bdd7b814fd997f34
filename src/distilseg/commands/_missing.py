"""`distilseg predict ... --missing`: the cases that have no label map yet, from the folder alone.

No network is loaded: the model is asked for its modalities, which say what a case is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..claims import MOST_ENDED, ended_with
from ..data.formats.chosen import Chosen, chosen
from ..data.formats.dicom import DicomOptions
from ..data.formats.inputs import Found, cases_among, find_cases_with_some, find_chosen
from ..data.planning.plan import Plan, load_plan
from ..runs import Run, open_run
from ..runtime.artefact import is_artefact, open_artefact
from ..runtime.jobs import place
from ..runtime.seg_files import SEG_ENDING, of_dicom
from ..runtime.stores import Place, addresses, label_map_of, objects_of
from ._predict import is_run, named_runs

if TYPE_CHECKING:
    from ..teachers.teacher import TeacherOptions

Inputs = Path | str | Sequence[Path | str]


@dataclass(frozen=True)
class Missing:
    """What a folder lacks of the cases that are to be predicted into it."""

    names: list[str]  # in order
    cases: int  # of how many
    given_up: list[str] = field(default_factory=list)  # among the names: what has ended too many processes
    refused: dict[str, str] = field(default_factory=dict)  # what can be no case, and why
    told: str = ""  # as of `PredictSummary`


def missing(
    run: Path | str | Sequence[Path | str],
    inputs: Inputs,
    out: Path | str,
    *,
    modality: str | None = None,
    fuse: str | None = None,
    trust: str | None = None,
    teacher: TeacherOptions | None = None,
    series: Sequence[str] = (),
    dicom_tilt: str = "refuse",
    write_as: str = "nifti",
    part: str | None = None,
    list: Path | str | Sequence[str] | None = None,
) -> Missing:
    """The cases without a label map, where `predict` is asked the same. Raises UserError as it does.

    `out` is listed once, and no other file is asked for.
    """
    (first, *_), ours = named_runs(run, fuse), chosen(part, list)
    if (remote := addresses(inputs, out)) is not None:
        return _in_stores(*remote, open_artefact(first).plan.modalities, ours)
    dicom = DicomOptions(tuple(series), dicom_tilt)
    if is_artefact(first):
        found = _of_plan(open_artefact(first).plan, inputs, dicom, ours)
    elif Run(first).experiment.is_file() or not first.exists():
        found = _of_plan(load_plan(open_run(first).plan), inputs, dicom, ours)
    else:
        found = _of_others(first, inputs, ours, teacher) or _of_students(first, inputs, ours, modality, trust)
    as_ = SEG_ENDING if write_as == "seg" else ""
    cases = of_dicom(found.cases, found.refused) if as_ else found.cases
    jobs = place(cases, Path(out), found.refused, as_, found.others)
    there = {file.name for file in Path(out).iterdir()} if Path(out).is_dir() else None
    lacking = [job for job in jobs if not (job.out.is_file() if there is None else job.out.name in there)]
    return Missing(
        [job.case for job in lacking],
        len(jobs),
        [job.case for job in lacking if ended_with(job.out) >= MOST_ENDED],
        found.refused,
        found.told,
    )


def _of_plan(plan: Plan, inputs: Inputs, dicom: DicomOptions, ours: Chosen) -> Found:
    return find_chosen(inputs, plan.modalities, dicom=replace(dicom, kept=plan.series), chosen=ours)


def _in_stores(inputs: Sequence[str], out: str, modalities: Sequence[str], ours: Chosen) -> Missing:
    found = cases_among([Path(file) for file in objects_of(inputs)], modalities, ours)
    there = {Path(file).name for file in Place.of(out).files()}
    lacking = [case.id for case in found.cases if label_map_of(case) not in there]
    return Missing(lacking, len(found.cases), [], found.refused, found.told)


def _of_others(path: Path, inputs: Inputs, ours: Chosen, options: TeacherOptions | None) -> Found | None:
    """What a model that others trained would be shown; None where it is none."""
    from ..teachers.opening import open_teacher, recognised

    if is_run(path) or not recognised(path):
        return None
    return find_chosen(inputs, open_teacher(path, options).modalities or ("scan",), chosen=ours)


def _of_students(path: Path, inputs: Inputs, ours: Chosen, modality: str | None, trust: str | None) -> Found:
    from ..students import all_modalities, find_students

    known = all_modalities(find_students(path, trust=trust))
    return find_cases_with_some(inputs, known, modality=modality, chosen=ours)
