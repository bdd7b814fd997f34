"""`distilseg networks` with both ways to count, and with a network's options."""

from __future__ import annotations

import pytest

from distilseg import commands
from distilseg.cli import main

SMALL = "ux_net --patch 32,32 --modalities 2 --network-option features=[4,4,8,8]"


def test_counted_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks", *SMALL.split()]) == 0
    plain = capsys.readouterr().out
    assert main(["networks", *SMALL.split(), "--count", "thop"]) == 0
    counted = capsys.readouterr().out
    (row,) = commands.networks(
        "ux_net", patch=(32, 32), modalities=2, network_options={"features": [4, 4, 8, 8]}, count="thop"
    )
    assert row.thop is not None
    assert row.parameters != row.thop.parameters
    assert f"{row.parameters:,}" in plain
    assert f"{row.parameters:,}" in counted
    assert f"{row.thop.parameters:,}" in counted
    assert "thop" not in plain
    assert "transposed convolutions too high" in counted


def test_every_network_is_counted_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """One that cannot take the patch has a dash in every column of numbers."""
    assert main(["networks", "--patch", "32,32", "--count", "thop"]) == 0
    (refused,) = [line for line in capsys.readouterr().out.splitlines() if "swin_unetr " in line]
    assert refused.count("–") == 4


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks", "unet", "--count", "fvcore"]) == 2
    assert "unknown way to count 'fvcore'" in capsys.readouterr().err
    assert main(["networks", "--network-option", "hidden=8"]) == 2
    assert "network options without a network" in capsys.readouterr().err
    assert main(["networks", "ux_net", "--network-option", "hiden=8"]) == 2
    assert "unknown option of ux_net 'hiden'" in capsys.readouterr().err
    (row,) = commands.networks("ux_net", network_options={"depths": [2]}, count="thop")
    assert row.thop is None
    assert "4 feature counts and 1 depths" in row.constraint
