"""A run becomes an artefact: written aside, compared with the run on real cases, then there or not at all."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from ..data.case import Dataset, Source
from ..data.plan import load_plan, save_plan
from ..data.readable import readable_json
from ..data.single_slices import recorded_dataset
from ..data.splits import load_split
from ..errors import UserError, unknown
from ..files import folder_written_whole, written_whole
from ..predict import Segmenter, load_predictor, load_torch_artefact
from ..runs import Run
from ..runtime.artefact import CARD, DESCRIPTION, PLAN, Description, open_artefact
from ..runtime.inferers import window_shape
from ..runtime.predictor import load_artefact
from ..views import is_fused
from .card import write_card
from .onnx import write_onnx
from .openvino import write_openvino
from .provenance import file_digest, provenance
from .verify import TOLERANCE, Parity, compare, record, refuse_beyond

MOST_CASES = 5  # that are compared where none are named


@dataclass(frozen=True)
class Target:
    """What `--to` names: the engine that runs the network, its file, what writes it (torch's is copied)."""

    engine: Literal["onnx", "openvino", "torch"]
    network: str
    write: Callable[..., None] | None = None


TARGETS: Mapping[str, Target] = {
    "onnx": Target("onnx", "network.onnx", write_onnx),
    "openvino": Target("openvino", "network.xml", write_openvino),
    "torch": Target("torch", "network.safetensors"),
}


@dataclass(frozen=True)
class Exported:
    """Where the artefact is, and how it compared."""

    path: Path
    parity: tuple[Parity, ...]


def export_run(
    run: Run,
    target: str = "onnx",
    out: Path | None = None,
    *,
    packed: bool = False,
    dataset: Dataset | None = None,
    cases: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    weights: str = "best",
    trust: str | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Exported:
    """Writes the artefact of `run` to `out`, a folder or (`packed`) a zip; by default RUN/export/<target>.

    `cases`: those that artefact and run are compared on; by default up to five of the run's test cases, then
    of its validation cases. `dataset`: where they lie now, if it moved. `tolerance`: the most that a logit
    may differ, and Dice be below 1. `weights`, `trust`: of `load_predictor`. Raises UserError, and leaves
    nothing behind, for an unknown target, a network that cannot be written, and parity beyond the tolerance.
    """
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    if is_fused(run):
        raise UserError(f"{run.folder} stands for several runs", "export them one by one")
    out = out or run.folder / "export" / (target + ".zip" * packed)
    packed = packed or out.suffix.lower() == ".zip"
    if out.exists():
        raise UserError(f"{out} exists already", "remove it, or name another place with --out")
    predictor = load_predictor(run.folder, weights=weights, device="cpu", trust=trust)
    sources = _cases(run, dataset, cases)

    def make(folder: Path) -> tuple[Parity, ...]:
        path = run.best if weights == "best" else run.last
        about = _write(run, target, folder, predictor.network, path)
        artefact: Segmenter = (
            load_torch_artefact(folder, device="cpu", trust=trust)
            if about.engine == "torch"
            else load_artefact(folder)
        )
        regions = about.answers == "regions"
        found = compare(predictor, artefact, sources, regions=regions, progress=progress)
        refuse_beyond(found, tolerance, target)
        about = about.model_copy(update={"parity": record(found, tolerance)})
        _describe(folder, about)
        write_card(folder / CARD, run, about, predictor.plan)
        return tuple(found)

    if not packed:
        with folder_written_whole(out) as aside:
            return Exported(out, make(aside))
    with tempfile.TemporaryDirectory() as folder:
        found = make(Path(folder))
        with written_whole(out) as aside:
            _pack(Path(folder), aside, out.stem)
    return Exported(out, found)


def _write(run: Run, target: str, folder: Path, network: nn.Module, weights: Path) -> Description:
    """The network, the plan and, but for parity, the description."""
    how, about, plan = TARGETS[target], run.read(run.experiment), load_plan(run.plan)
    if how.write is None:
        shutil.copyfile(weights, folder / how.network)
    else:
        patch, free = window_shape(about["inferer"])
        how.write(network, folder / how.network, modalities=len(plan.modalities), patch=patch, free=free)
    save_plan(folder / PLAN, plan)
    described = Description(
        name=run.name,
        target=target,
        engine=how.engine,
        network=how.network,
        answers=about.get("answers", "classes"),
        inferer=about["inferer"],
        made=provenance(run, weights),
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
    )
    _describe(folder, described)
    return open_artefact(folder).about


def _describe(folder: Path, about: Description) -> None:
    text = readable_json(about.model_dump(mode="json"))
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def _pack(folder: Path, path: Path, name: str) -> None:
    """One zip with one folder called `name` in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, f"{name}/{file.name}")


def _cases(run: Run, dataset: Dataset | None, named: Sequence[str] | None) -> dict[str, Mapping[str, Source]]:
    """The images, by modality, of the cases to compare on."""
    plan = load_plan(run.plan)
    told: Any = run.read(run.experiment)["dataset"]
    try:
        dataset = recorded_dataset(told, dataset)
    except UserError as error:
        raise UserError(
            f"the scans to compare artefact and run on are not there ({error.cause})",
            "say where the dataset lies now with --data",
        ) from None
    if named is None:
        split = load_split(run.split, dataset.cases)
        named = [*split.test, *split.validation][:MOST_CASES]
    if not named:
        raise UserError(f"{run.name} has no test or validation cases", "name cases with --cases")
    return {id: {name: dataset.case(id).images[name] for name in plan.modalities} for id in named}
