"""The commands as Python functions: `from distilseg.commands import train` does what `distilseg train` does.

    demo, fetch                     first steps
    check, plan                     a dataset: is it sound, how will it be prepared
    recipes, networks               what there is
    train, evaluate, compare        runs, judged and compared
    teacher, distil                 a model that others trained, and a small student of it
    prototypes                      class prototypes of a 3D network, for students of single slices
    predict, report                 label maps of new scans; the page of figures
    serve                           studies from the PACS, and DICOM SEG back
    export                          a run as one folder that predicts without torch
    submit, status                  any of these on many machines, and how far they are
    cost                            parameters, arithmetic, latency, memory, energy of runs and artefacts

Each is imported when it is asked for, so that `distilseg --help` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._check import check as check
    from ._compare import compare as compare
    from ._cost import cost as cost
    from ._demo import demo as demo
    from ._distil import distil as distil
    from ._evaluate import evaluate as evaluate
    from ._export import export as export
    from ._fetch import fetch as fetch
    from ._networks import networks as networks
    from ._plan import plan as plan
    from ._predict import predict as predict
    from ._prototypes import prototypes as prototypes
    from ._recipes import recipes as recipes
    from ._report import report as report
    from ._serve import serve as serve
    from ._status import status as status
    from ._submit import submit as submit
    from ._teacher import teacher as teacher
    from ._train import train as train

__all__ = [
    "check",
    "compare",
    "cost",
    "demo",
    "distil",
    "evaluate",
    "export",
    "fetch",
    "networks",
    "plan",
    "predict",
    "prototypes",
    "recipes",
    "report",
    "serve",
    "status",
    "submit",
    "teacher",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"._{name}", __name__), name)
