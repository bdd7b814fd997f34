"""The table behind `distilseg networks`."""

from __future__ import annotations

from distilseg.networks import NetworkSpec, build, multiply_accumulates, names, network_table, parameters


def test_table() -> None:
    rows = {row.name: row for row in network_table((32, 32, 32), 1, 3)}
    assert list(rows) == names()
    assert all(row.summary for row in rows.values())
    one_only = {row.name: row.dims for row in rows.values() if row.dims != "2D, 3D"}
    assert one_only == {
        "cotr": "3D",
        "deeplab_v3": "2D",
        "deeplab_v3_plus": "2D",
        "mdvit": "2D",
        "missformer": "2D",
        "swin_unet": "2D",
        "unest": "3D",
    }

    row, network = rows["dynunet"], build(NetworkSpec("dynunet", 1, 3, (32, 32, 32)))
    assert row.parameters == parameters(network) == 5_686_771
    assert row.gmacs == multiply_accumulates(network, (1, 1, 32, 32, 32)) / 1e9
    assert row.constraint == "patch a multiple of 16x16x16"

    refused = rows["swin_unetr"]
    assert refused.parameters is None
    assert refused.gmacs is None
    assert "bottleneck of one voxel" in refused.constraint
