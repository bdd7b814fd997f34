"""What an ONNX file refers to, read from its bytes: nothing is loaded, no package is needed.

The file is a Protocol Buffers message: fields of a number, a type and a value, some of which are messages
again. Two things in it reach out of it: files with the numbers of large tensors, and operators that a library
would have to bring. Both are found here, before an engine sees the file.

    ModelProto 7 graph, 8 opset_import, 25 functions      FunctionProto 7 node, 10 domain
    GraphProto 1 node, 5 initializer, 15 sparse_initializer
    NodeProto 5 attribute, 7 domain                       AttributeProto 5 t, 6 g, 10 tensors, 11 graphs
    TensorProto 13 external_data                          SparseTensorProto 1 values, 2 indices
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from ..errors import UserError

KNOWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")  # operators that engines bring themselves
_MOST_LEVELS = 32

# message -> number of a field -> the message in it
_MESSAGES = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "external"},
    "external": {},
}


@dataclass
class Reaches:
    """What a file reaches for."""

    files: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    own_domains: set[str] = field(default_factory=set)  # of functions that the file itself defines


def check_onnx(content: bytes, path: Path) -> list[Path]:
    """The files that an ONNX file has its numbers in. Raises `UserError` for one that is not whole, that
    reaches out of its folder, or that needs operators from elsewhere."""
    reaches = Reaches()
    try:
        _walk(memoryview(content), "model", reaches, 0)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no whole ONNX file ({error})", "copy or export it again") from None
    if strange := sorted(reaches.domains - reaches.own_domains - set(KNOWN_DOMAINS)):
        raise UserError(
            f"{path} needs operators of {strange[0]!r}, which only a library from elsewhere has",
            "export it with ONNX's own operators",
        )
    return [_beside(path, location) for location in sorted(reaches.files)]


def _beside(path: Path, location: str) -> Path:
    inside = PureWindowsPath(location)  # which knows both kinds of slash
    if inside.anchor or ".." in inside.parts or not location:
        raise UserError(
            f"{path} has numbers in {location!r}, which leads out of its folder",
            "no export does that: get it again from whom you trust",
        )
    file = path.parent / location
    if not file.is_file():
        raise UserError(f"{path} has numbers in {location}, which is not beside it", "copy that file too")
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise UserError(f"{path} has numbers in {location}, a link out of its folder", "copy the file itself")
    return file


def _walk(message: memoryview, kind: str, reaches: Reaches, level: int) -> None:
    if level > _MOST_LEVELS:
        raise ValueError("it is nested too deep")
    entry: dict[int, str] = {}
    for number, value in _fields(message):
        inner = _MESSAGES[kind].get(number)
        if inner is not None:
            if isinstance(value, int):
                raise ValueError(f"field {number} is a number")
            _walk(value, inner, reaches, level + 1)
        elif isinstance(value, memoryview):
            if kind == "external":
                entry[number] = bytes(value).decode()
            elif kind == "node" and number == 7:
                reaches.domains.add(bytes(value).decode())
            elif kind == "function" and number == 10:
                reaches.own_domains.add(bytes(value).decode())
    if kind == "external" and entry.get(1) == "location":
        reaches.files.add(entry.get(2, ""))


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of a message: its number, and its bytes or integer."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of type {kind} at byte {at}")
        if not number or at + size > len(message):
            raise ValueError(f"a field ends behind the file, at byte {at}")
        yield number, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError(f"it ends within a number, at byte {at}")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
