"""Answers of others' teachers, recorded once: every case on the student's grid, a byte or two a class.

    <digest>/answers.npy      [C *s] uint8, see `teachers/answers.py`
             foreground.npy   [N 3] int32 voxel indices where the teacher sees a structure, grouped by class
             about.json       how many of each; what answered; what the scans were like

A folder is named by a digest of the case's prepared voxels and their grid, the teacher with its options, and
the classes that are learned. It appears whole or not at all, so that an interrupted recording goes on where
it was; runs share it, and nothing in it can go stale.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import progress
from ..claims import Claim, made_once
from ..data.case import Case, Dataset
from ..data.preparing.cache import CachedCase, default_folder, sample_foreground
from ..data.sampling.answers import AnswerMap, open_answers
from ..data.sampling.batches import Maps
from ..data.sampling.patches import Foreground
from ..disk import check_room
from ..errors import UserError
from ..files import folder_written_whole, write_json
from ..json_files import read_object
from ..teachers.answers import (
    RANKED,
    blocks,
    channels_of,
    decoding_table,
    encoded,
    group_to_channel,
    kept_as,
    likeliest,
)
from ..teachers.classes import ClassMap
from ..teachers.files import FilesTeacher
from ..teachers.traps import Seen, traps
from ..user_cache import caching_in
from .experiment import Experiment
from .foreign import Foreign
from .objective import map_name
from .observers import warn

VERSION = 2


@dataclass(frozen=True, eq=False)
class Recorded:
    """Answers of one teacher for one case, and where it sees structures."""

    answers: AnswerMap
    structures: Foreground  # class index of the student -> [N 3]


def check_answered(experiment: Experiment) -> None:
    """Refuses, before anything is trained, answers in files that lack a case that is learned from."""
    study = experiment.study
    for one in experiment.teachers.values():
        if isinstance(one, Foreign) and isinstance(one.teacher, FilesTeacher):
            one.teacher.require([*study.split.train, *study.unlabelled])


def record_answers(
    role: str,
    foreign: Foreign,
    dataset: Dataset,
    cases: Mapping[str, CachedCase],
    cache: Path | None = None,
) -> dict[str, Recorded]:
    """Case id -> the answers of `foreign`, found in `cache` (default: the user's) or made, with progress.

    Processes that share a cache share the work: each case is answered for by one of them.

    Raises `UserError` before the first case where the disk cannot hold them.
    """
    entries = {id: _entry(foreign, case, cache) for id, case in cases.items()}
    missing = unrecorded(foreign, cases, cache)
    if missing:
        if isinstance(foreign.teacher, FilesTeacher):
            foreign.teacher.require(missing)
        start = time.monotonic()

        def record(id: str, mine: Claim) -> None:
            _record(foreign, dataset.case(id), cases[id], entries[id])

        todo = {id: entries[id] for id in missing}
        with progress.counting(f"{role} answers") as move:
            made = made_once(todo, record, lambda: caching_in(_folder(cache)))
            for done, _ in enumerate(made, start=1):
                move(done, len(todo))
        told = f"{len(missing)} case{'s' * (len(missing) > 1)} answered"
        progress.say(f"{role}: {told} in {time.monotonic() - start:.0f} s")
    return {id: _opened(foreign, entry) for id, entry in entries.items()}


def unrecorded(foreign: Foreign, cases: Mapping[str, CachedCase], cache: Path | None = None) -> list[str]:
    """The cases whose answers are not there yet; raises `UserError` where the disk cannot hold them."""
    missing = [id for id, case in cases.items() if not _entry(foreign, case, cache).is_dir()]
    if missing:
        folder = _folder(cache)
        with caching_in(folder):
            folder.mkdir(parents=True, exist_ok=True)
        _check_disk(foreign, [cases[id] for id in missing], folder)
    return missing


def answers_of_others(
    experiment: Experiment,
    foreign: Mapping[str, Foreign],
    prepared: Mapping[str, CachedCase],
    cache: Path | None,
) -> tuple[Maps, dict[str, Foreground]]:
    """The answers of teachers of others for every case that is learned from, by case and by name in a
    batch. And, of cases without a label, where they see structures, the first teacher's sight before others'.
    """
    study = experiment.study
    cases = {id: prepared[id] for id in (*study.split.train, *study.unlabelled)}
    maps: dict[str, dict[str, AnswerMap]] = {id: {} for id in cases} if foreign else {}
    structures: dict[str, Foreground] = {}
    for role, one in foreign.items():
        for id, recorded in record_answers(role, one, study.dataset, cases, cache).items():
            maps[id][map_name(role, "logits")] = recorded.answers
            if cases[id].label is None:
                structures[id] = {**recorded.structures, **structures.get(id, {})}
    return maps, structures


def warn_of_terms(foreign: Mapping[str, Foreign], say: Callable[[str], object] | None = None) -> None:
    """Tells what teachers of others say of themselves, such as terms of use: each once."""
    for one in foreign.values():
        for warning in one.teacher.provenance.warnings:
            warn(f"{one.teacher.name}: {warning}", say)


def traps_met(
    experiment: Experiment,
    foreign: Mapping[str, Foreign],
    prepared: Mapping[str, CachedCase],
    cache: Path | None,
) -> dict[str, list[str]]:
    """By role the traps (`teachers/traps.py`) among the scans that were answered for; told, each once."""
    study = experiment.study
    found = {}
    for role, one in foreign.items():
        entries = {id: _entry(one, prepared[id], cache) for id in (*study.split.train, *study.unlabelled)}
        found[role] = traps(
            one.teacher, {id: Seen.of_plain(_about(at)["seen"]) for id, at in entries.items()}
        )
        for sentence in found[role]:
            warn(sentence)
    return found


def answer_bytes(classes: ClassMap, cases: Sequence[CachedCase]) -> int:
    """What the answers for `cases` take on the disk."""
    return channels_of(classes) * sum(math.prod(case.image.shape[1:]) for case in cases)


def _check_disk(foreign: Foreign, cases: Sequence[CachedCase], folder: Path) -> None:
    what = f"the answers of {foreign.teacher.name} for {len(cases)} cases take"
    fix = "free space, give another folder with --cache, or fewer scans"
    check_room(folder, answer_bytes(foreign.classes, cases), what, fix)


def _record(foreign: Foreign, case: Case, prepared: CachedCase, entry: Path) -> None:
    scans = foreign.scans(case)
    answer = foreign.teacher.answer(scans, case=case.id)
    kept, shape = kept_as(foreign.classes), prepared.image.shape[1:]
    label = np.empty(shape, np.uint8)
    channels = np.asarray(group_to_channel(foreign.classes), np.uint8)
    with caching_in(entry.parent), folder_written_whole(entry) as aside:
        answers = np.lib.format.open_memmap(
            aside / "answers.npy", "w+", np.uint8, (channels_of(foreign.classes), *shape)
        )
        for block in blocks(answer, prepared.grid, foreign.classes):
            codes = encoded(block.probabilities, kept)
            answers[:, *block.box] = codes
            label[block.box] = channels[likeliest(codes, kept)]
        answers.flush()
        del answers
        structures = sample_foreground(label)
        voxels = [np.zeros((0, 3), np.int32), *structures.values()]
        np.save(aside / "foreground.npy", np.concatenate(voxels))
        about = {
            "teacher": foreign.teacher.name,
            "foreground": {index: len(found) for index, found in structures.items()},
            "seen": Seen.of(scans).plain(),
        }
        write_json(aside / "about.json", about)


def _opened(foreign: Foreign, entry: Path) -> Recorded:
    kept = kept_as(foreign.classes)
    try:
        about = _about(entry)
        voxels: NDArray[np.int32] = np.load(entry / "foreground.npy", mmap_mode="r")
        structures, start = {}, 0
        for index, count in about["foreground"].items():
            structures[int(index)] = voxels[start : start + count]
            start += count
        answers = open_answers(
            entry / "answers.npy",
            decoding_table(kept),
            numbers=RANKED if kept == "ranked" else 0,
            dense=len(foreign.classes.groups) if foreign.dense else 0,
        )
    except (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"the answers {entry} are damaged ({error})", "delete that folder, repeat") from error
    return Recorded(answers, structures)


def _about(entry: Path) -> dict[str, Any]:
    return read_object(entry / "about.json", fix="delete its folder, repeat")


def _folder(cache: Path | None) -> Path:
    return (default_folder() if cache is None else cache) / "answers"


def _entry(foreign: Foreign, case: CachedCase, cache: Path | None) -> Path:
    """Where the answers for a case lie, or will."""
    return _folder(cache) / _key(foreign, case)


def _key(foreign: Foreign, case: CachedCase) -> str:
    parts = [VERSION, case.folder.name, foreign.identity]
    return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=20).hexdigest()
