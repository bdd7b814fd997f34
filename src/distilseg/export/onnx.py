"""A network as an ONNX file: windows [N M *P] in, logits [N K *P] out, N as many as one likes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import UserError
from ..inference.inferer import logits_of

OPSET = 18  # ONNX Runtime from 1.14 and OpenVINO from 2023 on read it


class _Logits(nn.Module):
    """The network without what it keeps beside its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return logits_of(self.network(image)).float()


def write_onnx(
    network: nn.Module, path: Path, *, modalities: int, patch: Sequence[int], free: Sequence[int] = ()
) -> None:
    """Writes `network`, in evaluation mode and on the CPU, to `path`.

    `patch`: the windows' voxels; along the axes in `free` other sizes are allowed, multiples of what the
    network divides by. Raises UserError where an operation of the network cannot be written.
    """
    dimension: Callable[..., Any] = torch.export.Dim
    sizes = {0: dimension("windows", min=1), **{2 + axis: dimension.DYNAMIC for axis in free}}  # type: ignore[attr-defined]
    # Two windows: one would be taken for a constant.
    example = torch.zeros(2, modalities, *patch)
    try:
        with _quietly(), torch.no_grad():
            program = torch.onnx.export(
                _Logits(network).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=(sizes,),
                verbose=False,
            )
            assert program is not None
            for node in program.model.graph.all_nodes():
                node.metadata_props.clear()  # where in this machine's files each operation came from
            program.save(path, external_data=False)
    except ImportError as error:
        raise UserError(f"ONNX cannot be written ({error})", "pip install 'distilseg[export]'") from None
    except OSError:  # of the disk, not of the network
        raise
    except Exception as error:  # whatever the exporter makes of an operation that it does not know
        raise UserError(
            f"{type(network).__name__} cannot be written as ONNX: {_reason(error)}",
            "export it --to torch, or train a network such as dynunet",
        ) from error
    shape = program.model.graph.inputs[0].shape
    if fixed := [axis for axis in sizes if shape is None or isinstance(shape[axis], int)]:
        path.unlink()
        what = "windows" if fixed[0] == 0 else "voxels"
        raise UserError(
            f"{type(network).__name__} makes a constant of the number of {what}, and would take no other",
            "in its code, write image.shape[0] for len(image) and keep sizes out of int()",
        )


def _reason(error: BaseException) -> str:
    """The first cause in one line; the exporter's own message is a page of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no message'}"


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's notes on packages that are not installed and functions that will change."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
