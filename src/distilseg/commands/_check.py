"""`distilseg check`: is a dataset sound; does a file of one's own keep our contracts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ..data.case import Dataset
from ..data.check import CheckReport, check_dataset, fix_dataset
from ..data.check.dicom import SeriesReport, check_dicom
from ..data.formats import layout_of_scans, read_dataset
from ..data.formats.dicom import is_dicom
from ..errors import UserError

TOLERANCE_MM = 0.01
CHECKED_PATCH = (32, 32, 32)


def check(
    data: Path | str | Dataset,
    *,
    layout: str | None = None,
    fix: Path | str | None = None,
    tolerance_mm: float = TOLERANCE_MM,
    progress: Callable[[int, int], object] | None = None,
) -> CheckReport:
    """Every problem of a dataset, by case; with `fix`, a repaired copy there where that is safe.

    `progress(done, cases)` is called after each case. Raises UserError where the dataset's description
    cannot be read at all.
    """
    dataset = data if isinstance(data, Dataset) else read_dataset(data, layout)
    done = 0

    def count(case: str) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(dataset.cases) + len(dataset.unlabelled))

    report = check_dataset(dataset, tolerance_mm=tolerance_mm, progress=count)
    if fix is not None:
        fix_dataset(dataset, report, fix)
    return report


def check_series(
    path: Path | str, progress: Callable[[int, int], object] | None = None
) -> SeriesReport | None:
    """The series in a folder of DICOM, or a file of it; None for anything else, such as another dataset."""
    path = Path(path)
    if layout_of_scans(path) is not None or not is_dicom(path):
        return None
    return check_dicom(path, progress)


def check_file(path: Path | str) -> list[str]:
    """Runs our contracts on every method and network in a Python file; returns what was checked.

    Raises UserError with the promise that is broken, or if the file holds neither.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}", "give the path of a Python file")
    from ..distillation.method import Method
    from ..networks.build import NetworkSpec, builders
    from ..testing import check_method, check_network

    networks = builders(path)
    content = _run(path)
    methods = {
        name: value
        for name, value in content.items()
        if isinstance(value, type) and issubclass(value, Method) and value.__module__ == "checked_file"
    }
    if not methods and not networks:
        raise UserError(
            f"{path} holds no method and no network",
            "a method is a subclass of distilseg.distillation.Method, a network a function whose first"
            " parameters are in_channels, classes, patch",
        )
    for name, method in methods.items():
        _keeps(path, name, partial(check_method, method))
    for name in networks:
        _keeps(path, name, partial(check_network, NetworkSpec(f"{path}:{name}", 1, 3, CHECKED_PATCH)))
    return [*(f"method {name}" for name in methods), *(f"network {name}" for name in networks)]


def _run(path: Path) -> dict[str, object]:
    import runpy

    try:
        return runpy.run_path(str(path), run_name="checked_file")
    except Exception as error:  # whatever the user's file raises
        raise UserError(f"{path} cannot be imported: {_told(error)}", "repair it") from error


def _keeps(path: Path, name: str, contract: Callable[[], None]) -> None:
    try:
        contract()
    except UserError:
        raise
    except AssertionError as broken:
        raise UserError(f"{path}: {name} breaks its contract: {_told(broken)}", "mend that") from broken
    except Exception as error:  # the user's own code failed
        raise UserError(f"{path}: {name} fails: {_told(error)}", "--debug shows where") from error


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}"
