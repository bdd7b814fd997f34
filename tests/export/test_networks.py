"""Networks of the papers answer in ONNX Runtime and OpenVINO as they do here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.export.onnx import write_onnx
from distilseg.export.openvino import write_openvino
from distilseg.networks import NetworkSpec, build

NETWORKS = {
    "deeplab_v3_plus": ((64, 48), {}),
    "swin_unet": ((40, 48), {"features": 6, "size": 64}),
    "thickened": ((32, 48, 6), {"backbone": "student_tiny", "norm_variance": "sample"}),
    "unest": ((32, 32, 64), {"size": "small"}),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_other_runtimes_answer_alike(name: str, tmp_path: Path) -> None:
    """For a number of windows that the exporters did not see."""
    onnxruntime, openvino = pytest.importorskip("onnxruntime"), pytest.importorskip("openvino")
    torch.manual_seed(0)
    patch, options = NETWORKS[name]
    network: Any = build(NetworkSpec(name, 2, 3, patch, options)).eval()
    windows = torch.randn(3, 2, *patch)
    with torch.no_grad():
        expected = network(windows).numpy()
    write_onnx(network, tmp_path / "network.onnx", modalities=2, patch=patch)
    write_openvino(network, tmp_path / "network.xml", modalities=2, patch=patch)
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(tmp_path / "network.xml", "CPU", precise)
    for found in (session.run(None, {"image": windows.numpy()})[0], model([windows.numpy()])[0]):
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
