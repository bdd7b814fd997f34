"""JSON for people: whatever fits on one line stays on one line, so that a list of numbers reads as one."""

from __future__ import annotations

import json
from typing import Any

_WIDTH = 100


def readable_json(value: Any, indent: str = "") -> str:
    """`value` as JSON; lists and objects are broken into lines only where they are longer than 100 characters
    or hold another object."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH and not _holds_object(value):
        return line
    inner = indent + "  "
    if isinstance(value, dict) and value:
        lines = [
            f"{inner}{json.dumps(key, ensure_ascii=False)}: {readable_json(v, inner)}"
            for key, v in value.items()
        ]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"{inner}{readable_json(v, inner)}" for v in value) + f"\n{indent}]"
    return line


def _holds_object(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(inner, dict) for inner in value.values())
    return isinstance(value, list) and any(isinstance(inner, dict) for inner in value)
