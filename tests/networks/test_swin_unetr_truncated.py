"""Swin UNETR that ends at stride 16: its published sizes, its features, and the stage that nothing reads."""

from __future__ import annotations

import pytest
import torch

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, feature_shapes, parameters

VOLUME, SLICE = (144, 144, 144), (384, 384)


@pytest.mark.parametrize(
    ("name", "patch", "size", "count"),
    [  # `architectures.md`, section 2.1: two modalities in 3D, three in 2D
        ("swin_unetr_truncated", VOLUME, 24, 5_584_700),
        ("swin_unetr_light", VOLUME, 12, 1_548_704),
        ("swin_unetr_truncated", SLICE, 48, 11_057_276),
        ("swin_unetr_light", SLICE, 24, 2_782_388),
    ],
)
def test_published_sizes(name: str, patch: tuple[int, ...], size: int, count: int) -> None:
    """The bottleneck, 8 f channels, is at stride 16; the finest feature, f, at full resolution."""
    modalities = 2 if patch is VOLUME else 3
    network = build(NetworkSpec(name, modalities, 2, patch))
    assert parameters(network) == count
    expected = {
        f"{side}.{level}": (1, size * times, *(axis >> level for axis in patch))
        for side in ("encoder", "decoder")
        for level, times in enumerate((1, 1, 2, 4))
    }
    expected["bottleneck"] = (1, 8 * size, *(axis >> 4 for axis in patch))
    assert feature_shapes(network, (1, modalities, *patch)) == expected


@pytest.mark.parametrize("patch", [(48, 32), (32, 48, 32)])
def test_nothing_reads_the_last_stage(patch: tuple[int, ...]) -> None:
    """Without it there are fewer weights and the same logits; multiples of 16 need not be of 32."""
    whole = build(NetworkSpec("swin_unetr_light", 1, 2, patch, {"feature_size": 12})).eval()
    lean = build(NetworkSpec("swin_unetr_light", 1, 2, patch, {"feature_size": 12, "unused_stage": False}))
    left = lean.load_state_dict(whole.state_dict(), strict=False)
    assert left.missing_keys == []
    assert {key.split(".")[1] for key in left.unexpected_keys} == {"layers4"}
    assert parameters(lean) < 0.8 * parameters(whole)
    image = torch.randn(1, 1, *patch)
    with torch.no_grad():
        assert torch.equal(lean.eval()(image), whole(image))


def test_its_features_are_multiples_of_twelve() -> None:
    with pytest.raises(UserError, match="give a multiple of 12"):
        build(NetworkSpec("swin_unetr_light", 1, 2, (32, 32), {"feature_size": 20}))
