"""A bundle's configuration read as data: literals and references to them, never an expression.

    "@a::b", "@a#b"            another entry; "@::b" a neighbour, "@::::b" one level further up
    "$@name.to(@device)"       the entry `name`: where it is computed is decided elsewhere
    "$...", "%file::id"        Python to be evaluated, text of other files: refused, naming the entry

Entries are looked at only where a teacher needs them: a bundle may hold whatever else it likes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import UserError

_MOST_BYTES = 2**22
_MOST_NODES, _MOST_LEVELS = 100_000, 64
_REFERENCE = re.compile(r"@((?:::)*)([\w\-. ]+(?:::[\w\-. ]+)*)")
_PLACED = re.compile(r"\$@([\w:#]+)\.to\(@[\w:#]+\)")
WAY_OUT = "let MONAI run it, and give its answers as files"
_EVERYWHERE = ("_target_", "_desc_", "_requires_", "_disabled_", "_mode_", "keys", "allow_missing_keys")


@dataclass(eq=False)
class Config:
    """One file of a bundle's configs."""

    name: str
    values: Mapping[str, Any]
    nodes: int = 0  # how many have been looked at: a small file may refer to itself without end

    def __contains__(self, key: str) -> bool:
        return key in self.values

    def __getitem__(self, key: str) -> Entry:
        return self.at(tuple(key.replace("#", "::").split("::")), ())

    def first(self, *keys: str) -> Entry | None:
        """The first of these entries that there is, followed."""
        return next((self[key].followed() for key in keys if key in self), None)

    def needed(self, what: str, *keys: str) -> Entry:
        """The same; raises `UserError` where there is none."""
        found = self.first(*keys)
        if found is None:
            raise UserError(
                f"{self.name} has no {what} ({' or '.join(keys)})", "is it a bundle that predicts?"
            )
        return found

    def at(self, path: tuple[str, ...], seen: tuple[str, ...]) -> Entry:
        """The entry at `path`; `seen` are the references that led there."""
        entry = Entry(self, (), self.values)
        for part in path:
            value = entry.followed(seen).raw
            where = "::".join((*entry.path, part))
            if isinstance(value, Mapping) and part in value:
                entry = Entry(self, (*entry.path, part), value[part])
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                entry = Entry(self, (*entry.path, part), value[int(part)])
            else:
                raise UserError(f"{self.name} has no entry {where!r}, and refers to it", "repair the bundle")
        return entry


