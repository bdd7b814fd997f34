"""Clusters that run already, by their address."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import small


@pytest.mark.parametrize("engine", ["dask", "ray"], indirect=True)
def test_a_cluster_that_is_not_there_is_one_line(
    engine: str, model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    said, command = tmp_path / "said", f"predict {model} {scans} {tmp_path / 'out'}"
    address = {"dask": "tcp://127.0.0.1:9", "ray": "auto"}[engine]
    assert small.submitting(engine, command, said, "--address", address).wait(120) == 2, said.read_text()
    assert f"answers at {address}" in said.read_text().splitlines()[-1]
