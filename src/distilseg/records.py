"""What a JSON file of ours holds: fields described once, looked at in a moment, by pydantic where in doubt.

    @dataclass(frozen=True, kw_only=True)
    class Normalisation(Record):
        kind: Literal["zscore", "none"]
        std: Annotated[float, Limits(gt=0)] | None = None

A file as we write it fits its fields, which a look at each value tells. Whatever does not is given to
pydantic, which is told of the same fields: it converts what can be ("3" to 3), and has words for the rest,
its `ValidationError`. It is imported then and not before: that takes as long as predicting a small scan.
Methods are called as pydantic's are.
"""

from __future__ import annotations

import copy
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache, partial
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin

T = TypeVar("T")
R = TypeVar("R", bound="Record")
Check = Callable[[Any], Any]  # a value as its field holds it; raises _Doubt, or ValueError

_LARGEST = 2**53  # of whole numbers that are not asked about


class _Doubt(Exception):
    """What only pydantic can judge."""


@dataclass(frozen=True, eq=False)
class Record:
    """The base of such objects: frozen dataclasses, whose values are held to their fields' types."""

    def __post_init__(self) -> None:
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        try:
            self._set(_looked_at(type(self), given))
            self.check()
        except (_Doubt, ValueError):
            self._set(vars(_asked(type(self), given)))

    def check(self) -> None:
        """Raises ValueError where fields do not go together."""

    @classmethod
    def model_validate(cls, value: Any) -> Self:
        """The record that an object of JSON spells; raises pydantic's `ValidationError`."""
        try:
            return _made(cls, value)
        except (_Doubt, ValueError):
            return _asked(cls, value)

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """The same but for these fields, which are taken as they are."""
        made = copy.copy(self)
        made._set(update)
        return made

    def model_dump(self, *, mode: Literal["python", "json"] = "python", exclude_none: bool = False) -> Any:
        """Values by field, of records in it too; `mode` "json": as JSON has them, lists and keys of text."""
        return {
            field.name: _plain(value, mode, exclude_none)
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None or not exclude_none
        }

    def model_dump_json(self, *, exclude_none: bool = False) -> str:
        """The same as JSON."""
        return json.dumps(self.model_dump(mode="json", exclude_none=exclude_none), ensure_ascii=False)

    def _set(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """How pydantic's own models hold one."""
        from pydantic_core import PydanticSerializationUnexpectedValue, core_schema

        def judged(value: Any, model: Any) -> Any:
            return value if isinstance(value, cls) else _of_model(cls, model(value))

        def dumped(value: Any, info: Any) -> Any:
            if not isinstance(value, cls):
                raise PydanticSerializationUnexpectedValue(f"no {cls.__name__}")
            return value.model_dump(mode=info.mode, exclude_none=info.exclude_none)

        return core_schema.no_info_wrap_validator_function(
            judged,
            handler.generate_schema(_model(cls)),
            serialization=core_schema.plain_serializer_function_ser_schema(dumped, info_arg=True),
        )


class Limits:
    """Of a number, and `min_length` of a list: what a field's type is annotated with.

    `gt`, `ge`, `lt` as in mathematics; `allow_inf_nan` False: finite.
    """

    def __init__(self, **limits: Any) -> None:
        self._limits = limits

    def check(self, value: Any) -> Any:
        """The value; raises _Doubt where it is beyond."""
        for name, limit in self._limits.items():
            if not _WITHIN[name](value, limit):
                raise _Doubt
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), **self._limits}


_WITHIN: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": lambda value, limit: value > limit,
    "ge": lambda value, limit: value >= limit,
    "lt": lambda value, limit: value < limit,
    "min_length": lambda value, limit: len(value) >= limit,
    "allow_inf_nan": lambda value, limit: limit or math.isfinite(value),
}


class Checked:
    """A function that has the last word on a value: it returns it, or raises ValueError."""

    def __init__(self, check: Check) -> None:
        self.check = check

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))


def first_misfit(error: Exception) -> Mapping[str, Any] | None:
    """The first that pydantic found, with its type, loc, msg and input; None if the error is no such one."""
    found = getattr(error, "errors", None)
    return found()[0] if callable(found) else None


def _made(cls: type[R], value: Any) -> R:
    """The record of an object of JSON that fits its fields; raises _Doubt, or ValueError."""
    made = object.__new__(cls)
    made._set(_looked_at(cls, value))
    made.check()
    return made


def _looked_at(cls: type[Record], value: Any) -> dict[str, Any]:
    checks, defaults = _checks(cls), _defaults(cls)
    if type(value) is not dict or not value.keys() <= checks.keys():
        raise _Doubt
    found = {}
    for name, check in checks.items():
        if name in value:
            found[name] = check(value[name])
        elif name in defaults:
            found[name] = defaults[name]()
        else:
            raise _Doubt
    return found


def _once(make: Callable[[type[Record]], T]) -> Callable[[type[Record]], T]:
    return cache(make)  # type: ignore[return-value]  # classes are hashable, whatever their objects are


