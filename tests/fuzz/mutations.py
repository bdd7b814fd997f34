"""Sound files made unsound, the same ones every time: what a reader of strangers' files may meet.

    mutated(content, rng)       bytes: bits and words changed, parts lost, doubled or moved, numbers in text
    mutated_json(value, rng)    JSON's text: another kind of value, a key lost or doubled, depth, no UTF-8

Both take a `random.Random`, so that a seed and a number name an input.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

HEADER = 512  # bytes at the start, where most changes fall: behind them voxels are just voxels
NUMBERS = (
    *(b"0", b"-1", b"1", b"3", b"65536", b"2147483648", b"99999999999999999999", b"1e308", b"1e-308"),
    *(b"nan", b"inf", b"-inf", b"0x10", b"%d", b"", b"\xff\xfe", b"/dev/zero", b"LIST", b"../x"),
)
_NUMBER = re.compile(rb"[-+]?\d+(\.\d*)?(e[-+]?\d+)?")
_WORDS = (
    *(struct.pack(order + "h", value) for order in "<>" for value in (-1, 0, 1, 7, 255, 32767, -32768)),
    *(struct.pack(order + "i", value) for order in "<>" for value in (-1, 0, 2**31 - 1, -(2**31))),
    *(struct.pack("<f", value) for value in (0.0, -1.0, 1e38, 1e-38, float("nan"), float("inf"))),
    *(struct.pack("<q", value) for value in (-1, 2**62)),
)


def mutated(content: bytes, rng: Random) -> bytes:
    """`content` after one to four changes."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(_CHANGES)(content, rng)
    return content


def _place(content: bytes, rng: Random) -> int:
    return rng.randrange(max(1, min(HEADER, len(content)) if rng.random() < 0.8 else len(content)))


def _flip(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return (
        content[:at]
        + bytes([byte ^ 1 << rng.randrange(8) for byte in content[at : at + 1]])
        + content[at + 1 :]
    )


def _word(content: bytes, rng: Random) -> bytes:
    at, word = _place(content, rng), rng.choice(_WORDS)
    return content[:at] + word + content[at + len(word) :]


def _cut_short(content: bytes, rng: Random) -> bytes:
    return content[: _place(content, rng)]


def _lose(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.randint(1, 64) :]


def _double(content: bytes, rng: Random) -> bytes:
    at, size = _place(content, rng), rng.randint(1, 64)
    return content[: at + size] + content[at : at + size] + content[at + size :]


def _noise(content: bytes, rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.randbytes(rng.randint(1, 64)) + content[at:]


def _number(content: bytes, rng: Random) -> bytes:
    """Another number, or something else, where the text of the header has one."""
    found = list(_NUMBER.finditer(content[:HEADER]))
    if not found:
        return _word(content, rng)
    chosen = rng.choice(found)
    return content[: chosen.start()] + rng.choice(NUMBERS) + content[chosen.end() :]


def _line(content: bytes, rng: Random) -> bytes:
    """A line of the header lost, doubled, or moved to the front."""
    lines = content[:HEADER].splitlines(keepends=True)
    if not lines:
        return content
    at = rng.randrange(len(lines))
    rest = [*lines[:at], *lines[at + 1 :]]
    kept = rng.choice((rest, [*lines[: at + 1], *lines[at:]], [lines[at], *rest]))
    return b"".join(kept) + content[HEADER:]


_CHANGES: tuple[Callable[[bytes, Random], bytes], ...] = (
    *(_flip, _word, _number, _number, _line),  # those that get past a reader's first look are more frequent
    *(_flip, _word, _cut_short, _lose, _double, _noise),
)

DEPTH = 100_000  # of lists within one another: more than any parser's stack
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1e308, 10**40, float("nan"), float("inf"), "", "x", "../x", "\x1b[31m", "\ud800"),
    *([], [[]], {}, {"": {}}, ["a"] * 300),
)


def mutated_json(value: Any, rng: Random) -> bytes:
    """The text of `value` after a change of its tree or of its bytes."""
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(
            (b"", b"[" * DEPTH, b'{"a":' * DEPTH, b"\xff\xfe\x00", b"null", b"[]", b'"text"', b"9" * 5000)
        )
    if kind < 0.25:
        return mutated(json.dumps(value).encode(), rng)
    copy = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        holders = list(_holders(copy))
        if not holders:
            break
        holder, key = rng.choice(holders)
        if rng.random() < 0.25:
            del holder[key]
        else:
            holder[key] = deepcopy(rng.choice(VALUES))
    return json.dumps(copy).encode()


def _holders(value: Any) -> Any:
    """Each place in the tree: its list or object, and where in it."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _holders(value[key])
