"""Records: what a look at a file takes, pydantic takes as the same values; the rest it judges itself."""

from __future__ import annotations

import json
import pickle
from copy import deepcopy
from dataclasses import dataclass, field, replace
from random import Random
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.records import Checked, Limits, Record, _Doubt, _made, _model, first_misfit
from distilseg.runtime.artefact import Description

from .fuzz.mutations import mutated_json

PLAN = {
    "dataset": "Sét",
    "modalities": ["CT", "PET"],
    "labels": {"0": "background", "1": "liver", "12": "tumour"},
    "regions": {"whole": [1, 12], "core": [12]},
    "orientation": "RAS",
    "spacing_mm": [1, 1.5, 2.25],
    "normalisation": {
        "CT": {"kind": "window_zscore", "low": -100, "high": 300.5, "mean": 1, "std": 2},
        "PET": {"kind": "zscore", "low": None, "high": None, "mean": None, "std": None},
    },
    "patch": [32, 48, 32],
    "strides": [[1, 1, 1], [2, 2, 2]],
    "overlap": 0.25,
    "reasons": {"patch": "fits"},
}
DESCRIPTION = {
    "format": 1,
    "name": "run-1",
    "target": "openvino",
    "engine": "openvino",
    "network": "network.xml",
    "answers": "classes",
    "inferer": {"kind": "sliding_window", "patch": [32, 48, 32]},
    "views": [{"network": "a.xml", "inferer": {}, "answers": "regions"}],
    "fusion": {"how": "mean", "threshold": 0.5},
    "made": {"run": "run-1", "seed": None, "deep": [1, {"a": 2.5}]},
    "files": {"network.xml": "00", "plan.json": "11"},
}
KINDS = [(Plan, PLAN), (Description, DESCRIPTION)]


def even(value: int) -> int:
    if value % 2:
        raise ValueError("odd")
    return value


@dataclass(frozen=True, kw_only=True)
class Marked(Record):
    """A field of each kind that has a mark."""

    number: Annotated[float, Limits(ge=0, lt=1)] = 0.5
    several: Annotated[tuple[str, ...], Limits(min_length=1)] = ("a",)
    even: Annotated[int, Checked(even)] = 0
    kind: Literal["a", 1] = "a"
    anything: dict[str, Any] = field(default_factory=dict)


@pytest.mark.parametrize(("kind", "value"), KINDS)
def test_a_file_as_we_write_it_needs_no_pydantic(kind: type[Record], value: dict[str, Any]) -> None:
    looked_at, judged = _made(kind, deepcopy(value)), _model(kind).model_validate(value)
    if kind is Description:  # which leaves out whose preparation it is where it is ours
        assert looked_at.model_dump() | {"preparation": "plan"} == judged.model_dump()
    assert kind.model_validate(json.loads(looked_at.model_dump_json())) == looked_at
    for name in value:
        assert getattr(looked_at, name) == getattr(judged, name)
        assert type(getattr(looked_at, name)) is type(getattr(judged, name))


@pytest.mark.parametrize(("kind", "value"), KINDS)
def test_damage_is_refused_as_pydantic_refuses_it(kind: type[Record], value: dict[str, Any]) -> None:
    taken = doubted = 0
    for n in range(1500):
        try:
            changed = json.loads(mutated_json(value, Random(n)))
        except (ValueError, RecursionError):
            continue
        try:
            found = _made(kind, deepcopy(changed))
        except (_Doubt, ValueError):
            doubted += 1
            continue
        taken += 1
        judged = _model(kind).model_validate(changed)  # raises where a look took what it should not have
        assert [getattr(found, name) for name in found.model_dump()] == [
            getattr(judged, name) for name in found.model_dump()
        ]
    assert taken > 20
    assert doubted > 20


