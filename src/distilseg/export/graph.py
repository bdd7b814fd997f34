"""Parameters and multiply-accumulates of an exported network, counted on its graph: no torch is needed.

OpenVINO reads its own files and ONNX. What is counted is what `networks.count` counts: convolutions,
transposed convolutions and matrix products. Parameters are the numbers that the graph stores as weights, so
that a batch norm that was folded into its convolution counts as one bias a channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

_WEIGHTS = {"f64", "f32", "f16", "bf16", "i8", "u8", "i4", "u4"}


def counts(
    read: Callable[[str], bytes], network: str, image_shape: Sequence[int]
) -> tuple[int | None, int | None]:
    """Parameters, and multiply-accumulates over an image [B M *S]; None where OpenVINO is not installed.

    `read` gives the bytes of a file of the artefact; `network` is its ONNX or OpenVINO file.
    """
    try:
        import openvino as ov
    except ImportError:
        return None, None
    weights = read(network.removesuffix(".xml") + ".bin") if network.endswith(".xml") else b""
    model = ov.Core().read_model(read(network), weights)
    model.reshape([int(size) for size in image_shape])
    operations = model.get_ordered_ops()
    return sum(map(_parameters, operations)), sum(map(_multiply_accumulates, operations))


def _parameters(operation: Any) -> int:
    """The elements of a constant that is a weight: not a shape, an axis or the range of a quantisation."""
    if operation.get_type_name() != "Constant":
        return 0
    shape = operation.output(0).get_shape()
    users = {user.get_node().get_type_name() for user in operation.output(0).get_target_inputs()}
    is_weight = operation.get_element_type().get_type_name() in _WEIGHTS and "FakeQuantize" not in users
    return math.prod(shape) if is_weight and len(shape) else 0


def _multiply_accumulates(operation: Any) -> int:
    kind = operation.get_type_name()
    inputs = [tuple(map(int, one.get_shape())) for one in operation.inputs()]
    out = tuple(map(int, operation.output(0).get_shape())) if operation.get_output_size() else ()
    if kind in ("Convolution", "GroupConvolution"):  # weights [(G) O I *k]: I * prod k for each output
        return math.prod(out) * math.prod(inputs[1][1 - len(out) :])
    if kind in ("ConvolutionBackpropData", "GroupConvolutionBackpropData"):  # weights [(G) I O *k]
        return math.prod(inputs[0]) * math.prod(inputs[1][1 - len(out) :])
    if kind == "MatMul":
        transposed = operation.get_attributes().get("transpose_a", False)
        return math.prod(out) * inputs[0][-2 if transposed else -1]
    return 0
