"""Every network keeps one contract: features by name, measured sizes, gradients, a description."""

from __future__ import annotations

from typing import Any

import pytest

from distilseg.networks import NetworkSpec, names
from distilseg.testing import check_network

SMALL: dict[str, dict[str, Any]] = {
    "ahnet": {},
    "attention_unet": {"filters": [4, 8, 8, 8, 8]},
    "basic_unet": {"filters": [4, 4, 8, 8, 8, 4]},
    "dynunet": {"filters": [4, 8, 8, 8, 8]},
    "segresnet": {},
    "swin_unetr": {"merging": "2022"},
    "unet": {"filters": [4, 8, 8, 8, 8]},
    "unetr": {"feature_size": 4, "hidden": 24, "heads": 4, "mlp": 48},
    "vnet": {},
}
DIVIDED_BY_32 = {"ahnet", "swin_unetr"}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", names())
def test_contract(name: str, dims: int) -> None:
    patch = (64, 32, 32)[:dims] if name in DIVIDED_BY_32 else (32,) * dims
    check_network(NetworkSpec(name, 2, 3, patch, SMALL[name]))


def test_contract_with_anisotropic_strides() -> None:
    check_network(NetworkSpec("dynunet", 1, 2, (32, 32, 8), {"filters": [4, 4, 4, 4], "norm": "batch"}))
