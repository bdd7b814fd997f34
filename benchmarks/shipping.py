"""An exported student as its users run it, `distilseg predict ARTEFACT SCANS OUT`, and what it is made of.

    end to end   process start included, against the same plan run nnU-Net's way (`nnunet_way`) with nnU-Net's
                 network: 20 hippocampi, >= 100 times faster than with mirroring, >= 20 than without; a CT
                 phantom of 300x300x120 voxels, 5 and 105 classes, >= 10. And with the student itself in its
                 place, which has no aim but to be faster: how much of it the network is
    OpenVINO     as artefacts run it, against eager PyTorch, network by network: >= 3 times faster; given four
                 windows, and one, for which PyTorch leaves the convolutions of small maps to slower code
    int8         against float in OpenVINO, network by network: what it is
    arithmetic   operations per second of the students, of the machine's measured peak of convolutions: >= 0.6
    memory       of a label export with 105 classes against 5, <= 1.1; after 1,000 scans of one call against
                 after 100, <= 1.05

All on as many threads as there are cores. Weights are random: they cost the same. The rival would take hours:
of its windows some are run, of its 105 classes some are resampled, the rest is counted, and the notes say so.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from distilseg.data.fetch import find_data
from distilseg.data.phantom.volumes import phantom_case
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.export.cost_probe import untrained_artefact
from distilseg.export.openvino import write_openvino
from distilseg.export.quantise import engine_of, write_int8
from distilseg.inference.denormals import denormals_flushed
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.count import multiply_accumulates
from distilseg.networks.folding import folded
from distilseg.runtime.artefact import PLAN
from distilseg.runtime.engine import load_engine

from .common import Row, in_turns, ratio_row, row

ROOT = Path(__file__).resolve().parents[1]
LARGE = {"filters": [32, 64, 128, 256, 320]}
STUDENTS = ("student_tiny", "student_small", "student_base")
MIB = 2**20


@dataclass(frozen=True)
class Task:
    """Scans, the plan that both sides run, and how much of the rival is run."""

    name: str
    scans: Path
    plan: Plan
    windows: int | None  # of a case, plain; None: all
    mirrored: int
    aims: tuple[str, str]  # against nnU-Net's network, mirrored and plain


def main(quick: bool = False) -> list[Row]:
    # With several threads PyTorch waits for the slowest: on a busy machine, where tests run, for long.
    threads = 1 if quick else os.cpu_count() or 1
    torch.set_num_threads(threads)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        tasks = [_hippocampi(Path(folder) / "hippocampi", quick), *_abdomens(Path(folder), quick)]
        for task in tasks:
            rows += _end_to_end(task, Path(folder) / task.name, threads, quick)
        rows += _runtimes(Path(folder), threads, quick)
        rows += _memory(tasks[0], Path(folder) / "memory", quick)
    return rows


def _hippocampi(scans: Path, quick: bool) -> Task:
    """The first cases of MSD's hippocampus set; phantoms of their size where it is not at hand."""
    scans.mkdir()
    data = None if quick else find_data("hippocampus")
    if data is not None:
        for source in sorted((data / "imagesTr").glob("*.nii.gz"))[:20]:
            (scans / source.name).write_bytes(source.read_bytes())
    else:
        for case in range(2 if quick else 20):
            _write_phantom(scans / f"case_{case:02d}.nii.gz", case, (36, 50, 36), (1.0, 1.0, 1.0), "MR")
    plan = hippocampus_plan()
    what = f"{len(list(scans.iterdir()))} {'hippocampi' if data else 'phantoms of their size'}"
    return Task(what, scans, plan, 1 if quick else None, 1, (">= 100", ">= 20"))


def _abdomens(folder: Path, quick: bool) -> list[Task]:
    shape = (60, 60, 48) if quick else (300, 300, 120)
    scans = folder / "abdomen"
    scans.mkdir()
    _write_phantom(scans / "case.nii.gz", 0, shape, (1.2, 1.2, 2.5), "CT")
    told = f"a CT-like phantom of {'x'.join(map(str, shape))}"
    return [
        Task(
            f"{told}, {classes} classes",
            scans,
            abdomen_plan(classes, (32, 32, 32) if quick else (96, 96, 64)),
            1 if quick else 4,
            1,
            (">= 10", ">= 10"),
        )
        for classes in ((5,) if quick else (5, 105))
    ]


