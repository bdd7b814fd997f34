"""A network as a graph, ONNX or TorchScript, with a card that says the rest (`card.py`).

ONNX holds operators and numbers, no program; ONNX Runtime runs it. TorchScript is a program: loading it may
do what any program may, so it is loaded only for a user who trusts that very file. Scans are prepared as by a
plan of ours, windows are cut and blended as by ours.
"""

from __future__ import annotations

import importlib
import io
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.planning.levels import times
from ..data.planning.plan import Plan
from ..data.preparing.grid import make_grid
from ..data.preparing.preprocess import preprocess
from ..data.scans.scan import Scan
from ..errors import UserError
from ..hardware import fewer_cores
from ..runtime.engine import network_thread
from ..runtime.inferers import Inferer, make_inferer, planned_inferer
from ..runtime.label_export import export_labels, export_regions
from .card import Card, card_for
from .checkpoint import is_torchscript
from .identity import content_digest, digest_of, file_digest, only, preparation, summary
from .naming import Named, Naming
from .onnx_file import check_onnx
from .restoring import logits_of, probabilities_of
from .showing import in_order
from .teacher import Answer, Labels, Placement, Provenance, TeacherOptions

Arrays = NDArray[np.float32]
Outputs = Callable[[Arrays], Mapping[str, Arrays]]  # windows [N M *P] -> every output by its name

ENDINGS = (".onnx", ".ts", ".pt")
_MOST_VOXELS = 2**28  # of a window
_SUM_TOLERANCE = 1e-3
_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64}


@dataclass(frozen=True, eq=False)
class Graph:
    """A network that was loaded: windows [N M *P] in, every output of it."""

    run: Outputs
    shape: tuple[int | None, ...]  # of its input [N M *P]; None: any

    @property
    def patch(self) -> tuple[int, ...] | None:
        """Voxels of its windows, where it takes no others."""
        space = self.shape[2:]
        return tuple(n for n in space if n is not None) if space and None not in space else None


