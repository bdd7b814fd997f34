"""Weights that are named and shaped as torchvision's resnet50, mapped onto the trunk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, load_network, save_weights
from distilseg.networks.deeplab import resnet50
from distilseg.networks.imagenet import load_imagenet
from distilseg.networks.thickened import Thickened

PATCH = (32, 64, 12)


def torchvisions() -> dict[str, Tensor]:
    """Every entry of `torchvision.models.resnet50().state_dict()`, with small random numbers."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (1000, 2048)}
    shapes |= {"fc.bias": (1000,), **norm("bn1", 64)}
    before = 64
    for layer, (inside, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
        for block in range(depth):
            at, after = f"layer{layer}.{block}", 4 * inside
            shapes[f"{at}.conv1.weight"] = (inside, before, 1, 1)
            shapes[f"{at}.conv2.weight"] = (inside, inside, 3, 3)
            shapes[f"{at}.conv3.weight"] = (after, inside, 1, 1)
            shapes |= norm(f"{at}.bn1", inside) | norm(f"{at}.bn2", inside) | norm(f"{at}.bn3", after)
            if block == 0:
                shapes[f"{at}.downsample.0.weight"] = (after, before, 1, 1)
                shapes |= norm(f"{at}.downsample.1", after)
            before = after
    torch.manual_seed(0)
    return {
        name: torch.tensor(7) if name.endswith("tracked") else torch.rand(shape)
        for name, shape in shapes.items()
    }


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    vectors = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{vector}": (channels,) for vector in vectors} | {f"{name}.num_batches_tracked": ()}


def written(folder: Path, tensors: dict[str, Tensor], ending: str = ".safetensors") -> str:
    path = folder / f"resnet50{ending}"
    if ending == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    return str(path)


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_every_weight_arrives(tmp_path: Path, ending: str) -> None:
    learned = torchvisions()
    assert len(learned) == 320
    trunk = resnet50(3, 16)
    load_imagenet(trunk, written(tmp_path, learned, ending))
    ours = {name.removeprefix("stem."): tensor for name, tensor in trunk.state_dict().items()}
    assert ours.keys() == learned.keys() - {"fc.weight", "fc.bias"}
    assert all(torch.equal(ours[name], learned[name]) for name in ours if not name.endswith("tracked"))


@pytest.mark.parametrize("channels", [1, 3, 5, 6, 12])
def test_equal_channels_answer_as_three_did(tmp_path: Path, channels: int) -> None:
    """Where the number is a multiple of three; else the kernel is repeated as far as it goes."""
    learned = torchvisions()
    trunk = resnet50(channels, 16)
    load_imagenet(trunk, written(tmp_path, learned))
    kernel = trunk.state_dict()["stem.conv1.weight"]
    for c in range(channels):
        torch.testing.assert_close(kernel[:, c] * channels / 3, learned["conv1.weight"][:, c % 3])
    if channels % 3 == 0:
        torch.testing.assert_close(kernel.sum(1), learned["conv1.weight"].sum(1))


def test_through_the_builder_and_back_without_the_file(tmp_path: Path) -> None:
    """A network that was trained from such a file is read where the file is gone."""
    learned = {name: tensor for name, tensor in torchvisions().items() if "tracked" not in name}
    path = Path(written(tmp_path, learned))
    spec = NetworkSpec("thickened", 2, 2, PATCH, {"imagenet": str(path)})
    network = build(spec)
    assert isinstance(network, Thickened)
    state = network.trunk.state_dict()
    assert torch.equal(state["layer4.2.conv3.weight"], learned["layer4.2.conv3.weight"])
    assert state["stem.conv1.weight"].shape == (64, 6, 7, 7)
    with torch.device("meta"):
        build(spec)
    save_weights(tmp_path / "trained.safetensors", network, spec)
    path.unlink()
    again, spec_again, _ = load_network(tmp_path / "trained.safetensors")
    assert spec_again == spec
    assert torch.equal(again.state_dict()["trunk.stem.conv1.weight"], state["stem.conv1.weight"])
    with pytest.raises(UserError, match="there is no weights file"):
        build(spec)


def test_a_file_that_does_not_fit(tmp_path: Path) -> None:
    learned = torchvisions()
    del learned["layer1.0.conv1.weight"], learned["bn1.bias"]
    learned["layer3.1.conv2.weight"] = torch.zeros(256, 256, 1, 1)
    learned["layer1.0.conv4.weight"] = torch.zeros(1)
    learned["conv1.weight"] = torch.zeros(64, 4, 7, 7)
    trunk = resnet50(3, 16)
    before = trunk.state_dict()["layer4.0.conv1.weight"].clone()
    with pytest.raises(UserError) as caught:
        load_imagenet(trunk, written(tmp_path, learned))
    told = str(caught.value)
    assert "does not hold the weights of torchvision's resnet50: it lacks bn1.bias, it lacks layer1" in told
    assert "layer1.0.conv4.weight is unknown here and 2 more; save" in told
    assert torch.equal(trunk.state_dict()["layer4.0.conv1.weight"], before)


def test_the_first_convolution_must_have_three_channels(tmp_path: Path) -> None:
    learned = torchvisions() | {"conv1.weight": torch.zeros(64, 4, 7, 7)}
    with pytest.raises(UserError, match=r"conv1.weight is \[64, 4, 7, 7\] and not \[64, 3, 7, 7\]"):
        load_imagenet(resnet50(4, 16), written(tmp_path, learned))
