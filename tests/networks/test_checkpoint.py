"""Weights on disk: a round trip, and a refusal for everything that is not what it should be."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from distilseg.errors import UserError
from distilseg.networks import NetworkSpec, build, load_network, load_weights, save_weights

SPEC = NetworkSpec("dynunet", 1, 2, (16, 16), {"filters": [4, 8, 8], "norm": "batch"})


class Exploit:
    """Unpickling it would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    network = build(SPEC)
    with torch.no_grad():
        network(torch.randn(2, 1, 16, 16))  # moves the running statistics
    return network


@pytest.fixture
def saved(network: nn.Module, tmp_path: Path) -> Path:
    path = tmp_path / "best.safetensors"
    save_weights(path, network, SPEC, {"step": 7, "names": ["hippocampus", "größe"]})
    return path


def test_round_trip(network: nn.Module, saved: Path) -> None:
    loaded, spec, extra = load_network(saved)
    assert spec.to_dict() == SPEC.to_dict()
    assert extra == {"step": 7, "names": ["hippocampus", "größe"]}
    assert not loaded.training
    state = network.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.state_dict().items())
    image = torch.randn(1, 1, 16, 16)
    assert torch.equal(loaded(image), network.eval()(image))


def test_shared_tensors_are_kept_once(network: nn.Module, saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        stored = list(file.keys())
    assert len(stored) == len({id(t) for t in network.state_dict(keep_vars=True).values()})
    assert len(stored) < len(network.state_dict())


def test_layouts_and_training_mode_do_not_matter(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(path, network.to(memory_format=torch.channels_last).train(), SPEC)
    assert network.training
    loaded, _, extra = load_network(path)
    assert extra == {}
    image = torch.randn(1, 1, 16, 16)
    torch.testing.assert_close(loaded(image), network.eval()(image))


def test_a_failed_save_leaves_the_old_file(network: nn.Module, saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(TypeError):
        save_weights(saved, network, SPEC, {"no json": object()})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_any_flipped_bit_is_noticed(saved: Path) -> None:
    """Of the tensors and of what the header tells; one of the digests' own name only loses the digest."""
    sound = saved.read_bytes()
    header = 8 + int.from_bytes(sound[:8], "little")
    of_header = [sound.index(text) for text in (b"dynunet", b"filters", b"hippocampus")]
    for at in (*of_header, *range(header, len(sound), 97), len(sound) - 1):
        changed = bytearray(sound)
        changed[at] ^= 1
        saved.write_bytes(changed)
        for load in (load_network, lambda path: load_weights(build(SPEC), path)):
            with pytest.raises(UserError, match=r"best.safetensors is damaged.* SHA-256 differs"):
                load(saved)
    saved.write_bytes(sound)
    load_network(saved)


def test_equal_weights_are_equal_files(network: nn.Module, saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    _, spec, extra = load_network(saved)
    save_weights(again, network, spec, extra)
    assert again.read_bytes() == saved.read_bytes()


def test_weights_of_an_earlier_version_have_no_digest_and_open(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "earlier.safetensors"
    save_weights(path, network, SPEC, {"classes": ("a", "b")}, signed=False)
    with safe_open(path, framework="pt") as file:
        assert "sha256" not in file.metadata()["distilseg"]
    assert load_network(path)[2] == {"classes": ["a", "b"]}
    save_weights(path, network, SPEC, {"classes": ("a", "b")})
    assert load_network(path)[2] == {"classes": ["a", "b"]}


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -1])
def test_a_truncated_file(saved: Path, keep: int) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"best.safetensors is not a whole safetensors file .*truncated"):
        load_network(saved)


def test_missing_and_surplus_names_are_both_listed(network: nn.Module, saved: Path, tmp_path: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    tensors["surplus.weight"] = tensors.pop("bottleneck.conv1.conv.weight")
    path = tmp_path / "other.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(UserError) as caught:
        load_network(path)
    assert "it lacks bottleneck.conv1.conv.weight; it has beside surplus.weight" in str(caught.value)


def test_another_shape(network: nn.Module, saved: Path) -> None:
    other = build(NetworkSpec("dynunet", 1, 3, (16, 16), SPEC.options))
    with pytest.raises(
        UserError, match=r"output_block.conv.conv.weight \[2, 4, 1, 1\] instead of \[3, 4, 1, 1\]"
    ):
        load_weights(other, saved)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no weights file"):
        load_network(tmp_path / "none.safetensors")


def test_safetensors_of_others_have_no_description(network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    save_file(state, path)  # all names, aliases included
    with pytest.raises(UserError, match=r"no description of their network; .*load_weights"):
        load_network(path)
    fresh = build(SPEC)
    load_weights(fresh, path)
    assert all(torch.equal(tensor, state[name]) for name, tensor in fresh.state_dict().items())


@pytest.mark.parametrize("header", ["{", "[]", '{"network": 3, "extra": {}}', '{"extra": {}}'])
def test_a_damaged_header(network: nn.Module, tmp_path: Path, header: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(1)}, path, {"distilseg": header})
    with pytest.raises(UserError, match=r"header of .* is damaged"):
        load_network(path)


@pytest.mark.parametrize("ending", ["pt", "pth", "ckpt"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(tmp_path: Path, ending: str) -> None:
    touched, path = tmp_path / "touched", tmp_path / f"model.{ending}"
    torch.save({"state_dict": {}, "hyper": Exploit(touched)}, path)
    for load in (load_network, lambda path: load_weights(build(SPEC), path)):
        with pytest.raises(UserError, match="could run code"):
            load(path)
    path.write_bytes(pickle.dumps(Exploit(touched)))
    with pytest.raises(UserError, match="could run code"):
        load_network(path)
    assert not touched.exists()


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage", bytes(range(256))])
def test_no_pickle_at_all(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged or holds more than tensors") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_a_pickle_named_safetensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"a": Exploit(tmp_path / "touched")}, path)
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_network(path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("wrap", [lambda state: state, lambda state: {"epoch": 3, "state_dict": state}])
def test_a_pickle_of_tensors_fills_a_network(network: nn.Module, tmp_path: Path, wrap) -> None:
    path = tmp_path / "model.pt"
    torch.save(wrap(network.state_dict()), path)
    fresh = build(SPEC)
    load_weights(fresh, path)
    assert all(torch.equal(a, b) for a, b in zip(fresh.parameters(), network.parameters(), strict=True))


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, 3])
def test_a_pickle_without_a_state_dictionary(tmp_path: Path, value: object) -> None:
    path = tmp_path / "model.pt"
    torch.save(value, path)
    with pytest.raises(UserError, match="no state dictionary"):
        load_weights(build(SPEC), path)


def test_a_description_cannot_run_a_file(tmp_path: Path) -> None:
    touched, file = tmp_path / "touched", tmp_path / "evil.py"
    file.write_text(
        "import pathlib, torch\n"
        f"pathlib.Path({str(touched)!r}).touch()\n"
        "def net(in_channels, classes, patch):\n    return torch.nn.Conv2d(in_channels, classes, 1)\n"
    )
    spec, path = NetworkSpec(f"{file}:net", 1, 2, (8, 8)), tmp_path / "w.safetensors"
    save_weights(path, nn.Conv2d(1, 2, 1), spec)
    with pytest.raises(UserError, match="would run that file; if you trust it"):
        load_network(path)
    assert not touched.exists()
    network, _, _ = load_network(path, trust=spec.name)
    assert isinstance(network, nn.Conv2d)
    assert touched.exists()
