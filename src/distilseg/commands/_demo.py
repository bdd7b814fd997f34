"""`distilseg demo`: a large teacher, a student on a few labels, and the same student with its answers.

It is the whole line in minutes: three trainings, a table of what each is worth on scans that none of them
saw, the taught student as one file without torch, a scan predicted with that, and the student as a page.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..data.case import Dataset
from ..data.fetch import fetch, find_data
from ..data.formats import read_dataset
from ..data.phantom import SYNTHETIC
from ..data.phantom.volumes import write_phantom
from ..errors import UserError
from ..export.artefact import export_run
from ..export.web.making import export_page
from ..judge import judge, time_in_turns, to_time
from ..judged_teacher import judge_teacher
from ..progress import counting
from ..recipes import find
from ..report import write_report
from ..runs import Run
from ..training.budget import Budget
from ..training.experiment import Experiment
from ..training.foreign import Foreign
from ..training.machine import Machine
from ..training.preflight import look_ahead
from ..training.studies import make_study, of_subjects
from ..training.trained import trained
from ._cost import cost
from ._predict import predict

TEACHER: dict[str, Any] = {"network": "dynunet", "network_options": {"filters": [16, 32, 64, 128, 256]}}
STUDENT: dict[str, Any] = {"network": "student_small"}
LABELS = 5  # that the students are given; the teacher has all
ANSWERED = 60  # other scans that the teacher answers for, at most
OVERHEAD_MINUTES = 2.5  # reading, recording answers, judging, costs, export, report
SHARES = {
    "teacher": 0.6,
    "control": 0.16,
}  # of the minutes of training; the student makes the control's steps
SLACK = (
    1.5  # and for those it may take longer by that: it is shown answers too, and the machine may slow down
)
VALIDATION = {"validations": 5, "validation_cases": 8}
ORGANS = ("liver", "spleen", "kidney")  # of the phantom: what can be learned in such a time

_PHANTOM: dict[str, Any] = {"cases": 40, "shape": (40, 40, 40), "modalities": ("CT",), "structures": ORGANS}


@dataclass(frozen=True)
class Demonstrated:
    """What the demo made."""

    large: Run  # the teacher's own run
    teacher: Run  # its answers on the test cases, judged
    control: Run  # the student on its labels alone
    student: Run  # the same with the teacher's answers on the other scans
    artefact: Path | None  # the student as it is shipped; None where what exports it is not installed
    page: Path | None  # and as a page for a browser, likewise
    times_as_fast: float | None  # the artefact as the teacher, seconds a case

    @property
    def runs(self) -> list[Run]:
        """What is compared, the student last."""
        return [self.teacher, self.control, self.student]


def demo(
    *,
    minutes: float = 10.0,
    data: Path | str | None = None,
    out: Path | str = "demo",
    seed: int = 0,
    machine: Machine | None = None,
    cache: Path | None = None,
    say: Callable[[str], object] = print,
) -> Demonstrated:
    """Trains the three, judges them on the same test cases, exports the student and predicts with it.

    The teacher learns from all labels for its share of `minutes`; the control has `LABELS` of them, and the
    student those and the teacher's answers on the other scans, for as many steps. Writes runs, predictions,
    report.html and page.html below `out`. `data`: see `find_data`; without any, hippocampus MR is fetched,
    and where nothing can be reached computed scans serve.
    """
    out, machine = Path(out), machine or Machine()
    dataset = _dataset(data, out, say)
    study = make_study(dataset, seed=seed)
    split = study.split
    few = of_subjects(study, min(LABELS, len(split.train)), rest=True)
    few = replace(few, unlabelled=few.unlabelled[:ANSWERED])
    share = max(0.3 * minutes, minutes - OVERHEAD_MINUTES)
    minutes_of = {who: part * share for who, part in SHARES.items()}
    say(
        f"{dataset.name}: {len(split.train)} cases to train, {len(split.validation)} to validate,"
        f" {len(split.test)} to judge; patch {study.plan.patch} voxels"
    )
    say(
        f"a large teacher learns from all labels, {minutes_of['teacher']:.2g} minutes; a student from"
        f" {len(few.split.train)} labels, {minutes_of['control']:.2g} minutes; and the same student from"
        f" these and the teacher's answers on {len(few.unlabelled)} scans more, for as many steps"
    )

    of_all = find("supervised")(study, **TEACHER).with_settings(
        Budget(minutes=minutes_of["teacher"]), **VALIDATION
    )
    alone = find("supervised")(replace(few, unlabelled=()), **STUDENT)
    look_ahead([of_all, alone], runs=out / "runs", cache=cache)

    def made(experiment: Experiment) -> Run:
        return trained(experiment, runs=out / "runs", machine=machine, cache=cache)

    large = made(of_all)
    taught = find("distil")(few, teacher=[str(large.folder)], **STUDENT)
    taught = taught.with_settings(Budget(minutes=minutes_of["control"]), **VALIDATION)
    foreign = taught.teachers["teacher"]
    assert taught.control is not None
    assert isinstance(foreign, Foreign)
    control = made(taught.control)
    steps = control.read(control.status)["steps"]
    student = made(replace(taught, budget=Budget(steps=steps, minutes=SLACK * minutes_of["control"])))
    for run in (control, student):
        judge(run, dataset, device=machine.device, timed=False)
    time_in_turns([to_time(run, dataset) for run in (control, student)], device=machine.device)
    teacher = judge_teacher(foreign, few, out / "runs")
    if (reached := student.read(student.status)["steps"]) < steps:
        say(f"the student ran out of time after {reached} of {steps} steps; give more --minutes")

    artefact = _exported(student, dataset, say)
    times = _times_as_fast(large, artefact) if artefact else None
    page = _page(student, dataset, out / "page.html") if artefact else None
    case = dataset.case(split.test[0])
    scans = sorted({source.path for source in case.images.values()})
    predict(artefact or student.folder, scans, out / "predictions", overwrite=True)
    done = Demonstrated(large, teacher, control, student, artefact, page, times)
    write_report(done.runs, out / "report.html")
    return done


def _dataset(data: Path | str | None, out: Path, say: Callable[[str], object]) -> Dataset:
    """Real scans, found or fetched, or computed ones."""
    found = find_data("hippocampus", explicit=data)
    if found is None:
        say("data: no scans here, so 28 MB of hippocampus MR are fetched (Medical Segmentation Decathlon)")
        try:
            with counting("fetching the scans") as progress:
                found = fetch("hippocampus", attempts=2, progress=progress)
        except UserError as error:
            say(f"data: that did not work: {error.cause}")
    if found is not None:
        say(f"data: {found}")
        return read_dataset(found)
    say(SYNTHETIC)
    return read_dataset(write_phantom(out / "phantom", **_PHANTOM))


def _exported(student: Run, dataset: Dataset, say: Callable[[str], object]) -> Path | None:
    if find_spec("openvino") is None:
        say("the student is not exported: that needs `pip install 'distilseg[export]'`")
        return None
    place = student.folder / "export" / "openvino.zip"
    return place if place.exists() else export_run(student, "openvino", place, dataset=dataset).path


def _page(student: Run, dataset: Dataset, place: Path) -> Path:
    return place if place.exists() else export_page(student, place, dataset=dataset).path


def _times_as_fast(large: Run, artefact: Path) -> float:
    """Each as it is used: the teacher as it was trained, the student as it is shipped."""
    taken = cost([large.folder, artefact])
    slow, fast = (taken[str(path)]["seconds_per_case"] for path in (large.folder, artefact))
    return float(slow / fast)
