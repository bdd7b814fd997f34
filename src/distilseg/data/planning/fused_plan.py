"""Which models can answer as one, told by their plans, and the plan of the labels that come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import UserError
from .plan import Plan


def fused_plan(names: Sequence[str], plans: Sequence[Plan], how: str) -> Plan:
    """The plan of the fused labels; raises `UserError` where the models, called `names`, do not go together.

    They were prepared in one way and, unless `how` is "organs", tell the same labels apart.
    """
    shared = (*(name for name in plans[0].preprocessing() if name != "label_values"), "labels", "regions")
    if how == "organs":
        shared = shared[:-2]
    for model, plan in zip(names, plans, strict=True):
        first, own = _told(plans[0]), _told(plan)
        if differing := [name for name in shared if first.get(name) != own.get(name)]:
            name = differing[0]
            raise UserError(
                f"{names[0]} and {model} differ in {name}: {first.get(name)} and {own.get(name)}",
                "views share one plan but for patch and strides; take the plan of one of them for the others"
                if name not in ("labels", "regions")
                else 'fuse runs that tell the same labels apart, or models of one organ each by "organs"',
            )
    return _of_organs(names, plans) if how == "organs" else plans[0]


def organ(plan: Plan) -> str:
    """The one structure that a model of an organ segments."""
    return next(iter(plan.regions), plan.classes[-1])


def _told(plan: Plan) -> dict[str, Any]:
    return {**plan.preprocessing(), "labels": plan.labels, "regions": plan.regions}


def _of_organs(names: Sequence[str], plans: Sequence[Plan]) -> Plan:
    """The first plan with the organs of all; their values are kept unless two share one."""
    values: dict[str, int] = {}
    for model, plan in zip(names, plans, strict=True):
        structures = [value for value in plan.label_values if value]
        if len(structures) != 1:
            raise UserError(
                f"{model} tells {len(structures)} structures apart", "organs are fused from models of one"
            )
        values[organ(plan)] = structures[0]
    if len(values) < 2:
        raise UserError(f"all runs segment {next(iter(values))}", "fuse views of one organ by vote or mean")
    if len(set(values.values())) < len(values):
        values = {name: n for n, name in enumerate(values, start=1)}
    labels = {0: plans[0].labels[0], **{value: name for name, value in values.items()}}
    codes = {name: code for plan in plans for name, code in plan.codes.items() if name in values}
    return plans[0].model_copy(update={"labels": labels, "regions": {}, "codes": codes})