@dataclass(frozen=True)
class Entry:
    """A value somewhere in a configuration, with the way to it."""

    config: Config
    path: tuple[str, ...]
    raw: Any = field(repr=False)

    @property
    def where(self) -> str:
        """What errors call it."""
        return f"{self.config.name}: {'::'.join(self.path)}"

    def followed(self, seen: tuple[str, ...] = ()) -> Entry:
        """What it refers to, if it refers; raises `UserError` for expressions, macros and circles."""
        self._count()
        raw = self.raw
        if not isinstance(raw, str):
            return self
        if placed := _PLACED.fullmatch(raw):
            raw = f"@{placed[1]}"
        if raw.startswith("$"):
            raise UserError(
                f"{self.where} is the expression {_short(raw)}, and reading it would run that", WAY_OUT
            )
        if raw.startswith("%"):
            raise UserError(f"{self.where} is the macro {_short(raw)}", "write what it stands for")
        reference = _REFERENCE.fullmatch(raw.replace("#", "::"))
        if reference is None:
            return self
        target = tuple(reference[2].split("::"))
        if up := len(reference[1]) // 2:
            target = (*self.path[:-up], *target)
        name = "::".join(target)
        if name in seen or len(seen) > _MOST_LEVELS:
            raise UserError(
                f"{self.where} refers to itself, by {' -> '.join((*seen[:4], name))}", "repair it"
            )
        return self.config.at(target, (*seen, name)).followed((*seen, name))

    def plain(self, level: int = 0) -> Any:
        """The value with every reference resolved: literals, lists, dictionaries."""
        found = self.followed()
        if level > _MOST_LEVELS:
            raise UserError(f"{self.where} is nested more than {_MOST_LEVELS} levels deep", "repair it")
        if isinstance(found.raw, Mapping):
            if "_target_" in found.raw:
                raise UserError(f"{self.where} is a {found.target}, a literal was expected", WAY_OUT)
            return {
                str(key): found.child(str(key), value).plain(level + 1) for key, value in found.raw.items()
            }
        if isinstance(found.raw, list):
            return [found.child(str(n), value).plain(level + 1) for n, value in enumerate(found.raw)]
        return found.raw

    def child(self, key: str, raw: Any) -> Entry:
        """The entry of this name below it."""
        return Entry(self.config, (*self.path, key), raw)

    def items(self) -> Iterator[Entry]:
        """The entries of a list; of anything else itself."""
        found = self.followed()
        if not isinstance(found.raw, list):
            yield found
            return
        for n, raw in enumerate(found.raw):
            yield found.child(str(n), raw).followed()

    @property
    def is_component(self) -> bool:
        """Whether it says of which class it is to be made."""
        return isinstance(self.raw, Mapping) and "_target_" in self.raw

    @property
    def disabled(self) -> bool:
        """Whether it says that it is to be passed over."""
        value = self.argument("_disabled_", False)
        return value.lower() == "true" if isinstance(value, str) else bool(value)

    @property
    def whole_target(self) -> str:
        """The class of a component, its module before it where that is said."""
        target = self.child("_target_", self.raw["_target_"]).followed().raw
        if not isinstance(target, str):
            raise UserError(f"{self.where}: _target_ is {_short(target)}", "name a class of MONAI")
        return target

    @property
    def target(self) -> str:
        """The class of a component, its last name; raises `UserError` for one that is not MONAI's."""
        target = self.whole_target
        package, _, name = target.rpartition(".")
        if package and package.partition(".")[0] != "monai":
            raise UserError(f"{self.where} is {target}, a script and no part of MONAI", WAY_OUT)
        mode = self.argument("_mode_", "default")
        if mode != "default":
            raise UserError(f"{self.where}: {name} is asked for in the mode {mode!r}", WAY_OUT)
        return name

    def argument(self, name: str, default: Any = None) -> Any:
        """An argument of a component, resolved; None counts as not given."""
        raw = self.raw.get(name)
        return default if raw is None else self.child(name, raw).plain()

    def only(self, used: Collection[str], without_effect: Collection[str] = ()) -> None:
        """Refuses arguments that are neither used here nor known to change nothing."""
        for name, raw in self.raw.items():
            if name in used or name in without_effect or name in _EVERYWHERE or raw is None:
                continue
            class_name = self.whole_target.rpartition(".")[2]
            raise UserError(
                f"{self.where}: {class_name} has the argument {str(name)!r}, which is not known here",
                WAY_OUT,
            )

    def _count(self) -> None:
        self.config.nodes += 1
        if self.config.nodes > _MOST_NODES:
            raise UserError(f"{self.config.name} refers to more than {_MOST_NODES:,} entries", "repair it")


def read_config(content: bytes, name: str) -> Config:
    """The configuration in a JSON or YAML file; raises `UserError`, naming it, where it is damaged."""
    if len(content) > _MOST_BYTES:
        raise UserError(f"{name} has {len(content):,} bytes", f"a configuration has at most {_MOST_BYTES:,}")
    try:
        text = content.decode("utf-8-sig")
        values = json.loads(text) if name.lower().endswith(".json") else _yaml(text, name)
    except json.JSONDecodeError as error:
        raise UserError(f"{name} is not valid JSON (line {error.lineno}: {error.msg})", "repair it") from None
    except UnicodeDecodeError:
        raise UserError(f"{name} is no text", "copy or download it again") from None
    except RecursionError:
        raise UserError(f"{name} is nested too deep", "repair it") from None
    if not isinstance(values, dict):
        raise UserError(f"{name} holds a {type(values).__name__}, an object was expected", "repair it")
    return Config(name, values)


def _yaml(text: str, name: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise UserError(f"{name} is YAML, which needs PyYAML", "pip install PyYAML") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        told = " ".join(str(error).split())[:160]
        raise UserError(f"{name} is not valid YAML, or more than data ({told})", "repair it") from None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 90 else text[:87] + "..."
