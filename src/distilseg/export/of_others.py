"""A model of others becomes an artefact: its networks and its makers' own way from scans to label maps.

Written aside, compared with the model itself on real scans, label map by label map, then there or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..data.case import Case
from ..data.formats.dicom import rules_to_keep
from ..data.formats.inputs import expected, find_cases
from ..data.planning.coded import with_codes
from ..data.planning.plan import save_plan
from ..data.scans.reading import read_scans
from ..errors import UserError, unknown
from ..hardware import Waiting
from ..names import component
from ..progress import say
from ..runtime.artefact import CARD, PLAN, PREPARATION, Description, open_artefact
from ..runtime.pipeline import Segmenter
from ..runtime.views import load_shipped
from ..teachers.shipment import Shipment
from ..teachers.shipping import shipment_of
from ..teachers.teacher import Teacher
from .artefact import TARGETS, Exported, Target
from .card_of_others import write_card
from .cases import MOST_CASES
from .folder import cost_of, describe, made_whole
from .int8 import CALIBRATION_CASES
from .int8_of_others import Judged, cases_for_int8, quantised_by_answers
from .provenance import NOT_SAID, file_digest, versions
from .quantise import check_nncf
from .quantised import MAX_DICE_DROP
from .verify import Parity, parity_of, record

MOST_OTHERWISE = 1e-3  # of a case's voxels may have another label than the model itself gives


@dataclass(frozen=True)
class _Request:
    """What was asked for."""

    teacher: Teacher
    shipment: Shipment
    target: str
    most_otherwise: float
    max_dice_drop: float
    calibration_cases: int
    even_if_slower: bool

    @property
    def how(self) -> Target:
        return TARGETS[self.target]


def export_of_others(
    teacher: Teacher,
    target: str = "onnx",
    out: Path | None = None,
    *,
    scans: Path | str | Sequence[Path | str] | None,
    packed: bool = False,
    cases: Sequence[str] | None = None,
    most_otherwise: float = MOST_OTHERWISE,
    max_dice_drop: float = MAX_DICE_DROP,
    calibration_cases: int = CALIBRATION_CASES,
    even_if_slower: bool = False,
    codes: Path | None = None,
    series: Sequence[str] = (),
    progress: Callable[[int, int], object] | None = None,
) -> Exported:
    """Writes the artefact of `teacher` to `out`, by default here, under the model's name and the target's.

    `scans`: files, folders or datasets as `distilseg predict` takes them; artefact and model are compared on
    `cases` of them, by default the first five. Raises UserError, and leaves nothing behind, where more than
    `most_otherwise` of the voxels of a case get another label, and for a model whose way cannot be run
    without torch. "openvino-int8" is calibrated on other scans than those, and judged by the model's answers;
    `even_if_slower` as of `int8.quantise`. `codes`: what the classes are in SNOMED CT, see
    `data.planning.coded`; `series`: rules by which series of DICOM are chosen, see `data.formats.dicom`.
    """
    if target not in TARGETS or TARGETS[target].write is None:
        raise unknown("target of a model of others", target, [t for t, how in TARGETS.items() if how.write])
    if scans is None:
        raise UserError(
            f"an artefact of {teacher.name} is compared with it on real scans, and none are named",
            "name some with --data: a scan, a folder of scans, a dataset",
        )
    if out is None:
        named = component(teacher.name.replace("/", "__"), kind="model")
        out = Path(f"{named}-{target}" + ".zip" * packed)
    if packed and out.suffix.lower() != ".zip":
        out = out.with_name(f"{out.name}.zip")  # by which it is known as one
    packed = packed or out.suffix.lower() == ".zip"
    if out.exists():
        raise UserError(f"{out} exists already", "remove it, or name another place with --out")
    found, chosen = _cases(teacher, scans, cases)
    if TARGETS[target].int8:
        check_nncf()
        judged = cases_for_int8(found, chosen, calibration_cases)
    else:
        judged = Judged(found[:MOST_CASES] if chosen is None else chosen)
    shipment = shipment_of(teacher)
    if codes is not None:
        shipment = replace(shipment, plan=with_codes(shipment.plan, codes))
    if series:
        kept = rules_to_keep(series, shipment.plan.modalities, shipment.plan.series)
        shipment = replace(shipment, plan=shipment.plan.model_copy(update={"series": kept}))
    request = _Request(
        teacher,
        shipment,
        target,
        most_otherwise,
        max_dice_drop,
        calibration_cases,
        even_if_slower,
    )
    say(f"{teacher.name}: exported to {target}, then compared with the model itself case by case")
    destination = out
    return made_whole(
        out, lambda folder: _make(folder, destination, request, judged, progress), packed=packed
    )


def _make(
    folder: Path,
    out: Path,
    request: _Request,
    judged: Judged,
    progress: Callable[[int, int], object] | None,
) -> Exported:
    teacher, shipment = request.teacher, request.shipment
    about = _written(folder, request, out.stem)
    artefact = load_shipped(folder, threads=torch.get_num_threads())
    waiting = Waiting()
    found = _compared(teacher, artefact, judged, progress)
    _refuse_beyond(found, request.most_otherwise, request.target)
    about = about.model_copy(update={"parity": _record(found, request.most_otherwise)})
    quantised = None
    if request.how.int8:
        quantised = quantised_by_answers(
            folder / about.network,
            artefact,
            teacher,
            judged,
            shipment.plan,
            max_dice_drop=request.max_dice_drop,
            calibration_cases=request.calibration_cases,
            even_if_slower=request.even_if_slower,
        )
        about = about.model_copy(
            update={
                "target": request.target if quantised.kept == "int8" else "openvino",
                "quantisation": quantised.record(),
                "files": {name: file_digest(folder / name) for name in about.files},
            }
        )
    timed = [one.run_s for one in found], [one.artefact_s for one in found]
    parameters = sum(
        parameter.numel() for one in shipment.networks.values() for parameter in one.network.parameters()
    )
    about = about.model_copy(update={"cost": cost_of(folder, about, 4 * parameters, *timed, waiting.share())})
    describe(folder, about)
    write_card(folder / CARD, about, shipment.plan)
    return Exported(out, tuple(found), quantised, of="model")


def _cases(
    teacher: Teacher, scans: Path | str | Sequence[Path | str], named: Sequence[str] | None
) -> tuple[list[Case], list[Case] | None]:
    """All of the scans, and those of them that are named."""
    found, refused = find_cases(scans, teacher.modalities)
    by_id = {case.id: case for case in found}
    if missing := [name for name in named or () if name not in by_id]:
        raise unknown("case among the scans", missing[0], by_id)
    if not found:
        case, why = next(iter(refused.items()))
        raise UserError(f"{case}: {why}", expected(teacher.modalities))
    return found, None if named is None else [by_id[name] for name in named]


def _written(folder: Path, request: _Request, name: str) -> Description:
    """The networks, the plan, the preparation and, but for parity, the description."""
    shipment, how = request.shipment, request.how
    assert how.write is not None
    ending = Path(how.network).suffix
    files = {stem: f"{stem}{ending}" for stem in shipment.networks}
    for stem, one in shipment.networks.items():
        how.write(one.network, folder / files[stem], modalities=one.inputs, patch=one.patch)
    (folder / PREPARATION).write_text(shipment.way(files), encoding="utf-8")
    save_plan(folder / PLAN, shipment.plan)
    about = Description(
        name=name,
        target=request.target,
        engine=how.engine,
        network=files[list(files)[-1]],
        answers=shipment.answers,
        inferer=dict(shipment.inferer),
        preparation=shipment.preparation,
        made=_made(request.teacher, shipment),
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
    )
    describe(folder, about)
    return open_artefact(folder).about


def _made(teacher: Teacher, shipment: Shipment) -> dict[str, Any]:
    """Whence the model comes, on what terms; no path of this machine."""
    of = teacher.provenance
    terms = {"name": of.dataset, "licence": of.licence, "reference": of.reference}
    return {
        "model": Path(teacher.name).name if Path(teacher.name).is_absolute() else teacher.name,
        "kind": of.kind,
        "network": of.network,
        "trainer": of.trainer,
        "dataset": {name: value or NOT_SAID for name, value in terms.items()},
        "warnings": list(of.warnings),
        "files": dict(of.files),
        "digest": teacher.digest,
        "told": dict(shipment.told),
        "exported_with": {"distilseg": __version__, **versions()},
    }


def _compared(
    teacher: Teacher,
    artefact: Segmenter,
    judged: Judged,
    progress: Callable[[int, int], object] | None,
) -> list[Parity]:
    """Each case by the model and by its artefact, from the scans in memory to the label map."""
    found = []
    for done, case in enumerate(judged.judging, start=1):
        scans = read_scans(case.images)
        start = time.perf_counter()
        answer = teacher.answer(scans, case=case.id)
        labels = teacher.labels(answer, scans)
        between = time.perf_counter()
        prepared = artefact.prepare(scans, case=case.id)
        logits = artefact.logits(prepared.image, case=case.id)
        other_labels = artefact.labels(logits, prepared.grid)
        spent = between - start, time.perf_counter() - between
        judged.labels[case.id] = labels
        regions = answer.activation == "sigmoid"
        parity = parity_of(case.id, answer.logits, labels, np.asarray(logits), other_labels, regions)
        found.append(replace(parity, run_s=spent[0], artefact_s=spent[1]))
        if progress is not None:
            progress(done, len(judged.judging))
    return found


def _refuse_beyond(found: Sequence[Parity], most_otherwise: float, target: str) -> None:
    """Raises UserError, naming the worst case, unless all are within what is allowed."""
    shares = {one.case: one.voxels / one.of_voxels for one in found}
    worst = max(shares, key=lambda case: shares[case])
    if shares[worst] > most_otherwise:
        raise UserError(
            f"the artefact for {target} does not label as the model does: {shares[worst]:.2%} of the voxels"
            f" of case {worst} have another label, {most_otherwise:.2%} may; nothing was written",
            "try another target, or allow it with --tolerance",
        )


def _record(found: Sequence[Parity], most_otherwise: float) -> Mapping[str, Any]:
    """As of a run, and the share of a case's voxels that decides here."""
    shares = [one.voxels / one.of_voxels for one in found]
    return {**record(found, most_otherwise), "largest_share_that_differs": max(shares)}
