"""A network as OpenVINO's intermediate representation, an .xml and a .bin in float32."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from ..errors import UserError
from .onnx import write_onnx


def write_openvino(
    network: nn.Module, path: Path, *, modalities: int, patch: Sequence[int], free: Sequence[int] = ()
) -> None:
    """Writes `network` to `path` (.xml) and its weights beside it, by way of ONNX; see `write_onnx`."""
    try:
        import openvino as ov
    except ImportError:
        raise UserError("OpenVINO is not installed", "pip install 'distilseg[export]'") from None
    with tempfile.TemporaryDirectory() as folder:
        on_the_way = Path(folder) / "network.onnx"
        write_onnx(network, on_the_way, modalities=modalities, patch=patch, free=free)
        try:
            # Read by the runtime itself: the converter that comes beside it reports its use over the net.
            model = ov.Core().read_model(on_the_way)
        except RuntimeError as error:
            told = " ".join(str(error).split())[:200]
            raise UserError(f"OpenVINO cannot read the network: {told}", "export it --to onnx") from error
    ov.save_model(model, path, compress_to_fp16=False)