@dataclass(frozen=True, eq=False)
class GraphTeacher(Named):
    """A graph with its card."""

    name: str
    naming: Naming
    provenance: Provenance
    digest: str
    plan: Plan
    window: Mapping[str, Any]
    network: Callable[[Arrays], Arrays]  # [N M *P] -> [N K *P]
    inferer: Inferer
    gives: str

    @property
    def modalities(self) -> tuple[str, ...]:
        """What it is shown, in its order."""
        return self.plan.modalities

    def summary(self) -> dict[str, Any]:
        """What it is, in plain values."""
        return summary(self, **preparation(self.plan), inferer=dict(self.window), gives=self.gives)

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Its logits [K *W]; of probabilities their logarithms (regions: log p / (1 - p))."""
        shown = dict(zip(self.modalities, in_order(scans, self.modalities, case=case), strict=True))
        prepared = preprocess(shown, None, self.plan, case=case)
        answers = self.inferer(prepared.image, self.network)
        if not np.isfinite(answers).all():
            raise UserError(
                f"case {case}: the network answers with NaN or infinite numbers",
                "does the scan hold absurd intensities? `distilseg check` says",
            )
        logits = logits_of(answers, self.activation) if self.gives == "probabilities" else answers
        return Answer(logits, Placement.of_grid(prepared.grid), self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """The likeliest class, or the painted regions, of interpolated logits [I J K]."""
        grid = make_grid(in_order(scans, self.modalities, case=self.name), self.plan, case=self.name)
        if self.activation == "sigmoid":
            painted: Labels = export_regions(answer.logits, grid.cropped_shape, self.naming.paints)
            return grid.restore(painted)
        values = np.array([head.values[0] for head in self.heads])
        classes = grid.restore(export_labels(answer.logits, grid.cropped_shape))
        labels: Labels = values.astype(np.min_scalar_type(values.max()))[classes]
        return labels

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        """Of interpolated logits [K I J K]."""
        return probabilities_of(answer)


def recognises(path: Path) -> bool:
    """Whether `path` is ONNX or TorchScript, by its name or by what is in it."""
    return path.is_file() and (path.suffix.lower() in ENDINGS or is_torchscript(path))


def open_as_teacher(path: Path, options: TeacherOptions) -> GraphTeacher:
    """The graph at `path` with its card.

    Raises `UserError` for TorchScript that nobody trusts, for ONNX that reaches out of its file, and where
    card and graph do not fit.
    """
    only(options, "graphs", ("card", "mirror", "step", "orientation"))
    content = path.read_bytes()
    digests = {path.name: content_digest(content)}
    scripted = path.suffix.lower() != ".onnx"
    if scripted:
        _check_trust(path, digests[path.name], options)
        kind, beside = "TorchScript", []
    else:
        kind, beside = "ONNX", check_onnx(content, path)
        digests |= {file.name: file_digest(file) for file in beside}
    card, card_path = card_for(path, options.card)
    naming = card.naming(card_path)
    graph = _torchscript(content, path, options) if scripted else _onnx(content, path, beside, options)
    digests[card_path.name] = file_digest(card_path)
    channels = graph.shape[1] if len(graph.shape) > 1 else None
    if channels is not None and channels != len(card.modalities):
        raise UserError(
            f"{path} takes {channels} modalities, {card_path.name} names {', '.join(card.modalities)}",
            "name them all, in the network's order",
        )
    plan = card.plan(_patch(graph, card, path, card_path), options.orientation)
    window = _window(plan, card, options)
    chosen = _choose(graph, card, plan, naming, path)
    gives = card.gives or _tried(graph, chosen, plan, naming, path)
    stated = {"card": card.model_dump(mode="json"), "window": window, "gives": gives, "output": chosen}
    return GraphTeacher(
        name=card.name or path.name,
        naming=naming,
        provenance=Provenance(
            kind=kind,
            files=digests,
            network=card.network,
            trainer=card.trainer,
            dataset=card.dataset,
            licence=card.licence,
            reference=card.reference,
            warnings=(f"{path.name} is a program, run because you trust it.",) if scripted else (),
        ),
        digest=digest_of(
            kind, [v for n, v in digests.items() if n != card_path.name], stated, plan.orientation
        ),
        plan=plan,
        window=window,
        network=lambda windows: graph.run(windows)[chosen],
        inferer=make_inferer(window, threads=options.threads or 0),
        gives=gives,
    )


def _check_trust(path: Path, digest: str, options: TeacherOptions) -> None:
    if not is_torchscript(path):
        raise UserError(
            f"{path} is no TorchScript (no code/ in it): weights alone do not say what network they are of",
            "give the bundle or the model folder that they belong to",
        )
    if not {digest, path.name, str(path)} & set(options.trust):
        raise UserError(
            f"{path} is TorchScript, a program that loading would run; its SHA-256 is {digest}",
            f"if you trust whoever made it, say so: --trust-model {digest} (of distil and recipes:"
            " --trust-teacher)",
        )


def _patch(graph: Graph, card: Card, path: Path, card_path: Path) -> tuple[int, ...]:
    """Voxels of a window, 1 across the slices of a 2D network."""
    axes = len(graph.shape) - 2 if graph.shape else None
    if axes not in (2, 3, None):
        raise UserError(
            f"{path} takes arrays of {len(graph.shape)} axes", "[N M *space] in 2D or 3D are read"
        )
    fixed, patch = graph.patch, card.patch
    if patch is None:
        if fixed is None or len(fixed) != 3:
            raise UserError(
                f"{card_path} names no patch, and {path.name} takes windows of any size"
                if fixed is None
                else f"{card_path} names no patch, and {path.name} is 2D",
                'add "patch", three numbers; 1 across the slices of a 2D network',
            )
        patch = (fixed[0], fixed[1], fixed[2])
    if math.prod(patch) > _MOST_VOXELS:
        raise UserError(f"a window of {times(patch)} voxels is larger than any scan", "correct the patch")
    flat = tuple(n for n in patch if n != 1) if patch.count(1) == 1 else patch
    seen = flat if axes == 2 else patch
    if axes is not None and len(seen) != axes:
        raise UserError(
            f"{path} is 2D, the patch {times(patch)} in {card_path.name} is not",
            "say by a 1 across which axis the slices lie, such as [256, 256, 1]",
        )
    if fixed is not None and fixed != seen:
        raise UserError(
            f"{path} takes windows of {times(fixed)} voxels, {card_path.name} says {times(patch)}",
            "leave the patch out of the card, or correct it",
        )
    return patch


def _window(plan: Plan, card: Card, options: TeacherOptions) -> dict[str, Any]:
    mirror = card.mirror if options.mirror is None else options.mirror
    window = planned_inferer(plan) | {"blend": card.blend}
    if options.step is not None:
        if not 0 < options.step <= 1:
            raise UserError(f"windows cannot stand {options.step} of a patch apart", "give a share in (0, 1]")
        window["overlap"] = 1 - options.step
    if mirror:
        window["mirror"] = list(mirror) if isinstance(mirror, tuple) else mirror
    return window


def _probe(graph: Graph, plan: Plan) -> Arrays:
    patch = plan.network_patch
    shape = (1, len(plan.modalities), *patch)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def _choose(graph: Graph, card: Card, plan: Plan, naming: Naming, path: Path) -> str:
    """The output that answers for every voxel of a window: of several the one of the input's size."""
    probe = _probe(graph, plan)
    try:
        found = graph.run(probe)
    except UserError:
        raise
    except Exception as error:  # whatever an engine makes of a strange graph
        told = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path} cannot take windows of {times(plan.patch)} voxels ({told})", "correct the card"
        ) from None
    if card.output is not None:
        if card.output not in found:
            raise UserError(f"{path} has no output {card.output!r}", f"known: {', '.join(found)}")
        names = [card.output]
    else:
        names = [
            name for name, value in found.items() if value.ndim > 2 and value.shape[2:] == probe.shape[2:]
        ]
    if len(names) > 1:
        raise UserError(
            f"{path} has {len(names)} outputs of the size of a window: {', '.join(names)}",
            'say in the card which one it is: "output"',
        )
    if not names or found[names[0]].shape[2:] != probe.shape[2:]:
        shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in found.items())
        raise UserError(
            f"{path} answers windows of {list(probe.shape)} with {shapes}",
            "an answer for every voxel is needed",
        )
    if (channels := found[names[0]].shape[1]) != len(naming.heads):
        raise UserError(
            f"{path} answers with {channels} channels, its card names {len(naming.heads)}:"
            f" {', '.join(head.name for head in naming.heads)}",
            "name them all, in the network's order",
        )
    return names[0]


