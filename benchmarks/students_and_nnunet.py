"""Students as they are shipped beside nnU-Net as it is run: whole processes in turns, on a processor.

Twenty hippocampi, from the command to the last label map. nnU-Net has its default network for them
(PlainConvUNet 32...256, one fold, patches of 40x56x40), with mirroring, which is its default, and without;
the students are artefacts for OpenVINO. Weights are random on both sides: they cost the same. The aim is
`student_tiny`'s on a processor without AVX-512: >= 100 times mirrored, >= 30 times not.

nnU-Net runs in an environment of its own (`nnunet_itself.py`). Where there is none the peer is a model of the
fixtures in torch, as `distilseg predict MODEL` runs it, which the rows say.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from distilseg.export.cost_probe import untrained_artefact

from .common import Row, ratio_row
from .nnunet_artefacts import Task, peer_of, tiny
from .nnunet_itself import SMALL, build_model, fixtures, hippocampi, nnunet, run
from .shipping import hippocampus_plan

STUDENTS = ("student_tiny", "student_base")
CASES, ROUNDS = 20, 2
AIMS = {("student_tiny", True): ">= 100", ("student_tiny", False): ">= 30"}


def main(quick: bool = False) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        task = tiny(place) if quick or not fixtures().is_dir() else _hippocampi(place)
        ours: dict[str, list[float]] = {name: [] for name in STUDENTS}
        theirs: dict[bool, list[float]] = {False: []} if quick else {True: [], False: []}
        for name in ours:
            plan = hippocampus_plan().model_copy(update={"network": name})
            untrained_artefact(place / name, plan, "openvino")
        for n in range(task.rounds):
            for name, seconds in ours.items():
                words = ["predict", place / name, task.scans, place / f"{name}-{n}"]
                seconds.append(run([sys.executable, "-m", "distilseg", *map(str, words)])[0])
            for mirrored, seconds in theirs.items():
                seconds.append(run(peer_of(task, mirrored, place / f"peer-{mirrored}-{n}"))[0])
    return [
        ratio_row(
            "students against nnU-Net",
            f"{name}, {task.name}, {'mirrored' if mirrored else 'not mirrored'}",
            ours[name],
            theirs[mirrored],
            aim=AIMS.get((name, mirrored), ">= 1"),
            peer_name="nnU-Net" if nnunet() else "the model in torch",
            note="whole processes, start included",
        )
        for name in ours
        for mirrored in theirs
    ]


def _hippocampi(place: Path) -> Task:
    """nnU-Net's default network for them where it can build that, else a small one."""
    like = fixtures() / SMALL
    scans = hippocampi(place / "scans", fixtures(), CASES)
    if (peer := nnunet()) is None:
        return Task(f"{CASES} hippocampi", like, ("0",), scans, ROUNDS)
    model = place / "Dataset901_Default" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    build_model(model, like, peer, patch=(40, 56, 40), features=(32, 64, 128, 256), spacing_mm=1.0)
    return Task(f"{CASES} hippocampi", model, ("0",), scans, ROUNDS, trained=False)