@_once
def _hints(cls: type[Record]) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


@_once
def _checks(cls: type[Record]) -> dict[str, Check]:
    return {field.name: _check_of(_hints(cls)[field.name]) for field in fields(cls)}


@_once
def _defaults(cls: type[Record]) -> dict[str, Callable[[], Any]]:
    found: dict[str, Callable[[], Any]] = {}
    for field in fields(cls):
        if field.default_factory is not MISSING:
            found[field.name] = field.default_factory
        elif field.default is not MISSING:
            found[field.name] = partial(_same, field.default)
    return found


def _same(value: Any) -> Any:
    return value


def _check_of(hint: Any) -> Check:
    """What a look at a value of this type is."""
    kind, of = get_origin(hint), get_args(hint)
    if kind is Annotated:
        inner, marks = _check_of(of[0]), [mark.check for mark in of[1:]]
        return lambda value: _each_in_turn(marks, inner(value))
    if kind is Literal:
        return lambda value: value if type(value) in map(type, of) and value in of else _doubt()
    if kind is tuple and of[1:] == (...,):
        inner = _check_of(of[0])
        return lambda value: tuple(map(inner, _of_type(value, list, tuple)))
    if kind is tuple:
        each = [_check_of(one) for one in of]
        return lambda value: _pairwise(each, _of_type(value, list, tuple))
    if kind is dict:
        key, inner = _key_of(of[0]), _check_of(of[1])
        return lambda value: {key(k): inner(v) for k, v in _of_type(value, dict).items()}
    if kind in (Union, types.UnionType) and len(of) == 2 and of[1] is types.NoneType:
        inner = _check_of(of[0])
        return lambda value: None if value is None else inner(value)
    if isinstance(hint, type) and issubclass(hint, Record):
        return lambda value: value if isinstance(value, hint) else _made(hint, value)
    return _PLAIN[hint]


def _each_in_turn(checks: list[Check], value: Any) -> Any:
    for check in checks:
        value = check(value)
    return value


def _pairwise(checks: list[Check], values: Any) -> tuple[Any, ...]:
    if len(values) != len(checks):
        raise _Doubt
    return tuple(check(value) for check, value in zip(checks, values, strict=True))


def _doubt() -> Any:
    raise _Doubt


def _of_type(value: Any, *types: type) -> Any:
    return value if type(value) in types else _doubt()


def _text(value: Any) -> Any:
    if type(value) is not str:
        raise _Doubt
    if not value.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise _Doubt  # half a sign is no text
    return value


def _whole(value: Any) -> Any:
    return value if type(value) is int and abs(value) < _LARGEST else _doubt()


def _number(value: Any) -> Any:
    if type(value) is not float:
        value = float(_whole(value))
    return value if math.isfinite(value) else _doubt()


_PLAIN: Mapping[Any, Check] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: lambda value: _of_type(value, bool),
    Any: _same,
}


def _key_of(hint: Any) -> Check:
    """Keys in JSON are text, of numbers too."""
    check = _check_of(hint)
    if hint is not int:
        return check

    def number(key: Any) -> Any:
        if type(key) is str and (not key.isascii() or not key.isdigit() or str(int(key[:20])) != key):
            raise _Doubt
        return check(int(key) if type(key) is str else key)

    return number


def _asked(cls: type[R], value: Any) -> R:
    """What pydantic makes of a value; raises its `ValidationError`."""
    return _of_model(cls, _model(cls).model_validate(value))


def _of_model(cls: type[R], model: Any) -> R:
    made = object.__new__(cls)
    made._set({field.name: getattr(model, field.name) for field in fields(cls)})
    return made


@_once
def _model(cls: type[Record]) -> Any:
    """A model of pydantic's with the same fields, and the same last word."""
    from pydantic import ConfigDict, Field, create_model, model_validator

    def check(model: Any) -> Any:
        cls.check(model)
        return model

    last: dict[str, Any] = {"check": model_validator(mode="after")(check)}
    described: dict[str, Any] = {}
    for field in fields(cls):
        if field.default_factory is not MISSING:
            default: Any = Field(default_factory=field.default_factory)
        else:
            default = ... if field.default is MISSING else field.default
        described[field.name] = (_hints(cls)[field.name], default)
    return create_model(
        cls.__name__,
        __config__=ConfigDict(frozen=True, extra="forbid"),
        __validators__=last,
        **described,
    )


def _plain(value: Any, mode: Literal["python", "json"], exclude_none: bool) -> Any:
    if isinstance(value, Record):
        return value.model_dump(mode=mode, exclude_none=exclude_none)
    if isinstance(value, dict):
        key: Callable[[Any], Any] = str if mode == "json" else lambda name: name
        return {key(name): _plain(one, mode, exclude_none) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        kind = list if mode == "json" else type(value)
        return kind(_plain(one, mode, exclude_none) for one in value)
    return value
