"""Engines: the right numbers, a thread of their own, and refusals in one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.export.onnx import write_onnx
from distilseg.export.openvino import write_openvino
from distilseg.runtime.engine import load_engine

ENGINES = {"onnx": ("network.onnx", write_onnx), "openvino": ("network.xml", write_openvino)}


class Tenth(nn.Module):
    """Logits far below the smallest normal number where the image is 1e-37."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([image * 0.1, image + 1], 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    for name, write in ENGINES.values():
        write(Tenth(), folder / name, modalities=1, patch=(4, 5, 6))
    return folder


def reading(folder: Path) -> Callable[[str], bytes]:
    return lambda name: (folder / name).read_bytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_of_any_number_of_windows(folder: Path, engine: str) -> None:
    network = load_engine(engine, reading(folder), ENGINES[engine][0], threads=1)
    for n in (1, 2, 5):
        windows = np.random.default_rng(n).normal(size=(n, 1, 4, 5, 6)).astype(np.float32)
        logits = network(windows)
        np.testing.assert_allclose(logits[:, :1], windows * 0.1, rtol=1e-6)
        np.testing.assert_allclose(logits[:, 1:], windows + 1, rtol=1e-6)
    kept = logits.copy()
    network(windows + 3)
    np.testing.assert_array_equal(logits, kept)  # an answer is not overwritten by the next one


def test_a_lent_answer_is_the_engines_own_memory(folder: Path) -> None:
    network = load_engine("openvino", reading(folder), "network.xml", threads=1, lend=True)
    windows = np.ones((1, 1, 4, 5, 6), np.float32)
    first = network(windows)
    assert not first.flags.owndata
    first *= 2  # its caller may change it
    np.testing.assert_allclose(network(windows)[:, 1:], 2)


@pytest.mark.parametrize("engine", ENGINES)
def test_denormals_are_flushed_in_the_network_and_nowhere_else(folder: Path, engine: str) -> None:
    network = load_engine(engine, reading(folder), ENGINES[engine][0], threads=1)
    tiny = np.full((1, 1, 4, 5, 6), 1e-37, np.float32)
    assert (network(tiny)[:, :1] == 0).all()
    assert (tiny * np.float32(0.1) > 0).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_that_cannot_be_loaded_is_refused(engine: str) -> None:
    name = ENGINES[engine][0]
    with pytest.raises(
        UserError, match=rf"{name} cannot be loaded \(.+\); copy or export the artefact again"
    ):
        load_engine(engine, lambda _: b"no network", name)


@pytest.mark.parametrize(("engine", "known"), [("onnx", "auto, cpu, cuda"), ("openvino", "auto, cpu, gpu")])
def test_an_unknown_device_is_refused(folder: Path, engine: str, known: str) -> None:
    with pytest.raises(UserError, match=f"no device 'mps'; known: {known}"):
        load_engine(engine, reading(folder), ENGINES[engine][0], device="mps")


class Sorted(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return torch.cummax(image, 1).values.nonzero()


def test_a_network_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    for name, write in ENGINES.values():
        with pytest.raises(UserError) as caught:
            write(Sorted(), tmp_path / name, modalities=1, patch=(4, 4))
        assert str(caught.value).startswith("Sorted cannot be written as ONNX: ")
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


class Counting(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.reshape(2, -1)[:, :40].reshape(len(image), 1, 4, 10)


def test_a_network_for_a_constant_number_of_windows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Counting makes a constant of the number of windows"):
        write_onnx(Counting(), tmp_path / "network.onnx", modalities=1, patch=(4, 10))
    assert not list(tmp_path.iterdir())


def test_openvino_comes_without_its_converter_which_is_there_when_asked_for(folder: Path) -> None:
    code = (
        "import sys, numpy; from pathlib import Path; from distilseg.runtime.engine import load_engine\n"
        f"folder = Path({str(folder)!r})\n"
        "run = load_engine('openvino', lambda name: (folder / name).read_bytes(), 'network.xml')\n"
        "assert not [name for name in sys.modules if 'ovc' in name or 'telemetry' in name]\n"
        "import openvino\n"
        "assert openvino.convert_model(str(folder / 'network.onnx')).outputs\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
