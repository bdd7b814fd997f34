"""What teachers answer, recorded once: every output of a frozen teacher on each training case.

Recorded on the un-augmented grid, in half precision; the maps then move with the image through the same
flips, turns and scaling. Intensity changes do not reach the teacher: it answers for the clean image, where a
live teacher answers for the image that the student is shown. So recorded and live are two different
trainings, and which one a run was is part of its identity.

    <digest>/logits.npy, <feature>.npy   [C *s] float16
             about.json                  strides

A folder is named by a digest of the case's prepared voxels, the teacher's weights and the windows, and
appears whole or not at all: runs share it, and nothing in it can go stale.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress
from torch import Tensor, nn

from ..data.cache import CachedCase, default_folder
from ..data.maps import CaseMap, open_map
from ..data.slices import slice_axis
from ..distillation.method import Modalities, Role, whole_image
from ..files import folder_written_whole, write_json
from ..inference.denormals import denormals_flushed
from ..inference.stitched import passes, stitched
from ..networks.features import Tapped
from ..types import Batch
from .budget import Budget
from .experiment import TeacherOutputs
from .objective import map_name
from .observers import announce

VERSION = 1
OVERLAP = 0.5


@dataclass(frozen=True)
class Teacher:
    """A frozen network, what it is tapped for and shown, and a digest of its weights."""

    role: str
    network: nn.Module
    about: Role
    digest: str

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
) -> tuple[bool, str]:
    """Whether to record, and why in words: "auto" takes what needs fewer passes of the teacher.

    A budget in minutes has no number of steps; there recording wins, because it leaves more of the minutes to
    the student. The answer depends on sizes and budget alone, so that a run is the same on every machine.
    """
    if wanted != "auto":
        return wanted == "recorded", "as asked"
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
    *,
    show: bool = False,
) -> dict[str, dict[str, CaseMap]]:
    """case id -> "role/output" -> map, found in `folder` (default: the user's cache) or made.

    One teacher at a time is on `device`, so memory is that of the largest.
    """
    folder = (default_folder() if folder is None else folder) / "teachers"
    maps: dict[str, dict[str, CaseMap]] = {id: {} for id in cases}
    with Progress(transient=True, disable=not show) as bar, denormals_flushed():
        for teacher in teachers:
            start, made = time.monotonic(), 0
            teacher.network.to(device).eval()
            for id, case in bar.track(cases.items(), description=f"recording {teacher.role}"):
                entry = folder / _key(teacher, case, patch)
                if not entry.is_dir():
                    _record(teacher, case, patch, device, entry)
                    made += 1
                maps[id] |= _opened(teacher.role, entry)
            teacher.network.to("cpu")
            if made:
                announce(f"{teacher.role}: {made} cases recorded in {time.monotonic() - start:.0f} s")
    return maps


def _record(
    teacher: Teacher, case: CachedCase, patch: Sequence[int], device: torch.device, entry: Path
) -> None:
    image = torch.from_numpy(np.array(case.image))[None].to(device)
    maps = stitched(image, teacher.outputs, patch, overlap=OVERLAP)
    entry.parent.mkdir(parents=True, exist_ok=True)
    with folder_written_whole(entry) as aside:
        for name, (values, _) in maps.items():
            largest = torch.finfo(torch.float16).max  # a logit beyond is as sure as this one
            np.save(aside / f"{name}.npy", values.clamp(-largest, largest).half().numpy())
        write_json(
            aside / "about.json", {"strides": {name: list(stride) for name, (_, stride) in maps.items()}}
        )


def _opened(role: str, entry: Path) -> dict[str, CaseMap]:
    strides = json.loads((entry / "about.json").read_text(encoding="utf-8"))["strides"]
    return {map_name(role, name): open_map(entry / f"{name}.npy", stride) for name, stride in strides.items()}


def _key(teacher: Teacher, case: CachedCase, patch: Sequence[int]) -> str:
    shown = _shown(teacher)
    parts = [VERSION, case.folder.name, teacher.digest, list(teacher.about.taps), shown, list(patch), OVERLAP]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=20).hexdigest()


def _shown(teacher: Teacher) -> str:
    what = teacher.about.input
    if what is whole_image:
        return "whole image"
    if isinstance(what, Modalities):
        return repr(what)
    raise ValueError(f"{teacher.role} is shown {what!r}, which has no name to keep its outputs under")
