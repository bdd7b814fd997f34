"""Windows that a network makes channels of: what it is shown, and that nobody else need know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from distilseg.errors import UserError
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.features import Tapped, feature_modules
from distilseg.networks.tissue_windows import TissueWindow, show_windows

PATCH = (16, 16, 16)
SPEC = NetworkSpec("student_tiny", 1, 3, PATCH, tissue_windows=((0, -1.0, 1.0), (0, 0.0, 0.5)))


def test_a_window_is_a_clipped_ramp_after_the_other_channels() -> None:
    network = nn.Identity()
    show_windows(network, [TissueWindow(1, -1.0, 3.0)])
    image = torch.tensor([7.0, 7, 7, 7]).reshape(1, 1, 4), torch.tensor([-2.0, -1, 1, 9]).reshape(1, 1, 4)
    shown = network(torch.cat(image, 1))
    assert shown[0].tolist() == [[7, 7, 7, 7], [-2, -1, 1, 9], [0, 0, 0.5, 1]]


def test_a_network_takes_the_image_and_its_first_layer_the_windows_too() -> None:
    torch.manual_seed(0)
    network = build(SPEC).eval()
    plain = build(replace(SPEC, in_channels=3, tissue_windows=())).eval()
    plain.load_state_dict(network.state_dict())  # the same modules by the same names
    image = torch.randn(2, 1, *PATCH)
    three = torch.cat([image, ((image + 1) / 2).clamp(0, 1), (2 * image).clamp(0, 1)], 1)
    torch.testing.assert_close(network(image), plain(three))


def test_a_description_says_which_and_without_any_what_it_did() -> None:
    assert NetworkSpec.from_dict(SPEC.to_dict()) == SPEC
    assert "tissue_windows" not in replace(SPEC, tissue_windows=()).to_dict()


@pytest.mark.parametrize("window", [(1, 0.0, 1.0), (-1, 0.0, 1.0), (0, 1.0, 1.0), (0, float("nan"), 1.0)])
def test_a_window_that_is_none_is_refused(window: tuple[int, float, float]) -> None:
    with pytest.raises(UserError, match="no window of channel"):
        build(replace(SPEC, tissue_windows=(window,)))


def test_features_are_tapped_as_without() -> None:
    network = build(SPEC)
    name = next(iter(feature_modules(network)))
    assert Tapped(network, [name])(torch.randn(1, 1, *PATCH))[name].shape[0] == 1


@pytest.mark.parametrize("target", ["onnx", "openvino"])
def test_what_is_exported_makes_them_too(target: str, tmp_path: Path) -> None:
    from distilseg.export.onnx import write_onnx

    torch.manual_seed(0)
    network = build(SPEC).eval()
    image = torch.randn(3, 1, *PATCH)
    with torch.no_grad():
        expected = network(image).numpy()
    write_onnx(network, tmp_path / "network.onnx", modalities=1, patch=PATCH)
    if target == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(tmp_path / "network.onnx"))
        (found,) = session.run(None, {"image": image.numpy()})
    else:
        import openvino

        compiled = openvino.Core().compile_model(
            str(tmp_path / "network.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
        found = compiled(image.numpy())[0]
    np.testing.assert_allclose(found, expected, atol=2e-4, rtol=1e-3)
