"""Descriptions of datasets, splits and tables whose text was changed are read or refused, naming the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import descriptions


@pytest.mark.parametrize("kind", descriptions.KINDS)
def test_read_or_refused(kind: str, tmp_path: Path) -> None:
    ends = list(descriptions.sweep(tmp_path / "data", kind))
    assert [end for end in ends if end[1] not in ("read", "refused")] == []
    assert sum(end == "refused" for _, end in ends) > descriptions.TRIES / 20
