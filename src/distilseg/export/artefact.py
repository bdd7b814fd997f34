"""A run becomes an artefact: written aside, compared with the run on real cases, then there or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from ..data.case import Dataset, Source
from ..data.formats.dicom import rules_to_keep
from ..data.planning.coded import with_codes
from ..data.planning.plan import Plan, load_plan, save_plan
from ..data.planning.splits import load_split
from ..disk import no_link
from ..errors import UserError, unknown
from ..hardware import Waiting
from ..inference.build import make_inferer
from ..networks.build import NetworkSpec
from ..networks.folding import folded
from ..predict import Predictor, Segmenter, load_torch_artefact
from ..progress import say
from ..runs import Run
from ..runtime.artefact import CARD, PLAN, Description, View, open_artefact
from ..runtime.inferers import window_shape
from ..runtime.predictor import ArtefactPredictor, load_artefact
from ..runtime.views import load_shipped
from ..views import Views, is_fused, load_segmenter, members
from .card import write_card
from .cases import dataset_of, held_out
from .folder import cost_of, describe, made_whole
from .inference_windows import (
    WINDOW_BYTES,
    Fitted,
    choose,
    description_of,
    free_multiple,
    gives_the_same,
    largest,
    options_for,
)
from .int8 import CALIBRATION_CASES, quantise
from .judging import MOST_JUDGING, MOST_TUNING
from .onnx import write_onnx
from .openvino import write_openvino
from .provenance import file_digest, provenance, provenance_of_views
from .quantise import check_nncf
from .quantised import MAX_DICE_DROP, Quantised
from .verify import TOLERANCE, Parity, compare, record, refuse_beyond, seconds_in_turns


@dataclass(frozen=True)
class Target:
    """What `--to` names: the engine that runs the network, its file, what writes it (torch's is copied)."""

    engine: Literal["onnx", "openvino", "torch"]
    network: str
    write: Callable[..., None] | None = None
    int8: bool = False


TARGETS: Mapping[str, Target] = {
    "onnx": Target("onnx", "network.onnx", write_onnx),
    "openvino": Target("openvino", "network.xml", write_openvino),
    "openvino-int8": Target("openvino", "network.xml", write_openvino, int8=True),
    "torch": Target("torch", "network.safetensors"),
}
WINDOWS = ("training", "fitted")


@dataclass(frozen=True)
class Exported:
    """Where the artefact is, how it compared in float, and what became of int8 and of fitted windows, where
    those were asked for."""

    path: Path
    parity: tuple[Parity, ...]
    quantised: Quantised | None = None
    windows: Fitted | None = None
    of: Literal["run", "model"] = "run"  # what it was exported from; a model of others


def export_run(
    run: Run,
    target: str = "onnx",
    out: Path | None = None,
    *,
    packed: bool = False,
    dataset: Dataset | None = None,
    cases: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
    max_dice_drop: float = MAX_DICE_DROP,
    calibration_cases: int = CALIBRATION_CASES,
    even_if_slower: bool = False,
    windows: str = "training",
    window_bytes: float | None = None,
    weights: str = "best",
    trust: str | None = None,
    codes: Path | None = None,
    series: Sequence[str] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Exported:
    """Writes the artefact of `run`, or of several that `views.fused` made one, to `out`; by default
    RUN/export/<target>, a folder or (`packed`) a zip.

    `cases`: those that artefact and run are compared on; by default up to five of the run's test cases, then
    of its validation cases. `dataset`: where they lie now, if it moved. `tolerance`: the most that a logit
    may differ, and Dice be below 1. `weights`, `trust`: of `load_predictor`. Raises UserError, and leaves
    nothing behind, for an unknown target, a network that cannot be written, and parity beyond the tolerance.

    "openvino-int8" is compared in float, quantised on windows of `calibration_cases` training cases, and
    judged on `cases` (up to twenty test cases, else validation cases): beyond a drop of `max_dice_drop`
    points of mean Dice, and where int8 is slower on this machine unless `even_if_slower`, the artefact stays
    in float, and says so. See `int8.quantise`. Fused runs are neither for int8 nor for torch.

    `codes`: what the classes are in SNOMED CT, instead of what the plan says, see `data.planning.coded`.
    `series`: rules by which series of DICOM are chosen, likewise, see `data.formats.dicom`.
    `windows`: those of "training"; or "fitted" to each scan, of at most `window_bytes` of memory (the plan's,
    else 1 GB), where the network takes them and the same cases lose no Dice, see `inference_windows`.
    """
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)
    if windows not in WINDOWS:
        raise unknown("kind of windows", windows, WINDOWS)
    if is_fused(run) and target not in ("onnx", "openvino"):
        raise UserError(
            f"{run.folder} stands for several runs, which are one artefact for onnx or openvino alone",
            f"export each of {', '.join(each.name for each in members(run))}; `distilseg predict` takes their"
            " artefacts by comma",
        )
    if out is None:
        no_link(run.folder / "export")
        out = run.folder / "export" / (target + ".zip" * packed)
    if packed and out.suffix.lower() != ".zip":
        out = out.with_name(f"{out.name}.zip")  # by which it is known as one
    packed = packed or out.suffix.lower() == ".zip"
    if out.exists():
        raise UserError(f"{out} exists already", "remove it, or name another place with --out")
    predictor = load_segmenter(run, weights=weights, device="cpu", trust=trust)
    plan, kept = predictor.plan, dict[str, Any]()
    if codes is not None:
        kept["codes"] = with_codes(plan, codes).codes
    if series:
        kept["series"] = rules_to_keep(series, plan.modalities, plan.series)
    dataset = dataset_of(
        run,
        dataset,
        wanted="to compare artefact and run on",
        fix="say where the dataset lies now with --data",
    ).of_labels(load_plan(run.plan).label_values)
    split = load_split(run.split, dataset.cases)
    sources = _sources(dataset, predictor.plan, held_out(run, dataset, cases))
    if TARGETS[target].int8:
        check_nncf()
    judging = list(cases) if cases is not None else list(split.test or split.validation)[:MOST_JUDGING]
    say(f"{run.name}: exported to {target}, then compared with the run case by case")

    def make(folder: Path) -> Exported:
        paths = [each.best if weights == "best" else each.last for each in members(run)]
        about, multiple = _write(run, target, folder, predictor, paths, windows, kept)
        artefact: Segmenter = (
            load_torch_artefact(folder, device="cpu", trust=trust)
            if about.engine == "torch"
            else load_shipped(folder, threads=torch.get_num_threads())
        )
        training, fitting = artefact, None
        if multiple and isinstance(artefact, ArtefactPredictor) and isinstance(predictor, Predictor):
            budget = window_bytes or predictor.plan.window_bytes or WINDOW_BYTES
            tuning = [id for id in split.validation if id not in judging][:MOST_TUNING]
            fitting, options = _fitted(
                folder, about, artefact, predictor, multiple, budget, dataset, judging, tuning
            )
            about = about.model_copy(update={"windows": fitting.record()})
            if options is not None:
                about = about.model_copy(update={"inferer": options})
                describe(folder, about)
                artefact = load_artefact(folder, threads=torch.get_num_threads())
        elif windows == "fitted":
            fitting = Fitted("training", _no_others(about))
            about = about.model_copy(update={"windows": fitting.record()})
        waiting = Waiting()
        regions = about.answers == "regions"
        found = compare(_shown_alike(predictor, about), artefact, sources, regions=regions, progress=progress)
        refuse_beyond(found, tolerance, target)
        about = about.model_copy(update={"parity": record(found, tolerance)})
        quantised = None
        if TARGETS[target].int8 and isinstance(artefact, ArtefactPredictor):
            quantised = quantise(
                folder / about.network,
                artefact,
                dataset,
                split,
                judging,
                calibrator=training if isinstance(training, ArtefactPredictor) else None,
                max_dice_drop=max_dice_drop,
                calibration_cases=calibration_cases,
                even_if_slower=even_if_slower,
            )
            about = about.model_copy(
                update={
                    "target": target if quantised.kept == "int8" else "openvino",
                    "quantisation": quantised.record(),
                    "files": {name: file_digest(folder / name) for name in about.files},
                }
            )
            describe(folder, about)
        timed = [one.run_s for one in found], [one.artefact_s for one in found]
        in_int8 = quantised is not None and quantised.kept == "int8"
        if in_int8 or artefact is not training:
            waiting, shipped = Waiting(), load_artefact(folder, threads=torch.get_num_threads())
            timed = seconds_in_turns(predictor, shipped, sources)
        about = about.model_copy(
            update={"cost": cost_of(folder, about, sum(map(_bytes, paths)), *timed, waiting.share())}
        )
        describe(folder, about)
        write_card(folder / CARD, run, about, predictor.plan)
        return Exported(out, tuple(found), quantised, fitting)

    return made_whole(out, make, packed=packed)


def _fitted(
    folder: Path,
    about: Description,
    artefact: ArtefactPredictor,
    predictor: Predictor,
    multiple: Sequence[int],
    budget_bytes: float,
    dataset: Dataset,
    judging: Sequence[str],
    tuning: Sequence[str],
) -> tuple[Fitted, dict[str, Any] | None]:
    """What became of windows fitted to the scans, and the inferer that cuts them where they are better."""
    modalities = len(predictor.plan.modalities)
    options = options_for(about.inferer, multiple)
    if not gives_the_same(predictor.network, artefact.network, modalities, options):
        return Fitted("training", "what was written answers others differently than the network"), None
    options, per_voxel = largest(folder, options, about.name, budget_bytes)
    options, found = choose(artefact, options, per_voxel, dataset, judging, tuning)
    return found, description_of(options) if found.kept == "fitted" else None


def _no_others(about: Description) -> str:
    """Why its windows are not even tried in other sizes."""
    if about.engine == "torch" or about.views or about.inferer["kind"] != "sliding_window":
        return "only a network of its own over volumes, in ONNX or OpenVINO, is shown others"
    return f"{about.made['network']['name']} takes no others, or cannot be written so that it does"


def _shown_alike(predictor: Predictor | Views, about: Description) -> Predictor | Views:
    """The run's predictor, with the windows of the artefact."""
    if isinstance(predictor, Views):
        return predictor
    return replace(predictor, inferer=make_inferer(about.inferer))


def _write(
    run: Run,
    target: str,
    folder: Path,
    predictor: Predictor | Views,
    weights: Sequence[Path],
    windows: str,
    kept: Mapping[str, Any],
) -> tuple[Description, tuple[int, ...]]:
    """The networks, their plans and, but for parity, the description; and what windows that are fitted to
    scans must be a multiple of, () where there are none."""
    multiple: tuple[int, ...] = ()
    how, runs = TARGETS[target], members(run)
    if isinstance(predictor, Views):
        parts, fusion = predictor.predictors, {"how": predictor.how, "threshold": predictor.threshold}
        views = [
            _write_view(each, how, folder, part.network, path, f"_{n}")[0]
            for n, (each, part, path) in enumerate(zip(runs, parts, weights, strict=True))
        ]
        made = provenance_of_views(run, runs, weights)
        save_plan(folder / PLAN, predictor.plan)
    else:
        fusion, made = {}, provenance(run, weights[0])
        view, multiple = _write_view(
            run, how, folder, predictor.network, weights[0], fitted=windows == "fitted"
        )
        views = [view]
    if kept:
        save_plan(folder / PLAN, load_plan(folder / PLAN).model_copy(update=kept))
    described = Description(
        name=run.name,
        target=target,
        engine=how.engine,
        network=views[0].network,
        answers=views[0].answers,
        inferer=views[0].inferer,
        views=tuple(views) if fusion else (),
        fusion=fusion,
        made=made,
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
    )
    describe(folder, described)
    return open_artefact(folder).about, multiple


def _write_view(
    run: Run,
    how: Target,
    folder: Path,
    network: nn.Module,
    weights: Path,
    mark: str = "",
    *,
    fitted: bool = False,
) -> tuple[View, tuple[int, ...]]:
    """One network and its plan, their names marked where there are several; and what windows other than the
    inferer's must be a multiple of, () where the file takes none."""
    about, plan = run.read(run.experiment), load_plan(run.plan)
    file, plan_file = (f"{Path(name).stem}{mark}{Path(name).suffix}" for name in (how.network, PLAN))
    multiple: tuple[int, ...] = ()
    if how.write is None:
        shutil.copyfile(weights, folder / file)
    else:
        patch, free = window_shape(about["inferer"])
        spec = NetworkSpec.from_dict(about["networks"]["student"])
        multiple = free_multiple(network, spec, about["inferer"]) if fitted and len(patch) == 3 else ()
        network = folded(network) if how.int8 else network
        write = partial(how.write, network, folder / file, modalities=len(plan.modalities), patch=patch)
        try:
            write(free=tuple(range(len(patch))) if multiple else free)
        except UserError:
            if not multiple:
                raise
            multiple = ()
            write(free=free)
    save_plan(folder / plan_file, plan)
    view = View(
        network=file, inferer=about["inferer"], answers=about.get("answers", "classes"), plan=plan_file
    )
    return view, multiple


def _bytes(path: Path) -> int:
    return path.stat().st_size


def _sources(dataset: Dataset, plan: Plan, ids: Sequence[str]) -> dict[str, Mapping[str, Source]]:
    """Of each case its images, by modality."""
    return {id: {name: dataset.case(id).images[name] for name in plan.modalities} for id in ids}
