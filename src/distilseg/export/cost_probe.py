"""What `cost_model.py` is fitted to: untrained networks and real cases, timed on this machine.

Each measurement is made in a process of its own, which loads an artefact as `distilseg predict` does and says
how long something takes, the lower quartile of repeats, and what memory it adds. What was
measured is kept in the user's cache under machine, engine and versions, network and cases, so that it is
measured once; a machine that was busy then is measured again on request.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..data.case import Case
from ..data.planning.plan import Plan, save_plan
from ..data.planning.views import in_plane
from ..errors import UserError
from ..files import write_json
from ..functional.windows import window_steps
from ..hardware import processor_name
from ..json_files import read_object
from ..networks.build import NetworkSpec, build
from ..progress import say
from ..runtime.artefact import DESCRIPTION, PLAN, Description, digest
from ..runtime.inferers import OVERLAP, planned_inferer
from ..runtime.times import STAGES
from ..user_cache import kept_if_possible
from .cost import LONGEST_S
from .cost_model import CaseCost, array_bytes, cut
from .cost_of_model import processors

Engine = Literal["openvino", "onnx", "torch"]
BESIDE = tuple(stage for stage in STAGES if stage != "network")
SLICES = 20  # of a case that is measured: two turns and a half
MORE = {
    3: (2, 1),
    2: (1,),
}  # windows after the first, along the first axes of a plane: 6 in all, or 2 a slice
_PACKAGES = {"openvino": "openvino", "onnx": "onnxruntime", "torch": "torch"}


@dataclass(frozen=True)
class WindowCost:
    """One network and one size of its windows."""

    window_s: float  # of a case that is one window
    blended_s: float  # of one window of several
    loaded_bytes: int
    activations: tuple[tuple[int, int], ...]  # windows at once, and the bytes that the engine keeps for them


@dataclass(frozen=True)
class Measured:
    """A case predicted end to end."""

    stages_s: Mapping[str, float]
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """From the first byte read to the last one written."""
        return sum(self.stages_s.values())


def engine_here() -> Engine:
    """What would run a shipped network on this machine: OpenVINO, else ONNX Runtime, else eager PyTorch."""
    writable = find_spec("onnx") is not None and find_spec("onnxscript") is not None
    found = {name: find_spec(package) is not None for name, package in _PACKAGES.items()}
    return "openvino" if writable and found["openvino"] else "onnx" if writable and found["onnx"] else "torch"


@dataclass(frozen=True)
class Machine:
    """This machine with one engine; what it measured is kept in `cache` and found again unless `again`."""

    engine: Engine
    cache: Path
    again: bool = False

    @property
    def named(self) -> str:
        """For people."""
        return f"{processor_name()}, {processors()} threads, {self._engine_version}"

    @property
    def _engine_version(self) -> str:
        return f"{_PACKAGES[self.engine]} {version(_PACKAGES[self.engine])}"

    def gmac(self, plan: Plan) -> float:
        """Multiply-accumulates of one of the plan's windows, in 10^9."""
        spec = student_spec(plan)

        def count() -> dict[str, Any]:
            from ..networks.count import multiply_accumulates

            return {"of_window": multiply_accumulates(build(spec), (1, spec.in_channels, *spec.patch))}

        counted = replace(self, again=False)._kept({"multiply_accumulates": spec.to_dict()}, count)
        return float(counted["of_window"]) / 1e9

    def windows(self, plan: Plan) -> WindowCost:
        """The plan's network on windows of its patch, one by one and blended."""

        def measure() -> dict[str, Any]:
            return self._asked(plan, {"images": [_one_window(plan), _several_windows(plan)]})

        found = self._kept({"windows": student_spec(plan).to_dict()}, measure)
        seconds, activations = [], []
        for shape, timed in zip((_one_window(plan), _several_windows(plan)), found["images"], strict=True):
            how = cut(plan, shape)
            seconds.append(timed["seconds"] / how.windows)
            added = timed["peak"] - found["loaded"] - array_bytes(plan, shape)
            activations.append((how.at_once, max(added, 1)))
        return WindowCost(seconds[0], seconds[1], found["loaded"], tuple(activations))

    def beside(self, plan: Plan, cases: Sequence[Case]) -> list[CaseCost]:
        """Each case beside the network, the last one's memory included: smaller cases go first."""
        key = {"beside": plan.preprocessing(), "classes": len(plan.classes), "cases": _files(cases)}
        found = self._kept(key, lambda: self._asked(plan, {"cases": _plain(plan, cases), "network": False}))
        return [
            CaseCost(
                {stage: one["stages_s"][stage] for stage in BESIDE},
                tuple(one["working_shape"]),
                one["stored"],
                one["peak"] - found["loaded"],
            )
            for one in found["cases"]
        ]

    def end_to_end(self, plan: Plan, cases: Sequence[Case]) -> list[Measured]:
        """The plan's network, untrained, on each case, one after the other in one process."""
        key = {
            "end_to_end": [plan.preprocessing(), student_spec(plan).to_dict(), planned_inferer(plan)],
            "cases": _files(cases),
        }
        found = self._kept(key, lambda: self._asked(plan, {"cases": _plain(plan, cases), "network": True}))
        return [Measured(one["stages_s"], one["peak"]) for one in found["cases"]]

    def _kept(self, key: Mapping[str, Any], measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        about = {
            **key,
            "processor": processor_name(),
            "threads": processors(),
            "engine": self._engine_version,
            "distilseg": __version__,
        }
        name = hashlib.blake2b(json.dumps(about, sort_keys=True).encode(), digest_size=12).hexdigest()
        path = self.cache / "costs" / f"{name}.json"
        if path.is_file() and not self.again:
            with contextlib.suppress(UserError):  # what is damaged is measured again
                kept = read_object(path)
                found = kept.get("found")
                if isinstance(found, dict):
                    return found
        found = measure()
        with kept_if_possible("what was measured of this machine", path.parent):
            write_json(path, {"about": about, "found": found})
        return found

    def _asked(self, plan: Plan, order: Mapping[str, Any]) -> dict[str, Any]:
        """What a process of its own finds, given the plan's artefact."""
        say(f"measuring {plan.network} here: some seconds, a minute for all; kept for the next time")
        with tempfile.TemporaryDirectory() as folder:
            untrained_artefact(Path(folder) / "artefact", plan, self.engine)
            return measured_apart(Path(folder) / "artefact", order, str(plan.network))


def measured_apart(artefact: Path, order: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What `cost_process.py` finds, given an order and an artefact of the network `name`."""
    command = [sys.executable, "-m", "distilseg.export.cost_process", str(artefact)]
    try:
        done = subprocess.run(
            command,
            input=json.dumps(order),
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"measuring {name} took more than {LONGEST_S / 3600:.0f} hours and was ended",
            "plan for a smaller network or smaller cases",
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        last = last.removeprefix("distilseg.errors.UserError: ")
        raise UserError(f"measuring {name} failed: {last}", "mend that, and plan again")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def student_spec(plan: Plan) -> NetworkSpec:
    """The network that the plan recommends, as a recipe would describe it."""
    assert plan.network is not None
    strides = [list(stride) for stride in plan.network_strides]
    return NetworkSpec(
        plan.network,
        len(plan.modalities),
        len(plan.classes),
        plan.network_patch,
        {"strides": strides},
        plan.network_tissue_windows(),
    )


def untrained_artefact(folder: Path, plan: Plan, engine: Engine, *, free: bool = False) -> None:
    """The plan's network with random weights, as `distilseg export` lays out a trained one; `free`: for
    windows of any size."""
    import torch

    from ..networks.checkpoint import save_weights
    from .onnx import write_onnx
    from .openvino import write_openvino

    folder.mkdir(parents=True)
    spec = student_spec(plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(spec).eval()
    file = {"openvino": "network.xml", "onnx": "network.onnx", "torch": "network.safetensors"}[engine]
    if engine == "torch":
        save_weights(folder / file, network, spec)
    else:
        write = write_openvino if engine == "openvino" else write_onnx
        axes = tuple(range(len(spec.patch))) if free else ()
        write(network, folder / file, modalities=spec.in_channels, patch=spec.patch, free=axes)
    save_plan(folder / PLAN, plan)
    about = Description(
        name="untrained",
        target=engine,
        engine=engine,
        network=file,
        answers="classes",
        inferer=planned_inferer(plan),
        made={},
        files={path.name: digest(path.read_bytes()) for path in folder.iterdir()},
    )
    (folder / DESCRIPTION).write_text(about.model_dump_json(), encoding="utf-8")


def _one_window(plan: Plan) -> tuple[int, ...]:
    """The shape of a case whose windows are not blended; of slices as many as are shown in several turns."""
    return tuple(SLICES if axis == plan.slice_axis else size for axis, size in enumerate(plan.patch))


def _several_windows(plan: Plan) -> tuple[int, ...]:
    """The shape of a case of several windows, which are shown in more than one turn, the last one smaller."""
    steps = window_steps(plan.patch, OVERLAP if plan.overlap is None else plan.overlap, None)
    shape = list(_one_window(plan))
    for axis, more in zip(in_plane(range(3), plan.slice_axis), MORE[len(plan.network_patch)], strict=False):
        shape[axis] += more * steps[axis]
    return tuple(shape)


def _plain(plan: Plan, cases: Sequence[Case]) -> list[dict[str, Any]]:
    return [
        {
            "case": case.id,
            "images": {name: case.images[name].plain() for name in plan.modalities},
            "plan": plan.model_dump_json(exclude_none=True),
        }
        for case in cases
    ]


def _files(cases: Sequence[Case]) -> list[list[Any]]:
    """What changes when a scan is replaced."""
    sources = [source for case in cases for source in case.images.values()]
    states = [source.path.stat() for source in sources]
    return [
        [repr(source), state.st_size, state.st_mtime_ns]
        for source, state in zip(sources, states, strict=True)
    ]