def _tried(graph: Graph, output: str, plan: Plan, naming: Naming, path: Path) -> str:
    """Whether it gives logits or probabilities, by what it says to noise."""
    answer = graph.run(_probe(graph, plan))[output]
    if not np.isfinite(answer).all() or answer.min() < 0 or answer.max() > 1:
        return "logits"
    if naming.activation == "sigmoid" or np.abs(answer.sum(1) - 1).max() <= _SUM_TOLERANCE:
        return "probabilities"
    raise UserError(
        f"{path} answers noise with numbers in 0 to 1 that do not sum to 1: logits, or regions that overlap?",
        'say in the card: "gives": "logits", or "activation": "sigmoid"',
    )


def _onnx(content: bytes, path: Path, beside: Sequence[Path], options: TeacherOptions) -> Graph:
    try:
        ort: Any = importlib.import_module("onnxruntime")
    except ImportError:
        raise UserError(
            f"{path} needs onnxruntime, which is not installed", "pip install 'distilseg[runtime]'"
        ) from None
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads or fewer_cores()
    settings.use_deterministic_compute = True
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.set_denormal_as_zero", "1")
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    there = ort.get_available_providers()
    if options.device == "cuda" and "CUDAExecutionProvider" not in there:
        raise UserError("this ONNX Runtime has no CUDA", "install onnxruntime-gpu, or use --device cpu")
    provider = "CUDAExecutionProvider" if options.device == "cuda" else "CPUExecutionProvider"
    source = str(path) if beside else content  # numbers in other files are found beside the file alone

    def load() -> Any:
        return ort.InferenceSession(source, settings, providers=[provider])

    try:
        session = network_thread().submit(load).result()
    except Exception as error:  # whatever a damaged file makes of the engine
        told = " ".join(str(error).split())[:300]
        raise UserError(f"{path} cannot be loaded ({told})", "copy or export it again") from None
    inputs = session.get_inputs()
    if len(inputs) != 1 or inputs[0].type not in _FLOATS:
        told = ", ".join(f"{one.name} {one.type}" for one in inputs)
        raise UserError(f"{path} takes {told or 'nothing'}", "one image of floating point is read")
    shape = tuple(n if isinstance(n, int) and n > 0 else None for n in inputs[0].shape)
    names, dtype, batch = [o.name for o in session.get_outputs()], _FLOATS[inputs[0].type], shape[0]

    def ask(windows: Arrays) -> list[Arrays]:
        shown = {inputs[0].name: np.ascontiguousarray(windows, dtype)}
        return [
            np.asarray(v, np.float32) for v in network_thread().submit(session.run, names, shown).result()
        ]

    def run(windows: Arrays) -> dict[str, Arrays]:
        return dict(zip(names, _in_batches(ask, windows, batch), strict=True))

    return Graph(run, shape)


def _in_batches(ask: Callable[[Arrays], list[Arrays]], windows: Arrays, batch: int | None) -> list[Arrays]:
    """The outputs for all windows of a graph that takes `batch` at a time, the last ones filled up."""
    if batch is None or len(windows) == batch:
        return ask(windows)
    parts = []
    for first in range(0, len(windows), batch):
        here = windows[first : first + batch]
        more = batch - len(here)
        filled = np.concatenate([here, np.repeat(here[-1:], more, 0)]) if more else here
        parts.append([output[: len(here)] for output in ask(filled)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _torchscript(content: bytes, path: Path, options: TeacherOptions) -> Graph:
    import torch

    from ..inference.denormals import denormals_flushed
    from ..predict import device_named

    device = device_named(options.device)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch.jit is deprecated, and loads still
            load: Any = torch.jit.load
            module = load(io.BytesIO(content), map_location=device).eval()
    except Exception as error:  # whatever a damaged file makes of torch
        told = " ".join(str(error).split())[:300]
        raise UserError(f"{path} cannot be loaded ({told})", "export it again with torch.jit.save") from None

    @torch.inference_mode()
    def run(windows: Arrays) -> dict[str, Arrays]:
        with denormals_flushed():
            answer = module(torch.from_numpy(np.ascontiguousarray(windows)).to(device))
        return {name: value.float().cpu().numpy() for name, value in _tensors(answer, torch.Tensor)}

    return Graph(run, ())


def _tensors(answer: Any, tensor: type) -> list[tuple[str, Any]]:
    if isinstance(answer, tensor):
        return [("output", answer)]
    items = answer.items() if isinstance(answer, Mapping) else enumerate(answer)
    return [(str(name), value) for name, value in items if isinstance(value, tensor)]
