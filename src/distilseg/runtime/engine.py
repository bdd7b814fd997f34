"""The network of an artefact as a function of arrays: ONNX Runtime or OpenVINO, whichever it was written for.

Both run in float32 as the network was trained (a processor that could do bfloat16 is told not to), but for
the layers that an export has rounded to int8. They flush denormal numbers, which dying activations become and
processors handle many times slower. The engines set that mode in the thread that calls them and leave it
set, ONNX Runtime in the first such thread alone; so they have one of their own, and the arithmetic of
everybody else stays exact. What OpenVINO compiles may be kept (`compiled.py`).
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..hardware import fewer_cores
from .compiled import compiled, folder_now

Arrays = Callable[[NDArray[np.float32]], NDArray[np.float32]]  # [N M *P] -> [N K *P]
Read = Callable[[str], bytes]  # a file of the artefact, whole

DEVICES = {"onnx": ("auto", "cpu", "cuda"), "openvino": ("auto", "cpu", "gpu")}


def load_engine(
    engine: str, read: Read, network: str, *, threads: int = 0, device: str = "auto", lend: bool = False
) -> Arrays:
    """The function behind the network file `network`, loaded once.

    `threads` 0 leaves them to the engine, or where fewer cores are ours than the machine has, is these.

    `lend`: an answer may be the engine's own memory, which the next call overwrites; else it is a copy.
    Copies of 105 classes take longer than the network. Raises UserError where the engine is not installed,
    has no such device, or cannot read the network.
    """
    if device not in DEVICES[engine]:
        raise UserError(
            f"an artefact for {engine} has no device {device!r}", f"known: {', '.join(DEVICES[engine])}"
        )
    threads = threads or fewer_cores()
    load = {"onnx": _onnx, "openvino": _openvino}[engine]
    own = network_thread()
    run = own.submit(copy_context().run, _loaded, load, read, network, threads, device, lend).result()

    def asked(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            return own.submit(run, np.ascontiguousarray(windows, np.float32)).result()
        except MemoryError:
            raise
        except Exception as error:  # of another number of modalities, of other windows
            told = " ".join(str(error).split())[:300]
            raise UserError(
                f"{network} cannot take windows of {list(windows.shape)} ({told})",
                "export the run that it is of again",
            ) from None

    return asked


@cache
def network_thread() -> ThreadPoolExecutor:
    """The one thread that engines run in, all of them."""
    return ThreadPoolExecutor(1, thread_name_prefix="network")


def _loaded(
    load: Callable[..., Arrays], read: Read, network: str, threads: int, device: str, lend: bool
) -> Arrays:
    try:
        return load(read, network, threads, device, lend)
    except UserError:
        raise
    except Exception as error:  # whatever a damaged file makes of the engine
        told = " ".join(str(error).split())[:300]
        raise UserError(f"{network} cannot be loaded ({told})", "copy or export the artefact again") from None


def _onnx(read: Read, network: str, threads: int, device: str, lend: bool) -> Arrays:
    ort = _installed("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    # Threads that wait in a loop for the next layer take the processor from the stages beside the network and
    # from other programs: 20 hippocampi on a busy machine took 3 times as long as with threads that sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    there = ort.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in there:
        raise UserError("this ONNX Runtime has no CUDA", "install onnxruntime-gpu, or use --device cpu")
    provider = "CUDAExecutionProvider" if device == "cuda" else "CPUExecutionProvider"
    session = ort.InferenceSession(read(network), options, providers=[provider])
    name = session.get_inputs()[0].name

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = session.run(None, {name: windows})[0]
        return logits

    return run


def _openvino(read: Read, network: str, threads: int, device: str, lend: bool) -> Arrays:
    with _without_converter():
        ov = _installed("openvino")
    core = ov.Core()
    if device == "gpu" and "GPU" not in core.available_devices:
        raise UserError("OpenVINO finds no GPU on this machine", "use --device cpu, or auto")
    model, weights = read(network), read(network.removesuffix(".xml") + ".bin")
    how: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    if device != "gpu":
        how["CPU_DENORMALS_OPTIMIZATION"] = True
        if threads:
            how["INFERENCE_NUM_THREADS"] = threads
    on = "GPU" if device == "gpu" else "CPU"

    def make() -> Any:
        return core.compile_model(core.read_model(model, weights), on, how)

    folder = None if on == "GPU" else folder_now()
    if folder is None:
        request = make().create_infer_request()
    else:
        depends_on = model, weights, ov.get_version(), json.dumps([on, how], sort_keys=True)
        load = partial(core.import_model, device_name=on, config=how)
        request = compiled(make, load, depends_on, folder).create_infer_request()

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = request.infer({0: windows}, share_inputs=True, share_outputs=lend)[0]
        return logits

    return run


@contextmanager
def _without_converter() -> Iterator[None]:
    """OpenVINO is imported without what converts other formats: that is half of its import, and brings a
    reporter of its use over the net. Whoever asks for `openvino.convert_model` later gets it still."""
    name = "openvino.tools.ovc"
    if "openvino" in sys.modules or name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # an ImportError, which OpenVINO passes over
    try:
        yield
    finally:
        del sys.modules[name]
        if (ov := sys.modules.get("openvino")) is not None:
            ov.convert_model = _convert_model  # type: ignore[attr-defined]


def _convert_model(*arguments: Any, **options: Any) -> Any:
    return importlib.import_module("openvino.tools.ovc").convert_model(*arguments, **options)


def _installed(engine: str) -> Any:
    try:
        return importlib.import_module(engine)
    except ImportError:
        raise UserError(
            f"this artefact needs {engine}, which is not installed",
            "pip install 'distilseg[runtime]'",
        ) from None
