"""A run in the form of another program: written, read back, compared on real cases, whole or not at all.

    nnunet          a model folder of nnU-Net v2
    monai-bundle    a bundle of MONAI

It is read back as a teacher of others is, from its files alone. What that program does otherwise than the run
is told, and how much it matters measured.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data.case import Dataset, Source
from ..data.planning.splits import load_split
from ..data.readable import readable_json
from ..disk import no_link
from ..errors import UserError
from ..files import folder_written_whole, written_whole
from ..predict import load_predictor
from ..progress import say
from ..runs import Run
from ..teachers.opening import open_teacher
from ..teachers.teacher import TeacherOptions
from ..views import is_fused
from .agreement import LEAST_DICE, Agreement, agreements, record, refuse_below
from .card_for_others import card_for_others
from .cases import dataset_of, held_out
from .monai_bundle import write_bundle
from .nnunet_folder import write_nnunet
from .student import Student, Written

DESCRIPTION = "distilseg.json"


@dataclass(frozen=True)
class Form:
    """What `--to` names: a program, and what writes its files; it is told the count of training cases."""

    program: str
    write: Callable[[Student, Path, int], Written]


FORMS: Mapping[str, Form] = {
    "nnunet": Form("nnU-Net", write_nnunet),
    "monai-bundle": Form("MONAI", write_bundle),
}


@dataclass(frozen=True)
class HandedOn:
    """Where it is, how that program agrees with the run, and what it does otherwise."""

    path: Path
    program: str
    agreements: tuple[Agreement, ...]
    differs: tuple[str, ...]
    use: tuple[str, ...]


def hand_on(
    run: Run,
    to: str,
    out: Path | None = None,
    *,
    packed: bool = False,
    dataset: Dataset | None = None,
    cases: Sequence[str] | None = None,
    tolerance: float = 1 - LEAST_DICE,
    weights: str = "best",
    trust: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> HandedOn:
    """Writes `run` to `out`, a folder or (`packed`) a zip, in the form `to` of `FORMS`.

    Options as of `export_run`, but `tolerance`: how far Dice against the run may be below 1. Raises
    UserError, and leaves nothing behind, for what the program cannot do, by name, and beyond the tolerance.
    """
    form = FORMS[to]
    if is_fused(run):
        raise UserError(
            f"{run.folder} stands for several runs, and {form.program} takes one network",
            "export each of them, or all as one artefact --to onnx",
        )
    if out is None:
        no_link(run.folder / "export")
        out = run.folder / "export" / (to + ".zip" * packed)
    packed = packed or out.suffix.lower() == ".zip"
    if out.exists():
        raise UserError(f"{out} exists already", "remove it, or name another place with --out")
    predictor = load_predictor(run.folder, weights=weights, device="cpu", trust=trust)
    student = Student.of(run, predictor, run.best if weights == "best" else run.last)
    dataset = dataset_of(
        run,
        dataset,
        wanted=f"to compare {form.program} and the run on",
        fix="say where the dataset lies now with --data",
    ).of_labels(student.plan.label_values)
    sources = _volumes(dataset, student, held_out(run, dataset, cases), form.program)
    trained = len(load_split(run.split, dataset.cases).train)

    def make(folder: Path) -> tuple[HandedOn, Written]:
        written = form.write(student, folder, trained)
        written = replace(written, differs=[*written.differs, *_together(sources)])
        say(f"{run.name}: written for {form.program}, read back and compared with the run case by case")
        teacher = open_teacher(folder, TeacherOptions(device="cpu"))
        found = agreements(predictor, teacher, written.values, sources, progress=progress)
        refuse_below(found, tolerance, form.program)
        told = {"made": student.made, "agreement": record(found), "differs": list(written.differs)}
        (folder / DESCRIPTION).write_text(readable_json(told) + "\n", encoding="utf-8")
        card = folder / written.readme
        card.parent.mkdir(exist_ok=True)
        card.write_text(card_for_others(student, form.program, written, record(found)), encoding="utf-8")
        return HandedOn(out, form.program, tuple(found), tuple(written.differs), tuple(written.use)), written

    if not packed:
        with folder_written_whole(out) as aside:
            return make(aside)[0]
    with tempfile.TemporaryDirectory() as place:
        handed_on, written = make(Path(place))
        with written_whole(out) as aside:
            _pack(Path(place), aside, written.inside or out.stem)
    return handed_on


def _volumes(
    dataset: Dataset, student: Student, ids: Sequence[str], program: str
) -> dict[str, Mapping[str, Source]]:
    """Of each case its images, by modality. Raises UserError for files of a single slice."""
    found: dict[str, Mapping[str, Source]] = {
        id: {name: dataset.case(id).images[name] for name in student.plan.modalities} for id in ids
    }
    files = [source.path for images in found.values() for source in images.values()]
    if flat := next((path for path in files if _is_flat(path)), None):
        raise UserError(
            f"the run learned from files of single slices ({flat.name}), and {program} takes volumes",
            "export it --to onnx",
        )
    return found


def _is_flat(path: Path) -> bool:
    import nibabel

    if path.name.endswith((".nii", ".nii.gz")):
        return len(nibabel.load(path).shape) < 3
    return path.suffix.lower() == ".png"


def _together(sources: Mapping[str, Mapping[str, Source]]) -> list[str]:
    """What reading a dataset did to its scans, and nobody does for the other program."""
    each = [source for images in sources.values() for source in images.values()]
    told = []
    if any(source.onto or source.box_mm for source in each):
        told.append("Its scans must lie on one grid; the run's dataset brings them onto one as it is read.")
    if any(source.channel is not None for source in each):
        told.append("Its scans are one file a modality; in the run's dataset they are channels of one.")
    return told


def _pack(folder: Path, path: Path, inside: str) -> None:
    """All files below `folder`, in one zip and in the folder `inside` there."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                packed.write(file, f"{inside}/{file.relative_to(folder).as_posix()}")
