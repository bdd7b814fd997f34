"""What a check found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..case import Case
from ..scans.scan import Geometry

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what would be right."""

    case: str  # "" for the dataset as a whole
    kind: str  # one of those in the package's table
    message: str
    fix: str
    severity: Severity = "error"
    fixable: bool = False  # `fix_dataset` repairs it in a copy
    path: Path | None = None  # the file it is about

    def __str__(self) -> str:
        return f"{self.case + ': ' if self.case else ''}{self.message}; {self.fix}"


@dataclass(frozen=True)
class CheckReport:
    """All problems of a dataset, ordered as its cases are; those of the whole dataset come last."""

    dataset: str
    folder: Path
    cases_checked: int
    files_checked: int
    tolerance_mm: float
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()  # nothing is wrong with the scans, and training needs to be told something

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What would make training or evaluation wrong or impossible."""
        return tuple(problem for problem in self.problems if problem.severity == "error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is worth a look and harms nothing by itself."""
        return tuple(problem for problem in self.problems if problem.severity == "warning")

    @property
    def ok(self) -> bool:
        """No errors; there may be warnings."""
        return not self.errors

    def to_dict(self) -> dict[str, Any]:
        """As plain values, for JSON."""
        problems = [asdict(problem) | {"path": _text(problem.path)} for problem in self.problems]
        return asdict(self) | {"folder": str(self.folder), "ok": self.ok, "problems": problems}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


@dataclass
class Findings:
    """One case's problems, and what the comparison between cases needs."""

    case: Case
    problems: list[Problem] = field(default_factory=list)
    counts: dict[int, int] = field(default_factory=dict)  # whole numbers in the label map -> voxels
    label_read: bool = False  # to the end
    fingerprints: dict[str, str] = field(default_factory=dict)  # modality -> hash of its voxels
    files: int = 0
    grid: Geometry | None = None  # of the first image on a usable one
    filled: list[NDArray[np.bool_]] = field(default_factory=list)  # per axis of it: where an image is not 0
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)  # modality -> least and greatest
    hounsfield: set[str] = field(default_factory=set)  # modalities whose voxels look like CT's
    grids: int = 0  # files on a usable grid
    single: list[tuple[Path, tuple[int, ...]]] = field(
        default_factory=list
    )  # one voxel thick, with its shape

    def add(
        self,
        kind: str,
        message: str,
        fix: str,
        path: Path | None = None,
        *,
        severity: Severity = "error",
        fixable: bool = False,
    ) -> None:
        self.problems.append(Problem(self.case.id, kind, message, fix, severity, fixable, path))
