"""A recipe's keyword options as options of the command line, by their annotations.

bool                 --flag / --no-flag          int, float, str     --option VALUE
Literal["a", "b"]    --option a                  a tuple or list     --option 1,2
Sequence[str]        --option A,B, each word as it is written
a mapping            --network-option key=value, repeated; `network_options` are those of `network`
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from ..errors import UserError, unknown
from ..recipes import Recipe
from .text import literal, words

Kind = tuple[str, tuple[Any, ...]]  # flag, integer, number, text, choice, names, list, mapping; the choices


def flag(recipe: Recipe, name: str) -> str:
    """What the command line calls the option `name`."""
    kind, _ = _kind(recipe, name)
    word = (name.removesuffix("s") if kind == "mapping" else name).replace("_", "-")
    return f"--{word}/--no-{word}" if kind == "flag" else f"--{word}"


def metavar(recipe: Recipe, name: str) -> str:
    """What stands for its value."""
    kind, choices = _kind(recipe, name)
    return "|".join(map(str, choices)) or _METAVARS.get(kind, kind)


def _kind(recipe: Recipe, name: str) -> Kind:
    return kind_of(recipe.options[name], inspect.unwrap(recipe.make).__globals__)


def kind_of(parameter: inspect.Parameter, names: Mapping[str, Any]) -> Kind:
    """How to read it; `names` are the globals of the recipe's file. Where the annotation does not say, its
    default does."""
    annotation = None if parameter.annotation is parameter.empty else parameter.annotation
    if isinstance(annotation, str):
        try:
            annotation = eval(annotation, {**vars(typing), **names})
        except Exception:  # named for type checkers only
            annotation = None
    parts = [part for part in _union(annotation) if part is not type(None)]
    part = parts[0] if len(parts) == 1 else None
    origin = typing.get_origin(part) or part
    if origin is typing.Literal:
        return "choice", typing.get_args(part)
    if not isinstance(origin, type):
        origin = dict if parameter.name.endswith("_options") else type(parameter.default)
    for kind, of in _KINDS:
        if issubclass(origin, of):
            if kind == "list" and typing.get_args(part)[:1] == (str,):
                return "names", ()
            return kind, ()
    return "text", ()


_KINDS: list[tuple[str, type]] = [
    ("flag", bool),
    ("integer", int),
    ("number", float),
    ("text", str),
    ("mapping", Mapping),
    ("list", Sequence),
]


_METAVARS = {"mapping": "NAME=VALUE", "names": "A,B", "list": "A,B", "flag": ""}


def _union(annotation: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def parameters_of(recipe: Recipe, panel: str) -> list[inspect.Parameter]:
    """The recipe's options as typer understands them; None means: not given."""
    return [_parameter(recipe, name, panel) for name in recipe.options]


def _parameter(recipe: Recipe, name: str, panel: str) -> inspect.Parameter:
    option, (kind, choices) = recipe.options[name], _kind(recipe, name)
    of_kind: dict[str, Any] = {"flag": bool, "integer": int, "number": float, "mapping": list[str]}
    told = [_said(recipe, name)] if _said(recipe, name) else []
    told += [f"{' or '.join(map(str, choices))}."] if choices else []
    told += (
        [f"Default: {_shown(option.default)}."]
        if option.default not in (None, ()) and kind != "mapping"
        else []
    )
    shown = metavar(recipe, name) if kind in ("mapping", "names", "list") else None
    panel = f"{panel}: switches" if kind == "flag" else panel  # their two names need the width
    info = typer.Option(flag(recipe, name), help=" ".join(told), metavar=shown, rich_help_panel=panel)
    annotation = Annotated[of_kind.get(kind, str) | None, info]  # type: ignore[valid-type]
    return option.replace(default=None, annotation=annotation)


def _shown(default: Any) -> str:
    """As one would write it."""
    return ",".join(map(str, default)) if isinstance(default, (list, tuple)) else str(default)


def _said(recipe: Recipe, name: str) -> str:
    """The sentence of the recipe's docstring that begins with the option's name and a colon."""
    text = " ".join((inspect.getdoc(recipe.make) or "").split())
    match = re.search(rf"(?<!\w){name}: (.+?)\.(?: |$)", text)
    if match:
        first, _, rest = match[1].partition(" ")
        name_of_something = "_" in first or "." in first
        return f"{first if name_of_something else first[:1].upper() + first[1:]} {rest}".strip() + "."
    owner = name.removesuffix("_options")
    return f"An option of the {owner.replace('_', ' ')}; repeat for more." if owner != name else ""


def values_of(recipe: Recipe, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as the recipe takes them."""
    values: dict[str, Any] = {}
    for name in recipe.options:
        value = given.get(name)
        if value is None or value == []:
            continue
        kind, choices = _kind(recipe, name)
        if kind == "choice":
            value = _chosen(name, value, choices)
        elif kind == "names":  # as they are written: fold 0 is called "0"
            value = tuple(words(value) or [])
        elif kind == "list":
            value = tuple(literal(word) for word in words(value) or [])
        elif kind == "mapping":
            value = _mapping(recipe, name, value, given)
        values[name] = value
    return values


def _chosen(name: str, value: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if str(choice) == value:
            return choice
    raise unknown(f"value of --{name.replace('_', '-')}", value, choices)


def _mapping(recipe: Recipe, name: str, texts: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """`network_options` are options of the network that `network` names, and are checked as such."""
    owner = recipe.options.get(name.removesuffix("_options")) if name.endswith("_options") else None
    if owner is not None:
        from ..networks.build import options_from_text

        # A network that is not named (`teacher_network`) is the recipe's own.
        chosen = given.get(owner.name) or owner.default
        chosen = chosen or given.get("network") or recipe.options["network"].default
        return options_from_text(chosen, texts)
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(
                f"--{name.removesuffix('s').replace('_', '-')} {text!r} is no pair", "write NAME=VALUE"
            )
        found[key] = literal(value)
    return found