def hippocampus_plan() -> Plan:
    """Of MSD's hippocampus cases."""
    return _plan("MR", 3, (1.0, 1.0, 1.0), (32, 48, 32), Normalisation(kind="zscore"))


def abdomen_plan(classes: int, patch: tuple[int, ...] = (96, 96, 64)) -> Plan:
    """Of CT of the abdomen."""
    how = Normalisation(kind="window_zscore", low=-150, high=300, mean=100, std=80)
    return _plan("CT", classes, (1.5, 1.5, 2.5), patch, how)


def _write_phantom(
    path: Path, case: int, shape: Sequence[int], spacing_mm: Sequence[float], modality: str
) -> None:
    import nibabel

    images, _ = phantom_case(case, shape=shape, modalities=(modality,))
    nibabel.save(nibabel.Nifti1Image(images[modality], np.diag([*spacing_mm, 1.0])), path)


def _plan(
    modality: str,
    classes: int,
    spacing_mm: tuple[float, ...],
    patch: tuple[int, ...],
    normalisation: Normalisation,
) -> Plan:
    return Plan(
        dataset="benchmark",
        modalities=(modality,),
        labels={0: "background", **{k: f"structure {k}" for k in range(1, classes)}},
        spacing_mm=spacing_mm,
        crop="nonzero",
        normalisation={modality: normalisation},
        patch=patch,
        strides=((1, 1, 1), *[(2, 2, 2)] * 4),
    )


def _artefact(folder: Path, plan: Plan) -> Path:
    """`student_tiny` for OpenVINO, as `distilseg export` lays it out, without a run that it came from."""
    untrained_artefact(folder, plan.model_copy(update={"network": STUDENTS[0]}), "openvino")
    return folder


def _end_to_end(task: Task, folder: Path, threads: int, quick: bool) -> list[Row]:
    artefact = _artefact(folder / "artefact", task.plan)
    ours = [_predicted(artefact, task.scans, folder / f"ours-{n}", threads) for n in range(1 if quick else 3)]
    seconds = statistics.median(s for s, _ in ours)
    rows = []
    networks: dict[str, dict[str, Any]] = {STUDENTS[0]: {}}
    if not quick:
        networks = {"dynunet": LARGE, **networks}
    for network, options in networks.items():
        spec = NetworkSpec(network, 1, len(task.plan.labels), task.plan.patch, options)
        told = _nnunet_way(task, spec, folder / network, threads)
        its_own = network == STUDENTS[0]
        for mirrored, aim in zip((True, False), task.aims, strict=True):
            rows.append(
                row(
                    "end to end",
                    f"{task.name}, against {'the student itself' if its_own else 'nnU-Net’s network'}"
                    f" {'mirrored' if mirrored else 'not mirrored'}",
                    ours=seconds,
                    peer=(peer := _extrapolated(told, mirrored)),
                    unit="s",
                    ratio=peer / seconds,
                    aim=">= 1" if its_own else aim,
                    peer_name="nnU-Net's way",
                    repeats=len(ours),
                    note=_told(task, told, mirrored, max(peak for _, peak in ours)),
                )
            )
    return rows


def _predicted(artefact: Path, scans: Path, out: Path, threads: int) -> tuple[float, int]:
    """Seconds of the whole process, and the most memory it held, in bytes."""
    order = [sys.executable, "-m", "distilseg", "predict", str(artefact), str(scans), str(out)]
    order += ["--threads", str(threads)]
    start = time.perf_counter()
    process = subprocess.Popen(order, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(order)} ended with {process.returncode}")
    return seconds, used.ru_maxrss * 1024


