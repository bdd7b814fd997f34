"""TransBTS: the counts of its paper and code, and what its parts compute."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, feature_shapes, parameters
from distilseg.networks.count_thop import count_as_thop
from distilseg.networks.transbts import Transformer

from .known_weights import by_rule, with_known_weights

BRAIN = (128, 128, 128)
NEVER_RUN, LAST_NORM = 512 * 512 + 512, 2 * 512
SMALL: dict[str, Any] = {"filters": [4, 8, 8, 8], "hidden": 16, "mlp": 24, "layers": 2, "heads": 4}


def shapes_only(patch: tuple[int, ...] = BRAIN, **options: Any) -> nn.Module:
    with torch.device("meta"):
        return build(NetworkSpec("transbts", 4, 4, patch, options))


def test_as_published() -> None:
    """32,987,588 in the authors' code, `architectures.md`, section 2.9; the paper prints 32.99 million."""
    assert parameters(shapes_only()) == 32_987_588
    assert parameters(shapes_only(unused_layers=False)) == 32_987_588 - NEVER_RUN - LAST_NORM


def test_the_light_one_of_the_paper() -> None:
    """ "one layer and half of the hidden dimension": 15.14 million."""
    assert f"{parameters(shapes_only(layers=1, mlp=2048)) / 1e6:.2f}" == "15.14"


def test_counts_of_thop() -> None:
    """30.625 / 263.729: the last layer norm and the softmax are run there, and nothing here needs them."""
    network = shapes_only()
    count = count_as_thop(network, (1, 4, *BRAIN))
    norm_operations, softmax_operations = 4 * 16**3 * 512, 128**3 * (3 * 4 - 1)
    assert f"{(count.parameters + LAST_NORM) / 1e6:.3f}" == "30.625"
    assert f"{(count.multiply_accumulates + norm_operations + softmax_operations) / 1e9:.3f}" == "263.729"
    assert count == count_as_thop(shapes_only(unused_layers=False), (1, 4, *BRAIN))


def test_answers_as_the_authors_modules() -> None:
    """Logits of the authors' modules (github.com/Rubics-Xuan/TransBTS), transcribed, before their softmax.

    With half of their widths, and weights by the same rule.
    """
    options = {"filters": [8, 16, 32, 64], "hidden": 256, "mlp": 48, "layers": 2, "heads": 4}
    spec = NetworkSpec("transbts", 2, 3, (16, 24, 16), {**options, "unused_layers": False})
    network = with_known_weights(build(spec))
    with torch.no_grad():
        logits = network(4 * by_rule((1, 2, 16, 24, 16), 0))
    voxels = ((0, 0, 0, 0), (1, 3, 7, 5), (2, 8, 20, 11), (0, 15, 15, 15), (1, 12, 2, 9), (2, 5, 13, 4))
    found = torch.stack([logits[0][voxel] for voxel in voxels])
    expected = torch.tensor([0.56245, -2.68345, 0.6862, 0.87735, -1.48489, 0.99732])
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)


def test_what_is_unused_changes_nothing() -> None:
    made = []
    for unused in (True, False):
        torch.manual_seed(0)
        spec = NetworkSpec("transbts", 2, 3, (16, 16, 32), {**SMALL, "unused_layers": unused})
        made.append(build(spec).eval())
    image = torch.randn(1, 2, 16, 16, 32)
    answers = made[0](image), made[1](image)
    assert torch.equal(*answers)
    answers[0].sum().backward()
    left = {name.partition(".")[0] for name, weight in made[0].named_parameters() if weight.grad is None}
    assert left == {"unused"}


def test_it_is_missu_without_fusion() -> None:
    """The same weights give the same answer."""
    image = torch.randn(1, 2, 16, 16, 16)
    transbts = build(NetworkSpec("transbts", 2, 3, (16,) * 3, {**SMALL, "unused_layers": False})).eval()
    missu = build(NetworkSpec("missu", 2, 3, (16,) * 3, {**SMALL, "fusion": "never"})).eval()
    missu.load_state_dict(transbts.state_dict())
    assert torch.equal(transbts(image), missu(image))


@pytest.mark.parametrize("patch", [(32, 16, 16), (32, 16)])
def test_feature_shapes(patch: tuple[int, ...]) -> None:
    expected = {
        f"{side}.{i}": (1, 16 << i, *(size >> i for size in patch))
        for side in ("encoder", "decoder")
        for i in range(3)
    }
    expected["bottleneck"] = (1, 512, *(size // 8 for size in patch))
    assert feature_shapes(shapes_only(patch), (1, 4, *patch)) == expected


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16)])
@pytest.mark.parametrize("when", ["training", "always"])
def test_when_the_first_maps_are_dropped(patch: tuple[int, ...], when: str) -> None:
    torch.manual_seed(0)
    network = build(NetworkSpec("transbts", 1, 2, patch, {**SMALL, "first_dropout": when})).eval()
    image = torch.randn(1, 1, *patch)
    with torch.no_grad():
        first = network.get_submodule("down.0")
        whole = first.get_submodule("0")(image)
        seen = torch.cat([first(image) for _ in range(50)])
    dropped = (seen == 0).flatten(2).all(2)
    kept = seen[~dropped] / whole.expand_as(seen)[~dropped]
    assert dropped.any() == (when == "always")
    torch.testing.assert_close(kept, torch.full_like(kept, 1.25 if when == "always" else 1.0))
    if when == "always":
        assert 0.1 < dropped.float().mean() < 0.3


def test_a_token_sees_all_others_and_its_position() -> None:
    torch.manual_seed(0)
    transformer = Transformer((16, 32), 8, 12, 2, 4, 0.0).eval()
    with torch.no_grad():
        map_BCs = torch.randn(1, 8, 2, 4)
        other = map_BCs.clone()
        other[..., 0, 0] += torch.randn(1, 8)
        assert ((transformer(map_BCs) - transformer(other)).abs().amax(1) > 0).all()
        # Without a position, tokens are a set: what is swapped comes out swapped.
        swapped = map_BCs.flip(3)
        torch.testing.assert_close(transformer(swapped), transformer(map_BCs).flip(3))
        nn.init.normal_(transformer.position)
        assert not torch.allclose(transformer(swapped), transformer(map_BCs).flip(3), atol=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_dropout": "never"}, "unknown first_dropout of transbts 'never'"),
        ({"filters": [8, 16, 32]}, "transbts: 3 filter counts; give 4, one per level"),
        ({"hidden": 100}, "transbts: 4 layers, 8 heads, hidden 100 and mlp 4096; give at least 1 each"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(NetworkSpec("transbts", 1, 2, (16, 16), options))
    assert message in str(caught.value)
