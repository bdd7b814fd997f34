"""What teachers answer, recorded once: every output of a frozen teacher on each training case.

Recorded on the un-augmented grid, in half precision; the maps then move with the image through the same
flips, turns and scaling. Intensity changes do not reach the teacher: it answers for the clean image, where a
live teacher answers for the image that the student is shown. So recorded and live are two different
trainings, and which one a run was is part of its identity.

    <digest>/map.npy      [C *s] float16
             about.json   stride

A folder, one for each output, is named by a digest of the case's prepared voxels, the teacher's weights, the
windows and the output. It appears whole or not at all: runs share it whatever else they need of that teacher,
and nothing in it can go stale.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import progress
from ..data.planning.views import slice_axis
from ..data.preparing.cache import CachedCase, default_folder, sample_foreground
from ..data.sampling.maps import CaseMap, open_map
from ..data.sampling.patches import Foreground
from ..distillation.method import Modalities, Role, whole_image
from ..errors import UserError
from ..files import folder_written_whole, write_json
from ..inference.denormals import denormals_flushed
from ..inference.stitched import passes, stitched
from ..json_files import read_object
from ..networks.features import Tapped, feature_modules, select
from ..types import Batch
from ..user_cache import caching_in
from .budget import Budget
from .experiment import Answers, TeacherOutputs
from .objective import map_name

VERSION = 2
OVERLAP = 0.5


@dataclass(frozen=True)
class Teacher:
    """A frozen network, what it is tapped for and shown, and a digest of its weights."""

    role: str
    network: nn.Module
    about: Role
    digest: str
    patch: tuple[int, ...] = ()  # voxels that it was trained on; (): as the student

    @property
    def names(self) -> tuple[str, ...]:
        """Its outputs: logits, then the tapped features."""
        return ("logits", *select(feature_modules(self.network) if self.about.taps else (), self.about.taps))

    def outputs(self, image: Tensor) -> dict[str, Tensor]:
        """Logits and tapped features of a patch [1 M *P]; a 2D network's answer is one voxel thick."""
        across = slice_axis(image.shape[2:])
        flat = image if across is None else image.squeeze(2 + across)
        shown = self.about.input(Batch(flat, flat[:, :1]))
        with Tapped(self.network, self.about.taps) as tapped:
            found = tapped(shown)
        outputs = {"logits": found.logits, **found.features}
        if across is None:
            return outputs
        return {name: output.unsqueeze(2 + across) for name, output in outputs.items()}


def choose(
    wanted: TeacherOutputs,
    cases: Sequence[CachedCase],
    patch: Sequence[int],
    stride: Sequence[int],
    budget: Budget,
    steps_per_epoch: int,
    patches_per_step: int,
    others: Collection[Sequence[int]] = (),
) -> tuple[bool, str]:
    """Whether to record, and why in words: "auto" takes what needs fewer passes of the teacher.

    A budget in minutes has no number of steps; there recording wins, because it leaves more of the minutes to
    the student. The answer depends on sizes and budget alone, so that a run is the same on every machine.
    `others` are patches that teachers were trained on, where they differ from the student's: such a teacher
    answers for its own windows, so it must be recorded.
    """
    if wanted != "auto":
        return wanted == "recorded", "as asked"
    if others:
        theirs, own = ("x".join(map(str, one)) for one in (next(iter(others)), patch))
        return True, f"a teacher learned on patches of {theirs} voxels, the student is shown {own}"
    recording = sum(passes(case.image.shape[1:], patch, stride, OVERLAP) for case in cases)
    steps = budget.total_steps(steps_per_epoch)
    if steps is None:
        return True, f"{recording} passes of the teacher, once; the minutes are then the student's"
    live = steps * patches_per_step
    return recording < live, f"{recording} passes of the teacher to record, {live} to run it at every step"


def recorded(
    teachers: Sequence[Teacher],
    cases: Mapping[str, CachedCase],
    patch: Sequence[int],
    device: torch.device,
    folder: Path | None = None,
) -> dict[str, dict[str, CaseMap]]:
    """case id -> "role/output" -> map, found in `folder` (default: the user's cache) or made.

    One teacher at a time is on `device`, so memory is that of the largest.
    """
    folder = (default_folder() if folder is None else folder) / "teachers"
    maps: dict[str, dict[str, CaseMap]] = {id: {} for id in cases}
    with denormals_flushed():
        for teacher in teachers:
            start, made, windows = time.monotonic(), 0, teacher.patch or patch
            teacher.network.to(device).eval()
            for id, case in progress.counted(cases.items(), f"recording {teacher.role}"):
                entries = {name: folder / _key(teacher, case, windows, name) for name in teacher.names}
                if not all(entry.is_dir() for entry in entries.values()):
                    _record(teacher, case, windows, device, entries)
                    made += 1
                maps[id] |= {map_name(teacher.role, name): _opened(e) for name, e in entries.items()}
            teacher.network.to("cpu")
            if made:
                progress.say(f"{teacher.role}: {made} cases recorded in {time.monotonic() - start:.0f} s")
    return maps


def structures(logits: CaseMap, shape: Sequence[int], answers: Answers) -> Foreground:
    """Where a teacher sees structures in a case of `shape`, by its recorded logits: class index -> [N 3] some
    of its voxels. Regions are one structure: where any holds."""
    label = np.empty(shape, np.uint8)
    for n, of_slice in enumerate(label):  # one by one: a map may be larger than memory
        values_Cs = np.asarray(logits.values[:, n, : shape[1], : shape[2]], np.float32)
        of_slice[:] = values_Cs.argmax(0) if answers == "classes" else (values_Cs > 0).any(0)
    return sample_foreground(label)


def _record(
    teacher: Teacher,
    case: CachedCase,
    patch: Sequence[int],
    device: torch.device,
    entries: Mapping[str, Path],
) -> None:
    """Every output of `entries` that is not there yet."""
    image = torch.from_numpy(np.array(case.image))[None].to(device)
    maps = stitched(image, teacher.outputs, patch, overlap=OVERLAP)
    for name, entry in entries.items():
        if entry.is_dir():
            continue
        values, stride = maps[name]
        largest = torch.finfo(torch.float16).max  # a logit beyond is as sure as this one
        with caching_in(entry.parent), folder_written_whole(entry) as aside:
            np.save(aside / "map.npy", values.clamp(-largest, largest).half().numpy())
            write_json(aside / "about.json", {"stride": list(stride)})


def _opened(entry: Path) -> CaseMap:
    try:
        stride = read_object(entry / "about.json")["stride"]
        return open_map(entry / "map.npy", stride)
    except (OSError, EOFError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"the answers {entry} are damaged ({error})", "delete that folder, repeat") from error


def _key(teacher: Teacher, case: CachedCase, patch: Sequence[int], name: str) -> str:
    parts = [VERSION, case.folder.name, teacher.digest, _shown(teacher), list(patch), OVERLAP, name]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


def _shown(teacher: Teacher) -> str:
    what = teacher.about.input
    if what is whole_image:
        return "whole image"
    if isinstance(what, Modalities):
        return repr(what)
    raise ValueError(f"{teacher.role} is shown {what!r}, which has no name to keep its outputs under")