def _nnunet_way(task: Task, spec: NetworkSpec, out: Path, threads: int) -> dict[str, Any]:
    out.mkdir()
    order = {
        "scans": [str(path) for path in sorted(task.scans.iterdir())],
        "out": str(out),
        "plan": str(out.parent / "artefact" / PLAN),
        "network": spec.to_dict(),
        "threads": threads,
        "windows": task.windows,
        "mirrored": task.mirrored,
        "classes": 5,
        "started": time.time(),
    }
    return _child("nnunet_way", order)


def _extrapolated(told: Mapping[str, Any], mirrored: bool) -> float:
    """Seconds of nnU-Net's way: start, and of every case what is beside the network and all its windows."""
    window_s = "mirrored_s" if mirrored else "plain_s"
    per_case = [case["beside_s"] + case["windows"] * case[window_s] for case in told["cases"]]
    return float(told["start_s"] + sum(per_case))


def _told(task: Task, told: Mapping[str, Any], mirrored: bool, peak_bytes: int) -> str:
    cases, run = told["cases"], task.mirrored if mirrored else task.windows
    windows = sum(case["windows"] for case in cases)
    parts = [
        f"peer: start {told['start_s']:.3g} s, beside the network"
        f" {sum(case['beside_s'] for case in cases):.3g} s, {windows} windows of"
        f" {statistics.mean(case['mirrored_s' if mirrored else 'plain_s'] for case in cases):.3g} s"
    ]
    if run is not None:
        parts.append(f"of each case's windows {run} run, the others counted")
    if len(task.plan.labels) > 5:
        parts.append("5 classes resampled, the others counted")
    parts.append(f"at most {peak_bytes / MIB:.0f} MiB resident")
    return "; ".join(parts)


def _runtimes(folder: Path, threads: int, quick: bool) -> list[Row]:
    """OpenVINO against PyTorch, int8 against float, and what of the peak is reached."""
    patch, slab = (32, 48, 32), (256, 256, 12)
    specs = {name: NetworkSpec(name, 1, 3, patch) for name in STUDENTS[: 1 if quick else 3]}
    if not quick:
        specs["DynUNet 32...320"] = NetworkSpec("dynunet", 1, 3, patch, LARGE)
        specs["DynUNet 16...256"] = NetworkSpec("dynunet", 1, 3, patch)
        specs["thickened light"] = NetworkSpec("thickened", 1, 3, slab, {"backbone": "light"})
    peak = _peak(folder, threads, quick)
    rows, achieved = [], []
    for name, spec in specs.items():
        torch.manual_seed(0)
        network = build(spec).eval()
        windows = np.random.default_rng(0).standard_normal((4, 1, *spec.patch), np.float32)
        engines = {
            "ours": _engine(network, folder, spec.patch, threads),
            "int8": _int8(network, folder, windows, threads),
        }
        for shown in (windows[:1], windows):
            seconds = _in_engines(network, engines, shown, quick)
            count = f"{len(shown)} window{'s' * (len(shown) > 1)}"
            what = f"{name}, {count} of {'x'.join(map(str, spec.patch))}"
            eager = ("OpenVINO", what, seconds["ours"], seconds["peer"])
            rows.append(ratio_row(*eager, aim=">= 3", peer_name="eager PyTorch"))
            in_float = ("int8", what, seconds["int8"], seconds["ours"])
            rows.append(ratio_row(*in_float, aim="<= 1", peer_name="float"))
        if name in STUDENTS:
            achieved.append(_achieved(network, what, windows.shape, seconds["ours"], peak))
    return rows + achieved


def _in_engines(
    network: torch.nn.Module,
    engines: Mapping[str, Callable[[Any], Any]],
    windows: NDArray[np.float32],
    quick: bool,
) -> dict[str, list[float]]:
    """Seconds of each engine, and of eager PyTorch ("peer"), in turns."""
    image = torch.from_numpy(windows)
    contestants = {name: partial(engine, windows) for name, engine in engines.items()}
    contestants["peer"] = partial(network, image)
    with torch.inference_mode(), denormals_flushed():
        return in_turns(contestants, repeats=2 if quick else 9, again=True)


