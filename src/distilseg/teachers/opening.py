"""Which kind of teacher a path is, and the teacher itself; nothing in it is executed without trust."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from ..errors import UserError
from .teacher import Teacher, TeacherOptions


def kinds() -> tuple[ModuleType, ...]:
    """The modules that open teachers, each with `recognises(path)` and `open_as_teacher(path, options)`;
    the first that recognises a path opens it, and what needs torch is imported only then. Beside its answers
    nnU-Net leaves copies of a model's plans."""
    from . import files, graphs, monai_bundle, nnunet, run, totalsegmentator

    return run, files, totalsegmentator, nnunet, monai_bundle, graphs


def recognised(path: Path) -> bool:
    """Whether `path` looks like a teacher of some kind; it may still be refused when it is opened."""
    return any(kind.recognises(path) for kind in kinds())


def open_teacher(path: Path | str, options: TeacherOptions | None = None) -> Teacher:
    """The teacher at `path`. Raises `UserError` where it is none, or cannot be rebuilt."""
    path = Path(path)
    if not path.exists():
        raise UserError(f"there is no teacher at {path}", "correct the path")
    for kind in kinds():
        if kind.recognises(path):
            teacher: Teacher = kind.open_as_teacher(path, options or TeacherOptions())
            return teacher
    raise UserError(
        f"{path} is no teacher that can be read",
        "give an nnU-Net v2 folder, .pth or zip, TotalSegmentator's weights, a MONAI bundle, an ONNX file, a"
        " run or artefact of ours, or a folder of answers (.nii.gz labels or .npz probabilities)",
    )
