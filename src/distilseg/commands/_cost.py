"""`distilseg cost`: what runs and artefacts cost, side by side, each in a process of its own, in turns."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.case import Case
from ..data.formats import read_dataset
from ..data.formats.inputs import find_cases
from ..data.planning.plan import Plan, load_plan
from ..errors import UserError
from ..export.cases import dataset_of, held_out
from ..export.cost import Model, measure_costs
from ..files import write_json
from ..runs import Run, open_run
from ..runtime.artefact import is_artefact, open_artefact


def cost(
    models: Path | str | Sequence[Path | str],
    *,
    scans: Path | str | Sequence[Path | str] | None = None,
    cases: Sequence[str] | None = None,
    data: Path | str | None = None,
    threads: int = 0,
    device: str = "auto",
    trust: str | None = None,
    out: Path | str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> dict[str, dict[str, Any]]:
    """What `export.cost.measure_costs` finds for each of `models`, runs or artefacts, by their path.

    Measured on `scans` (see `data.formats.inputs.find_cases`), else on test cases of the first run among the
    models, or of the run whose folder an artefact lies in; `cases` names some of them, and `data` says where
    that run's dataset lies, if it moved. `threads` 0 is what suits the machine. `out`: a JSON file. Raises
    UserError where a model is neither run nor artefact, or nothing says on which scans.
    """
    named = [Path(models)] if isinstance(models, (str, Path)) else [Path(model) for model in models]
    if not named:
        raise UserError("no model is named", "give a run folder or an artefact, or several")
    plans = {path: _plan(path) for path in named}
    if scans is None:
        chosen = _of_run(_run_among(named), data, cases)
    asked = []
    for path in named:
        told = _of_scans(scans, plans[path], cases) if scans is not None else chosen
        asked.append(Model(path, _plain(told, plans[path], path), trust=trust, again=True))
    done = itertools.count(1)

    def moved() -> None:
        if progress is not None:
            progress(next(done), len(named))

    found = measure_costs(asked, device=device, threads=threads or None, measured=moved)
    measured = {str(path): cost for path, cost in zip(named, found, strict=True)}
    if out is not None:
        write_json(Path(out), measured)
    return measured


def _plan(path: Path) -> Plan:
    return open_artefact(path).plan if is_artefact(path) else load_plan(open_run(path).plan)


def _run_among(named: Sequence[Path]) -> Run:
    """The run whose test cases are to be predicted."""
    for path in named:
        for folder in (path, *path.resolve().parents[:2]):
            if Run(folder).experiment.is_file():
                return Run(folder)
    raise UserError(
        "an artefact brings no scans to measure it on", "name a scan or a folder of scans with --scans"
    )


def _of_run(run: Run, data: Path | str | None, named: Sequence[str] | None) -> list[Case]:
    dataset = dataset_of(
        run,
        None if data is None else read_dataset(data),
        wanted=f"of {run.name}",
        fix="say with --data or --scans where some are",
    )
    return [dataset.case(id) for id in held_out(run, dataset, named)]


def _of_scans(
    scans: Path | str | Sequence[Path | str], plan: Plan, named: Sequence[str] | None
) -> list[Case]:
    found, refused = find_cases(scans, plan.modalities)
    if refused:
        raise UserError(next(iter(refused.values())))
    if named is not None and (strange := sorted({*named} - {case.id for case in found})):
        known = ", ".join(case.id for case in found)
        raise UserError(f"--scans hold no case {', '.join(strange)}", f"known: {known}")
    return [case for case in found if named is None or case.id in named]


def _plain(cases: Sequence[Case], plan: Plan, path: Path) -> Mapping[str, Mapping[str, tuple[Any, ...]]]:
    """The images as the measuring process takes them."""
    for case in cases:
        if missing := [name for name in plan.modalities if name not in case.images]:
            raise UserError(
                f"case {case.id} has no {', '.join(missing)}, which {path} sees", "name others with --cases"
            )
    return {case.id: {name: case.images[name].plain() for name in plan.modalities} for case in cases}