@pytest.mark.parametrize(
    ("changes", "kind", "place"),
    [
        ({"patch": [32, 48, 0]}, "greater_than", ("patch", 2)),
        ({"patch": [32, 48, True]}, None, None),  # pydantic calls it 1
        ({"patch": ["32", 48, 32.0]}, None, None),
        ({"overlap": 1}, "less_than", ("overlap",)),
        ({"modalities": []}, "too_short", ("modalities",)),
        ({"labels": {"x": "liver"}}, "int_parsing", ("labels", "x", "[key]")),
        ({"labels": {"00": "liver"}}, None, None),
        ({"dataset": "\ud800"}, None, None),
        ({"interpolation": "spline"}, "literal_error", ("interpolation",)),
        ({"spacing_mm": [1, 1, float("inf")]}, "finite_number", ("spacing_mm", 2)),
        ({"more": 1}, "extra_forbidden", ("more",)),
        ({"normalisation": {"CT": {"kind": "range", "low": 1}}}, "value_error", ("normalisation", "CT")),
        ({"normalisation": {"CT": {}}}, "missing", ("normalisation", "CT", "kind")),
    ],
)
def test_what_is_in_doubt_pydantic_judges(changes: dict[str, Any], kind: str | None, place: Any) -> None:
    value = {**PLAN, **changes}
    with pytest.raises((_Doubt, ValueError)):
        _made(Plan, deepcopy(value))
    if kind is None:
        patch = Plan.model_validate(value).patch
        assert patch in ((32, 48, 32), (32, 48, 1))
        assert all(type(voxels) is int for voxels in patch)
        return
    with pytest.raises(ValidationError) as refused:
        Plan.model_validate(value)
    first = first_misfit(refused.value)
    assert first is not None
    assert (first["type"], first["loc"]) == (kind, place)
    assert first_misfit(ValueError("of another kind")) is None


def test_it_is_a_frozen_value() -> None:
    plan = Plan.model_validate(PLAN)
    with pytest.raises(AttributeError):
        plan.patch = (1, 1, 1)  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert plan.model_copy(update={"patch": (8, 8, 8)}).patch == (8, 8, 8)
    assert replace(plan, patch=(8, 8, 8)) == plan.model_copy(update={"patch": (8, 8, 8)})
    with pytest.raises(ValidationError):
        replace(plan, patch=(8, 8, 0))
    with pytest.raises(ValidationError):
        Normalisation(kind="range")


def test_defaults_are_not_shared() -> None:
    one, other = (Plan.model_validate({**PLAN, "regions": {}}) for _ in range(2))
    assert one.reasons is not other.reasons
    bare = {name: value for name, value in PLAN.items() if name not in ("regions", "reasons")}
    assert Plan.model_validate(bare).reasons is not Plan.model_validate(bare).reasons


def test_models_of_pydantic_hold_records() -> None:
    class Holder(BaseModel):
        model_config = ConfigDict(frozen=True)

        how: Normalisation | str
        again: dict[str, Normalisation | str]

    held = Holder.model_validate({"how": {"kind": "zscore"}, "again": {"CT": "minmax"}})
    assert held.how == Normalisation(kind="zscore")
    assert isinstance(held.how, Normalisation)
    assert held.model_dump(mode="json", exclude_none=True) == {
        "how": {"kind": "zscore"},
        "again": {"CT": "minmax"},
    }
    assert Holder(how=Normalisation(kind="zscore"), again={}).how == Normalisation(kind="zscore")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ({"number": 0}, {"number": 1}),
        ({"number": 0.99}, {"number": -0.1}),
        ({"several": ["a", "b"]}, {"several": []}),
        ({"even": 2}, {"even": 3}),
        ({"kind": 1}, {"kind": 2}),
        ({"anything": {"deep": [None]}}, {"anything": [1]}),
    ],
)
def test_marks_mean_the_same_to_both(good: dict[str, Any], bad: dict[str, Any]) -> None:
    (name,) = good
    assert getattr(_made(Marked, dict(good)), name) == getattr(_model(Marked).model_validate(good), name)
    with pytest.raises((_Doubt, ValueError)):
        _made(Marked, dict(bad))
    with pytest.raises(ValidationError):
        Marked.model_validate(bad)
    with pytest.raises(ValidationError):
        Marked(**bad)