def _achieved(
    network: torch.nn.Module, what: str, shape: tuple[int, ...], seconds: list[float], peak: float
) -> Row:
    """Operations per second, of the machine's peak."""
    done = 2 * multiply_accumulates(network, shape) / 1e9
    speed = done / statistics.median(seconds)
    return row(
        "arithmetic",
        what,
        ours=speed,
        peer=peak,
        unit="GFLOP/s",
        ratio=speed / peak,
        aim=">= 0.6",
        peer_name="3x3x3 convolution, OpenVINO",
        repeats=len(seconds),
        note=f"{done:.3g} GFLOP, two per multiply-accumulate of the network as it is trained",
    )


def _peak(folder: Path, threads: int, quick: bool) -> float:
    """GFLOP/s of the fastest of three large convolutions, 3x3x3, in OpenVINO."""
    best = 0.0
    for width in (32,) if quick else (64, 128, 256):
        network = torch.nn.Conv3d(width, width, 3, padding=1)
        size = (8, 8, 8) if quick else (32, 32, 32)
        engine = _engine(network, folder, size, threads, width)
        windows = np.random.default_rng(0).standard_normal((4, width, *size), np.float32)
        seconds = in_turns({"": lambda engine=engine, windows=windows: engine(windows)}, repeats=5)[""]  # type: ignore[misc]
        best = max(best, 2 * 27 * width**2 * np.prod((4, *size)) / min(seconds) / 1e9)
    return float(best)


def _engine(
    network: torch.nn.Module, folder: Path, patch: Sequence[int], threads: int, channels: int = 1
) -> Callable[[Any], Any]:
    """The network in OpenVINO, as an artefact runs it."""
    write_openvino(network, folder / "network.xml", modalities=channels, patch=patch)
    return load_engine("openvino", lambda name: (folder / name).read_bytes(), "network.xml", threads=threads)


def _int8(
    network: torch.nn.Module, folder: Path, windows: NDArray[np.float32], threads: int
) -> Callable[[Any], Any]:
    """The network in OpenVINO with all its layers in int8, calibrated on these windows."""
    in_float, out = folder / "folded.xml", folder / "int8.xml"
    write_openvino(folded(network), in_float, modalities=windows.shape[1], patch=windows.shape[2:])
    write_int8(in_float, out, [window[None] for window in windows])
    return engine_of(out, threads=threads)


def _memory(task: Task, folder: Path, quick: bool) -> list[Row]:
    coarse, fine = ((16, 16, 16), (40, 40, 32)) if quick else ((80, 80, 60), (300, 300, 120))
    repeats = 1 if quick else 3
    added = {
        k: statistics.median(_child("memory", ["classes", k, coarse, fine])["added"] for _ in range(repeats))
        for k in (5, 105)
    }
    artefact, (early, cases) = _artefact(folder / "artefact", task.plan), (10, 30) if quick else (100, 1000)
    scans = folder / "scans"
    scans.mkdir()
    one = next(task.scans.iterdir()).read_bytes()
    for n in range(cases):
        (scans / f"scan{n}.nii.gz").write_bytes(one)
    told = _child("memory", ["scans", str(artefact), str(scans), str(folder / "out"), early])
    return [
        row(
            "memory",
            f"label export to {'x'.join(map(str, fine))}, 105 classes against 5",
            ours=added[105] / MIB,
            peer=added[5] / MIB,
            unit="MiB added",
            ratio=added[105] / added[5],
            aim="<= 1.1",
            peer_name="5 classes",
            repeats=repeats,
            note="noise, where every class may win everywhere; the logits themselves left out",
        ),
        row(
            "memory",
            f"after {cases} small scans of one call, against after {early}",
            ours=told["late"] / MIB,
            peer=told["early"] / MIB,
            unit="MiB resident",
            ratio=told["late"] / told["early"],
            aim="<= 1.05",
            peer_name=f"after {early}",
            repeats=1,
            note=f"{told['written']} label maps written, {told['refused']} refused",
        ),
    ]


def _child(module: str, order: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{module}", json.dumps(order)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told
