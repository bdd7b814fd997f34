"""Whatever a training can be told is an option, and what is said of it stands in one place."""

from __future__ import annotations

import ast
import inspect
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.models

from distilseg import cli
from distilseg.cli import arguments
from distilseg.cli.settings import parameters_of_training, values_of_training
from distilseg.commands import train
from distilseg.data.formats import LAYOUTS
from distilseg.recipes import find
from distilseg.training.budget import Budget
from distilseg.training.experiment import Optimisation, Sampling, Validation
from distilseg.training.machine import Machine
from distilseg.training.setting import one_of, setting_fields

SETTINGS = (Budget, Sampling, Optimisation, Validation, Machine)
FOR_RECIPES = {"pad", "each_epoch"}  # from Python too, but no options
OPTIONS = {parameter.name: parameter for parameter in parameters_of_training(find("supervised"))}


def said(annotation: Any) -> typer.models.OptionInfo:
    """What typer is told of an option."""
    option = get_args(annotation)[1]
    assert isinstance(option, typer.models.OptionInfo)
    return option


@pytest.mark.parametrize("kind", SETTINGS)
def test_every_field_is_an_option_as_it_says(kind: type) -> None:
    told = setting_fields(kind)
    assert {field.name for field in fields(kind)} - {field.name for field in told} <= FOR_RECIPES
    for field in told:
        option = said(OPTIONS[field.name].annotation)
        setting = field.setting
        assert (option.help, option.min, option.max) == (setting.told, setting.least, setting.most)
        assert (option.metavar, option.envvar) == (setting.metavar, setting.variable)
        assert OPTIONS[field.name].default == (field.default if kind is Machine else None)
        field.check(field.default)


def test_the_other_options_are_those_of_train() -> None:
    """By name, each with the same default; those that the command line says in another way are named here."""
    of_settings = {field.name for kind in SETTINGS for field in setting_fields(kind)}
    asked = inspect.signature(train).parameters
    alone = {"recipe", "options", "machine", "settings", "save_every_s"}
    assert OPTIONS.keys() - of_settings - asked.keys() == {"slice_view"}
    assert asked.keys() - OPTIONS.keys() == alone
    for name in asked.keys() & OPTIONS.keys() - {"data", "one_slice_per_subject", "runs", "unlabelled"}:
        assert OPTIONS[name].default == asked[name].default, name
    assert OPTIONS["runs"].default == Path(str(asked["runs"].default))


def test_values_arrive_as_train_takes_them() -> None:
    given = {name: parameter.default for name, parameter in OPTIONS.items() if name != "data"}
    plain = values_of_training(given)
    assert plain.keys() <= inspect.signature(train).parameters.keys()  # no setting: as the recipe decides
    told = {
        "batch_size": 3,
        "clip": 0.0,
        "flip_axes": ["0", "2"],
        "patience": 4,
        "steps": 5,
        "device": "cpu",
        "subjects": "2,all",
        "one_slice_per_subject": True,
    }
    asked = values_of_training(given | told)
    changed = {name: value for name, value in asked.items() if value != plain.get(name)}
    assert changed.pop("machine") == Machine(device="cpu")
    assert changed == {
        "batch_size": 3,
        "flip_axes": (0, 2),
        "patience": 4,
        "steps": 5,
        "subjects": [2, "all"],
        "one_slice_per_subject": "axial",
    }
    assert asked["clip"] is None
    assert values_of_training(given | {"flip_axes": ["none"]})["flip_axes"] == ()


def test_layouts_that_may_be_named_are_those_there_are() -> None:
    """Written by hand, as their readers need NumPy, which help does without."""
    assert said(arguments.Layout).help == one_of(LAYOUTS)


def test_no_option_is_written_twice() -> None:
    """No help text stands twice in the command line's source, nor one of a setting."""
    assert cli.__file__ is not None
    told: list[str] = []
    for file in Path(cli.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr="Option"), keywords=keywords):
                    said = {word.arg: word.value for word in keywords}
                    told += [ast.unparse(said["help"])] if "help" in said else []
    assert len(told) > 40
    told += [repr(field.setting.told) for kind in SETTINGS for field in setting_fields(kind)]
    assert [text for text, times in Counter(told).items() if times > 1] == []
