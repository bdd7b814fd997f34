"""Names and options are found without torch; a description builds the network and survives JSON."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, describe, divisor, names, options_from_text
from distilseg.networks.build import _function

MINE = '''
from torch import nn
from torch.nn import Conv2d

def tiny(in_channels, classes, patch, *, width: int = 4, kind="plain"):
    """A single convolution."""
    return Conv2d(in_channels, classes, width - 1, padding="same")

def tiny_divisor(patch, **others):
    return (7,) * len(patch)

def helper(in_channels, patch):
    raise AssertionError
'''


@pytest.fixture
def mine(tmp_path: Path) -> str:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return f"{file}:tiny"


def test_names() -> None:
    of_monai = "ahnet attention_unet basic_unet dynunet segresnet swin_unetr unet unetr vnet"
    of_papers = (
        "cotr deeplab_v3 deeplab_v3_plus h_denseformer h_denseformer_light kd_net mdvit missformer missu"
        " swin_unet swin_unetr_light swin_unetr_truncated thickened transbts u_hemis u_hved unest ux_net"
    )
    for_cpus = "student_base student_small student_tiny"
    of_nnunet = "plain_conv_unet residual_encoder_unet"
    assert names() == sorted(f"{of_monai} {of_papers} {for_cpus} {of_nnunet}".split())


@pytest.mark.parametrize("name", names())
def test_descriptions_equal_the_signatures(name: str) -> None:
    signature = inspect.signature(_function(name))
    keywords = {p.name: p for p in signature.parameters.values() if p.kind is p.KEYWORD_ONLY}
    described = describe(name)
    assert {n: o.default for n, o in described.options.items()} == {n: p.default for n, p in keywords.items()}
    assert [o.kind for o in described.options.values()] == [
        p.annotation.replace('"', "'") for p in keywords.values()
    ]
    assert described.summary.endswith(".")


def test_names_and_options_do_not_import_torch() -> None:
    code = (
        "import sys; from distilseg.networks import names, describe, NetworkSpec;"
        " [describe(n) for n in names()]; assert not {'torch', 'monai', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    from distilseg import networks

    assert all(hasattr(networks, name) for name in networks.__all__)
    assert set(networks._HEAVY) < set(networks.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = networks.nonsense


def test_a_description_survives_json() -> None:
    spec = NetworkSpec("dynunet", 2, 3, (16, 16), {"filters": (4, 8, 8), "strides": ((1, 1), (2, 2), (2, 1))})
    again = NetworkSpec.from_dict(json.loads(json.dumps(spec.to_dict())))
    assert again.to_dict() == spec.to_dict()
    assert [w.shape for w in build(again).parameters()] == [w.shape for w in build(spec).parameters()]


def test_the_same_seed_gives_the_same_weights() -> None:
    spec = NetworkSpec("unet", 1, 2, (16, 16), {"filters": [4, 8, 8]})
    torch.manual_seed(3)
    first = build(spec)
    torch.manual_seed(3)
    second = build(spec)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_filters_are_cut_to_the_levels() -> None:
    network = build(NetworkSpec("dynunet", 1, 2, (8, 8, 8)))
    assert network.filters == [16, 32, 64]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            NetworkSpec("dynunett", 1, 2, (16, 16)),
            "unknown network 'dynunett'; did you mean 'dynunet', 'unet' or 'unetr'?",
        ),
        (
            NetworkSpec("dynunet", 1, 2, (16, 16), {"filter": [4]}),
            "unknown option of dynunet 'filter'; did you",
        ),
        (NetworkSpec("dynunet", 0, 2, (16, 16)), "0 modalities"),
        (NetworkSpec("dynunet", 1, 0, (16, 16)), "two classes or one region"),
        (NetworkSpec("dynunet", 1, 2, (16,)), "2 or 3 positive sizes"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"norm": "layer"}), "unknown norm of dynunet 'layer'"),
        (NetworkSpec("swin_unetr", 1, 2, (64, 64), {"merging": "v3"}), "unknown merging of swin_unetr 'v3'"),
        (NetworkSpec("swin_unetr", 1, 2, (64, 64), {"feature_size": 16}), "multiple of 12"),
        (NetworkSpec("unetr", 1, 2, (64, 64), {"heads": 5}), "768 is no multiple of 5 heads"),
        (NetworkSpec("unetr", 1, 2, (64, 64), {"projection": "mlp"}), "unknown projection of unetr 'mlp'"),
        (NetworkSpec("vnet", 3, 2, (32, 32)), "vnet cannot take 3 modalities"),
        (NetworkSpec("vnet", 2, 2, (32, 32), {"width": 5}), "to 5 channels"),
        (NetworkSpec("vnet", 2, 2, (32, 32), {"width": 0}), "vnet cannot have a width of 0"),
        (NetworkSpec("basic_unet", 1, 2, (32, 32), {"filters": [4, 4]}), "give six"),
        (NetworkSpec("segresnet", 1, 2, (32, 32), {"filters": 12}), "multiple of 8"),
        (NetworkSpec("segresnet", 1, 2, (32, 32), {"blocks_up": [1]}), "one entry fewer"),
        (NetworkSpec("ahnet", 1, 2, (64, 64), {"pyramid": 5}), "0 to 4"),
        (NetworkSpec("nowhere.py:net", 1, 2, (16, 16)), "there is no file nowhere.py"),
        (
            NetworkSpec("dynunet", 1, 2, (16, 16), {"filters": 16}),
            "filters is 16, expected Sequence[int] above 0; its",
        ),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"filters": [8, "x"]}), "filters is [8, 'x'], expected"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"filters": [4, 8]}), "2 filter counts; give at least 3"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"residual": 1}), "residual is 1, expected bool"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"kernel": True}), "kernel is True, expected int"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"strides": 2}), "strides 2 do not fit a patch of 2 axes"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"strides": [1, "2", 2]}), "do not fit a patch of 2 axes"),
        (NetworkSpec("dynunet", 1, 2, (16, 16), {"strides": []}), "0 strides, but the filters allow 3 to 5"),
        (
            NetworkSpec("dynunet", 1, 2, (16, 16), {"dropout": 3}),
            "dynunet cannot be built with {'dropout': 3}: ",
        ),
        (NetworkSpec("unet", 1, 2, (16, 16), {"dropout": "x"}), "dropout is 'x', expected float"),
        (
            NetworkSpec("swin_unetr_truncated", 1, 2, (64, 64, 64), {"merging": "2021"}),
            "unknown merging of swin_unetr_truncated '2021'; did you mean '2022'?",
        ),
    ],
)
def test_mistakes(spec: NetworkSpec, message: str) -> None:
    with pytest.raises(UserError) as caught:
        build(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [{}, {"name": "unet", "in_channels": "x", "classes": 2, "patch": [8]}, {"name": "unet", "patch": 3}],
)
def test_no_description(values: dict) -> None:
    with pytest.raises(UserError, match="no description of a network"):
        NetworkSpec.from_dict(values)


def test_a_network_in_a_file_of_ones_own(mine: str) -> None:
    network = build(NetworkSpec(mine, 1, 2, (14, 14), {"width": 6}))
    assert isinstance(network, nn.Conv2d)
    assert network.kernel_size == (5, 5)
    described = describe(mine)
    assert described.summary == "A single convolution."
    assert {name: option.default for name, option in described.options.items()} == {
        "width": 4,
        "kind": "plain",
    }
    assert divisor(NetworkSpec(mine, 1, 2, (14, 14))) == (7, 7)


def test_a_wrong_function_in_a_file(mine: str, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"has no builder 'helper'; it has tiny; a builder is a function whose"
    ):
        build(NetworkSpec(mine.replace(":tiny", ":helper"), 1, 2, (14, 14)))
    broken = tmp_path / "broken.py"
    broken.write_text("def net(:\n")
    with pytest.raises(UserError, match=r"broken.py is not valid Python \(line 1: "):
        build(NetworkSpec(f"{broken}:net", 1, 2, (14, 14)))


def test_options_from_text() -> None:
    texts = ["feature_size=24", "merging=2022", "depths=(2,2,2,2)", "checkpointing=True"]
    assert options_from_text("swin_unetr", texts) == {
        "feature_size": 24, "merging": "2022", "depths": (2, 2, 2, 2), "checkpointing": True,
    }  # fmt: skip
    with pytest.raises(UserError, match=r"unknown option of unet 'filter'; did you mean 'filters'\?"):
        options_from_text("unet", ["filter=3"])
    with pytest.raises(UserError, match="'filters' has no value"):
        options_from_text("unet", ["filters"])
