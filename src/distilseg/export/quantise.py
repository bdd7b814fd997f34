"""A network of OpenVINO's in int8: convolutions and matrix products, quantised after training by NNCF.

Weights get one scale a channel, activations one range a tensor, seen on windows of real scans. Everything
between the layers stays in float: an instance norm that is given rounded values costs more than all the
convolutions together (2.4 points of Dice against 0.1 on hippocampus) and gains no time.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..runtime.engine import Arrays, load_engine

Windows = Sequence[NDArray[np.float32]]  # each [1 M *P]

_LAYERS = {
    "Convolution",
    "ConvolutionBackpropData",
    "GroupConvolution",
    "GroupConvolutionBackpropData",
    "MatMul",
}
_VALUES = {"Constant", "Parameter", "Result"}


def layers(network: Path) -> list[str]:
    """The layers of `network` (.xml) that can be quantised, in the order in which they run."""
    return [each.get_friendly_name() for each in _read(network).get_ordered_ops() if _is_layer(each)]


def write_int8(network: Path, out: Path, windows: Windows, *, in_float: Sequence[str] = ()) -> None:
    """Writes `network` (.xml) to `out` (.xml) in int8, but for the layers `in_float`.

    Raises UserError where NNCF is not installed or cannot quantise the network.
    """
    nncf, model = _nncf(), _read(network)
    between = {each.get_type_name() for each in model.get_ops()} - _LAYERS - _VALUES
    left = nncf.IgnoredScope(names=list(in_float), types=sorted(between), validate=False)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
            quantised = nncf.quantize(
                model,
                nncf.Dataset(windows),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=len(windows),
                ignored_scope=left,
            )
    except Exception as error:  # whatever NNCF makes of an operation that it does not know
        told = " ".join(str(error).split())[:200]
        raise UserError(f"the network cannot be quantised: {told}", "export it --to openvino") from error
    import openvino as ov

    ov.save_model(quantised, out, compress_to_fp16=False)


def by_harm(network: Path, folder: Path, windows: Windows) -> list[str]:
    """The layers of `network` by what quantising each alone does to the logits, the worst first."""
    expected = _answers(network, windows)
    names, harm = layers(network), {}
    for name in names:
        alone = folder / "alone.xml"
        write_int8(network, alone, windows, in_float=[other for other in names if other != name])
        found = _answers(alone, windows)
        harm[name] = sum(
            float(np.square(one - other).mean()) for one, other in zip(found, expected, strict=True)
        )
    return sorted(names, key=lambda name: -harm[name])


def engine_of(network: Path, *, threads: int = 0) -> Arrays:
    """The function behind `network` (.xml), as an artefact runs it."""
    return load_engine(
        "openvino", lambda name: (network.parent / name).read_bytes(), network.name, threads=threads
    )


def _answers(network: Path, windows: Windows) -> list[NDArray[np.float32]]:
    run = engine_of(network)
    return [run(window) for window in windows]


def _is_layer(each: Any) -> bool:
    return each.get_type_name() in _LAYERS


def _read(network: Path) -> Any:
    import openvino as ov

    return ov.Core().read_model(network)


def check_nncf() -> None:
    """Raises UserError where NNCF is not installed."""
    _nncf()


@cache
def _nncf() -> Any:
    """NNCF, told to be quiet and not to report its use over the net: it finds no reporter when it asks."""
    reporter = sys.modules.get("openvino_telemetry")
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings(action="ignore"):
            import nncf
    except ImportError as error:
        raise UserError(f"int8 needs NNCF ({error})", "pip install 'distilseg[export]'") from None
    finally:
        del sys.modules["openvino_telemetry"]
        if reporter is not None:
            sys.modules["openvino_telemetry"] = reporter
    nncf.set_log_level(logging.ERROR)
    return nncf
