"""What a field of a run's settings says of itself, once: its help, its bounds, what may stand in it.

    batch_size: Annotated[int, Setting("Patches in a step, over all devices.", least=1)] = 2

`check` holds every value to it, whether a recipe, a Python call or the command line gave it. The command line
makes its options of the same fields (`cli/settings.py`); a field without a `Setting` is none of them.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields
from numbers import Integral, Real
from typing import Any

from ..errors import UserError, unknown


@dataclass(frozen=True)
class Setting:
    """What is said of one field; bounds are inclusive, and None is free of them where the field allows it."""

    help: str = ""  # a sentence; "": the choices say it
    least: int | None = None
    most: int | None = None
    choices: Collection[str] = ()
    metavar: str | None = None  # on the command line, what stands for the value
    none: float | None = None  # there, the number that means None
    variable: str | None = None  # there, of the environment: what counts where the option is not given

    @property
    def told(self) -> str:
        """The sentence that the command line shows."""
        return self.help or one_of(self.choices)

    def holds(self, value: Any) -> bool:
        """Whether it is within the bounds; what is not a number is not."""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


@dataclass(frozen=True)
class SettingField:
    """A field that has a setting."""

    name: str
    kind: type  # int, float, str, or tuple (of whole numbers)
    optional: bool
    default: Any
    setting: Setting

    def check(self, value: object) -> None:
        """Raises UserError for a value of another kind, beyond the bounds, or none of the choices."""
        if value is None and self.optional:
            return
        setting, (kinds, _) = self.setting, _KINDS[self.kind]
        if not isinstance(value, kinds) or not setting.holds(value):
            raise UserError(f"{self.name} is {value!r}", f"give {self._wanted}")
        if setting.choices and value not in setting.choices:
            raise unknown(self.name.replace("_", " "), value, setting.choices)

    @property
    def _wanted(self) -> str:
        (_, word), least, most = _KINDS[self.kind], self.setting.least, self.setting.most
        if least is None:
            return word
        return f"{word} of at least {least}" if most is None else f"{word} from {least} to {most}"


_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    int: ((Integral,), "a whole number"),
    float: ((Real,), "a number"),
    str: ((str,), "a name"),
    tuple: ((tuple, list), "whole numbers"),
}


def setting_fields(of: type) -> tuple[SettingField, ...]:
    """The fields of a dataclass that have settings, in its order."""
    hints = typing.get_type_hints(of, include_extras=True)
    return tuple(
        SettingField(field.name, *_kind(hints[field.name].__origin__), field.default, setting)
        for field in fields(of)
        for setting in getattr(hints[field.name], "__metadata__", ())
    )


def check(settings: object) -> None:
    """Holds every field of a dataclass to its setting; see `SettingField.check`."""
    for field in setting_fields(type(settings)):
        field.check(getattr(settings, field.name))


def one_of(names: Iterable[str], *, end: str = ".") -> str:
    """ "auto, cpu or cuda." """
    *others, last = names
    return f"{', '.join(others)} or {last}{end}"


def _kind(annotation: Any) -> tuple[type, bool]:
    """`tuple[int, ...] | None` -> (tuple, True)."""
    parts = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    (kind,) = (part for part in parts if part is not types.NoneType)
    return typing.get_origin(kind) or kind, types.NoneType in parts
