"""Readable JSON is JSON, and keeps short things on one line."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from distilseg.data.readable import readable_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_it_reads_back(value: Any) -> None:
    assert json.loads(readable_json(value)) == value


def test_how_it_looks() -> None:
    value = {
        "patch": [32, 48, 32],
        "empty": {},
        "long": ["x" * 60, "y" * 60],
        "inner": {"a": {"kind": "none"}},
    }
    assert readable_json(value).splitlines() == [
        "{",
        '  "patch": [32, 48, 32],',
        '  "empty": {},',
        '  "long": [',
        f'    "{"x" * 60}",',
        f'    "{"y" * 60}"',
        "  ],",
        '  "inner": {',
        '    "a": {"kind": "none"}',
        "  }",
        "}",
    ]
