"""What a page can do of a plan and an inferer: equal to `runtime`, or refused by name.

The mirror itself says what it knows (`web/src/knows.ts`); so a new kind of anything is refused until it is
there.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...data.planning.plan import Plan, load_plan
from ...errors import UserError
from ...functional.window_options import check_volumes
from ...runs import Run
from ...runtime.artefact import Artefact
from ...views import members
from .built import manifest

Asked = Iterator[tuple[str, str]]  # of what kind, which

_MOST_LABEL = 2**32 - 1


def check_known(of: Artefact | Run) -> None:
    """Raises `UserError`, naming the first thing that a page does not know."""
    known = manifest()["knows"]
    for what, value in _of_run(of) if isinstance(of, Run) else _of_artefact(of):
        if value not in known[what]:
            raise UserError(
                f"a page does not know the {what} {value} (known: {', '.join(known[what])})",
                "export it --to onnx, and predict with that: distilseg predict ARTEFACT SCANS OUT",
            )


def _of_run(run: Run) -> Asked:
    for each in members(run):
        about = each.read(each.experiment)
        yield from _of_view(load_plan(each.plan), about["inferer"], about.get("answers", "classes"))


def _of_artefact(artefact: Artefact) -> Asked:
    about = artefact.about
    yield "preparation", about.preparation
    if about.engine != "onnx":
        raise UserError(
            f"{artefact.path} is for {about.engine}, and a page runs ONNX alone",
            "export the run itself --to web, or its artefact for onnx",
        )
    if about.fusion:
        yield "fusion", about.fusion.get("how", "vote")
    for view in artefact.views:
        yield from _of_view(artefact.plan_of(view), view.inferer, view.answers)
        check_volumes(view.inferer)


def _of_view(plan: Plan, inferer: dict[str, object], answers: str) -> Asked:
    yield "inferer", str(inferer.get("kind"))
    yield "answers", answers
    yield "interpolation", plan.interpolation
    yield "crop", plan.crop
    for how in plan.normalisation.values():
        yield "normalisation", how.kind
    if max(plan.labels) > _MOST_LABEL:
        raise UserError(f"a page has no label above {_MOST_LABEL}", "give it another value")
