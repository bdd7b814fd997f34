"""From a name to a network, and back to a description that fits into JSON.

A builder is a function whose first parameters are `in_channels, classes, patch` and whose options are
keywords with plain defaults. Every such function in this package is a network by its name;
`my_file.py:function` names one anywhere else. Builders are found by reading source text, so `names` and
`describe` never import torch.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import UserError, unknown

if TYPE_CHECKING:
    from torch import nn

FIRST = ["in_channels", "classes", "patch"]
# Networks that once answered otherwise with the same weights: which answer is meant; 1 of all others.
REVISIONS = {"swin_unet": 2, "unest": 2}


@dataclass(frozen=True)
class NetworkSpec:
    """All that rebuilds a network: the builder's name and arguments. Weights are kept elsewhere."""

    name: str
    in_channels: int
    classes: int
    patch: tuple[int, ...]  # voxels per axis; its length is 2 or 3
    options: Mapping[str, Any] = field(default_factory=dict)
    # (channel, low, high), as the network is shown them: channels that it makes itself, after the others
    tissue_windows: tuple[tuple[int, float, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and values; options that do not fit into JSON raise TypeError."""
        return {
            "name": self.name,
            "in_channels": self.in_channels,
            "classes": self.classes,
            "patch": list(self.patch),
            "options": json.loads(json.dumps(dict(self.options))),
            **({"tissue_windows": list(map(list, self.tissue_windows))} if self.tissue_windows else {}),
            **({"revision": REVISIONS[self.name]} if self.name in REVISIONS else {}),
        }

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> NetworkSpec:
        """Raises UserError where an entry is missing or of the wrong kind, and for a network that answers
        otherwise than it did when its weights were made."""
        try:
            spec = NetworkSpec(
                name=str(values["name"]),
                in_channels=int(values["in_channels"]),
                classes=int(values["classes"]),
                patch=tuple(int(size) for size in values["patch"]),
                options=dict(values.get("options", {})),
                tissue_windows=tuple(
                    (int(channel), float(low), float(high))
                    for channel, low, high in values.get("tissue_windows", ())
                ),
            )
            revision = int(values.get("revision", 1))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"this is no description of a network ({type(error).__name__}: {error})",
                "it needs name, in_channels, classes, patch and options",
            ) from None
        if revision != REVISIONS.get(spec.name, 1):
            raise UserError(
                f"these weights are of the network {spec.name} in its revision {revision}, and would answer"
                f" otherwise in revision {REVISIONS.get(spec.name, 1)}, which this version has",
                "train it again, or use the version that trained it",
            )
        return spec


@dataclass(frozen=True)
class Option:
    """One keyword of a builder."""

    kind: str  # its annotation, as written
    default: Any

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values that it may have, where its annotation lists them."""
        listed = re.fullmatch(r"Literal\[(.*)\]", self.kind)
        return ast.literal_eval(f"({listed[1]},)") if listed else ()


@dataclass(frozen=True)
class Description:
    """What can be said of a network without building it."""

    name: str
    summary: str
    options: Mapping[str, Option]


def names() -> list[str]:
    """The networks of this package, sorted."""
    return sorted(_own_builders())


def describe(name: str) -> Description:
    """A network's one-line summary and its options with their defaults; does not import torch."""
    file, function = _locate(name)
    return _described(name, builders(file)[function])


def build(spec: NetworkSpec) -> nn.Module:
    """The network that `spec` describes, with fresh weights. Raises UserError where it cannot be built."""
    _check_arguments(spec)
    builder = _function(spec.name)
    channels = spec.in_channels + len(spec.tissue_windows)
    try:
        network = builder(channels, spec.classes, tuple(spec.patch), **spec.options)
    except UserError:
        raise
    except (ValueError, AssertionError, RuntimeError) as error:  # a library's own refusal of a value
        cause = f"{spec.name} cannot be built with {dict(spec.options)}: {' '.join(str(error).split())}"
        raise UserError(cause, "change that option") from error
    if spec.tissue_windows:
        from .tissue_windows import TissueWindow, show_windows

        show_windows(network, [TissueWindow(*window) for window in spec.tissue_windows])
    return network


def divisor(spec: NetworkSpec) -> tuple[int, ...]:
    """What each axis of the patch must be a multiple of (1 where the network does not say)."""
    _check_arguments(spec)
    file, function = _locate(spec.name)
    rule = getattr(_module(file), f"{function}_divisor", None)
    return (1,) * len(spec.patch) if rule is None else tuple(rule(tuple(spec.patch), **spec.options))


def check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raises UserError for an option that the network has not, or a value of another kind."""
    known = describe(name).options
    for option, value in options.items():
        if option not in known:
            raise unknown(f"option of {name}", option, known)
        if not _fits(value, known[option].default):
            raise UserError(
                f"{name}: the option {option} is {value!r}, expected {known[option].kind}"
                + " above 0" * isinstance(known[option].default, tuple),
                f"its default is {known[option].default!r}",
            )
        if (choices := known[option].choices) and value not in choices:
            raise unknown(f"{option} of {name}", value, choices)


def _check_arguments(spec: NetworkSpec) -> None:
    check_options(spec.name, spec.options)
    for channel, low, high in spec.tissue_windows:
        if not (0 <= channel < spec.in_channels and low < high):
            raise UserError(
                f"{spec.name}: no window of channel {channel} from {low:g} to {high:g}",
                f"name one of {spec.in_channels} channels, from 0 on, and the lower end first",
            )
    if spec.in_channels < 1 or spec.classes < 1:
        raise UserError(
            f"{spec.name}: {spec.in_channels} modalities and {spec.classes} classes",
            "a segmentation network needs at least one modality, and two classes or one region",
        )
    if len(spec.patch) not in (2, 3) or min(spec.patch) < 1:
        raise UserError(f"{spec.name}: patch {list(spec.patch)}", "give 2 or 3 positive sizes in voxels")


def _fits(value: Any, default: Any) -> bool:
    """Whether `value` is of the default's kind; lists are of counts; a default of None says nothing."""
    if isinstance(default, tuple):
        return isinstance(value, (list, tuple)) and all(_fits(n, default[0]) and n > 0 for n in value)
    if isinstance(value, bool) or isinstance(default, bool):
        return default is None or (isinstance(value, bool) and isinstance(default, bool))
    return default is None or isinstance(value, (int, float) if isinstance(default, float) else type(default))


def _function(name: str) -> Callable[..., nn.Module]:
    file, function = _locate(name)
    builder: Callable[..., nn.Module] = getattr(_module(file), function)
    return builder


def _locate(name: str) -> tuple[Path, str]:
    """The file and function behind a name."""
    own = _own_builders()
    if name in own:
        return own[name], name
    path, colon, function = name.rpartition(":")
    if not colon or not path.endswith(".py"):
        raise unknown("network", name, [*own, "my_file.py:function"])
    file = Path(path)
    if not file.is_file():
        raise UserError(f"network {name!r}: there is no file {path}", "give the path of a Python file")
    found = builders(file)
    if function not in found:
        raise UserError(
            f"network {name!r}: {path} has no builder {function!r}; it has {', '.join(found) or 'none'}",
            "a builder is a function whose first parameters are in_channels, classes, patch",
        )
    return file, function


@cache
def _own_builders() -> dict[str, Path]:
    files = sorted(Path(__file__).parent.glob("*.py"))
    return {name: file for file in files for name in builders(file)}


def builders(file: Path) -> dict[str, ast.FunctionDef]:
    """The builders written in `file`, found without running it."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"), str(file))
    except SyntaxError as error:
        raise UserError(
            f"{file} is not valid Python (line {error.lineno}: {error.msg})", "repair it"
        ) from None
    functions = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]
    return {node.name: node for node in functions if [arg.arg for arg in node.args.args[:3]] == FIRST}


def _described(name: str, builder: ast.FunctionDef) -> Description:
    options = {
        arg.arg: Option(ast.unparse(arg.annotation) if arg.annotation else "Any", _default(arg, default))
        for arg, default in zip(builder.args.kwonlyargs, builder.args.kw_defaults, strict=True)
    }
    return Description(name, (ast.get_docstring(builder) or "").partition("\n")[0], options)


def _default(arg: ast.arg, default: ast.expr | None) -> Any:
    try:
        return None if default is None else ast.literal_eval(default)
    except ValueError:
        return ast.unparse(default) if default is not None else None


def _module(file: Path) -> ModuleType:
    if file.parent == Path(__file__).parent:
        return importlib.import_module(f".{file.stem}", __package__)
    return _foreign_module(file.resolve())


@cache
def _foreign_module(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options_from_text(name: str, texts: Sequence[str]) -> dict[str, Any]:
    """`["feature_size=24", "merging=2022"]` -> options; a value is a Python literal, or else text."""
    options: dict[str, Any] = {}
    known = describe(name).options
    for text in texts:
        option, equals, value = text.partition("=")
        if not equals:
            raise UserError(
                f"network option {text!r} has no value", "write option=value, such as dropout=0.1"
            )
        if option not in known:
            raise unknown(f"option of {name}", option, known)
        options[option] = _literal(value, as_text=isinstance(known[option].default, str))
    return options


def _literal(value: str, *, as_text: bool) -> Any:
    if as_text:
        return value
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
