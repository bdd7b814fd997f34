"""A teacher of others judged as its students are: on the same cases, in their classes, in millimetres.

Its folder lies beside their runs and reads like one, so that reports and comparisons find it; it has no
weights. Classes that the teacher does not know are not scored.
"""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import __version__, progress
from .data.case import Case
from .data.planning.plan import save_plan
from .data.planning.splits import save_split
from .data.scans.detached import files_of
from .data.scans.reading import read_label, read_scan, write_label_map
from .errors import UserError
from .evaluation.empty import Empty
from .evaluation.evaluate import evaluate_case
from .files import write_json
from .hardware import processor_name
from .names import component
from .runs import Run, write_rows
from .teachers.classes import channels_by_value
from .training.experiment import Study, file_digest
from .training.foreign import Foreign

_TOLERANCE_MM = 1.0  # as runs are judged
_EMPTY: Empty = "nan"


def judge_teacher(foreign: Foreign, study: Study, runs: Path | str = "runs") -> Run:
    """The folder of the teacher's label maps and metrics on the study's test cases, found or made.

    Raises `UserError` where the study has no test cases, or a case lacks what the teacher is shown.
    """
    if not study.split.test:
        raise UserError(f"{study.dataset.name}: its split holds no test cases", "label some, or give --split")
    test = {id: _content(study.dataset.case(id)) for id in study.split.test}
    values = {str(value): name for value, name in study.plan.labels.items()}
    asked = {"teacher": foreign.identity, "test": test, "labels": values, "version": __version__}
    digest = hashlib.blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=4).hexdigest()
    run = Run(Path(runs) / component(study.dataset.name, kind="dataset") / f"teacher-{digest}")
    if run.metrics.is_file():
        return run
    run.own(run.folder)
    run.own(run.predictions)
    plan = study.plan
    learned = {one.name for one in foreign.classes.learned}
    labels = {value: name for value, name in plan.labels.items() if value and name in learned}
    rows: list[dict[str, Any]] = []
    seconds: list[float] = []
    progress.say(f"{foreign.teacher.name}: judging {len(study.split.test)} cases")
    for id in progress.counted(study.split.test, f"judging {foreign.teacher.name}"):
        case = study.dataset.case(id)
        reference, place = read_label(case), run.predictions / component(id, ".nii.gz", kind="case")
        if not place.is_file():
            scans, start = foreign.scans(case), time.perf_counter()
            answer = foreign.teacher.answer(scans, case=id)
            theirs = foreign.teacher.labels(answer, scans)
            seconds.append(time.perf_counter() - start)
            write_label_map(place, students_labels(theirs, foreign, study), reference)
        rows += evaluate_case(
            reference.array,
            read_scan(place).array,
            case=id,
            labels=labels,
            spacing_mm=reference.geometry.spacing_mm,
            voxel_mm3=reference.geometry.voxel_mm3,
            unknown_value=plan.unknown,
            tolerance_mm=_TOLERANCE_MM,
            empty=_EMPTY,
        )
    save_plan(run.plan, plan)
    save_split(run.split, study.split)
    write_json(run.experiment, _about(foreign, study))
    write_json(
        run.cost, {"seconds_per_case": median(seconds) if seconds else None, "processor": processor_name()}
    )
    way = {"cases": list(study.split.test), "tolerance_mm": _TOLERANCE_MM, "empty": _EMPTY, "unit": "mm"}
    write_json(run.folder / "evaluation.json", way)
    write_rows(run.metrics, rows)  # last: a folder with metrics is finished
    return run


def _content(case: Case) -> list[str]:
    """Digests of the label map that judges and of the scans: a corrected one is judged anew."""
    label = [case.label] if case.label is not None else []
    label = list(case.painted.files) if case.painted is not None else label
    images = [
        file
        for one in case.images.values()
        for file in (files_of(one.path, one.series) if one.path.is_dir() else [one.path])
    ]
    return [file_digest(file) for file in [*label, *images]]


def students_labels(theirs: NDArray[Any], foreign: Foreign, study: Study) -> NDArray[np.unsignedinteger[Any]]:
    """The teacher's label values as the student's; what the student does not learn is background."""
    channels = channels_by_value(foreign.teacher.heads, foreign.classes, int(theirs.max()))
    found: NDArray[np.unsignedinteger[Any]] = np.asarray(study.plan.label_values, np.uint16)[channels[theirs]]
    return found


def _about(foreign: Foreign, study: Study) -> dict[str, Any]:
    """What reports ask of a run."""
    dataset = study.dataset
    return {
        "recipe": "teacher",
        "options": {"name": foreign.teacher.name},
        "asked": {},
        "dataset": {
            "name": dataset.name,
            "folder": str(dataset.folder.absolute()),
            "layout": dataset.layout,
            "licence": dataset.licence,
            "reference": dataset.reference,
        },
        "modalities": list(foreign.shown.values()),
        "answers": "classes",
        "networks": {},
        "teachers": {},
        "teacher_of_others": foreign.told,
        "seed": 0,
        "control": None,
        "versions": {"distilseg": __version__},
    }
