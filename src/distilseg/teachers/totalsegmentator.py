"""TotalSegmentator's weights: nnU-Net v2 folders, with what TotalSegmentator does around nnU-Net.

Scans are turned to RAS, nothing is mirrored, and for whole-body tasks windows stand 0.8 of a patch apart.
Its command line also resamples whole scans before nnU-Net sees them; here nnU-Net's own resampling does that
once, so label maps differ by half a voxel to one at borders.

Wasserthal et al., "TotalSegmentator: Robust Segmentation of 104 Anatomic Structures in CT Images", Radiology:
Artificial Intelligence 2023. Some of its tasks need a licence: their answers come with a warning.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from .nnunet import folder
from .teacher import Provenance, Teacher, TeacherOptions

# Number of a dataset -> the task that it serves.
_WHOLE_BODY: Mapping[int, str] = {
    **dict.fromkeys((*range(291, 296), 297, 298), "total"),
    **dict.fromkeys(range(831, 838), "total_v3"),
    **dict.fromkeys((850, 851, 852, 853), "total_mr"),
}
_LICENSED: Mapping[int, str] = {
    301: "heartchambers_highres",
    **dict.fromkeys((304, 855), "appendicular_bones"),
    **dict.fromkeys((481, 925), "tissue_types"),
    485: "tissue_4_types",
    **dict.fromkeys((303, 856), "face"),
    409: "brain_structures",
    857: "thigh_shoulder_muscles",
    **dict.fromkeys((507, 509), "coronary_arteries"),
    920: "aortic_sinuses",
    710: "renal_arteries",
    713: "aorta_annulus",
    716: "aortic_dissection",
    514: "pulmonary_artery_landmarks",
}
_OTHERS: Mapping[int, str] = {
    **dict.fromkeys((299, 300), "body"),
    **dict.fromkeys((117, 258), "lung_vessels"),
    8: "liver_vessels",
    756: "vertebrae_mr",
    **dict.fromkeys(range(775, 780), "head"),
    113: "teeth",
}
_TASKS = {**_WHOLE_BODY, **_LICENSED, **_OTHERS}


def recognises(path: Path) -> bool:
    """An nnU-Net folder or zip whose dataset has one of TotalSegmentator's numbers and names, or that lies
    where TotalSegmentator keeps its weights."""
    return folder.recognises(path) and any(_is_its_own(name, path) for name in folder.dataset_names(path))


def open_as_teacher(path: Path, options: TeacherOptions) -> Teacher:
    """The nnU-Net model at `path`, run as TotalSegmentator runs it where `options` do not say otherwise."""
    from .nnunet.model import open_model

    found = folder.find_model(path, options.configuration, options.folds, options.checkpoint)
    number = _number(found.dataset)
    task = _TASKS.get(number, "another task")
    if not (_named_so(found.dataset) or _in_its_folder(path)):  # a number alone could be anybody's
        model = open_model(found, options)
        warning = f"{found.dataset} has the number of {_LICENCE.format(task=task)}, if these are its weights"
        return replace(model, provenance=_warned(model.provenance, warning))
    asked = replace(
        options,
        mirror=bool(options.mirror),
        step=0.8 if options.step is None and number in _WHOLE_BODY else options.step,
        orientation=options.orientation or "RAS",
    )
    model = open_model(found, asked)
    warning = (
        _LICENCE.format(task=task)
        if number in _LICENSED
        else f"TotalSegmentator's task {task}: cite {_PAPER}; these weights do not state their licence"
    )
    provenance = replace(
        _warned(model.provenance, warning),
        kind=f"TotalSegmentator ({task}), nnU-Net v2",
        reference=model.provenance.reference or _PAPER,
    )
    return replace(model, provenance=provenance)


_PAPER = "Wasserthal et al., Radiology: Artificial Intelligence 2023"
_LICENCE = (
    "TotalSegmentator's task {task}, which needs a licence (free for non-commercial use, paid otherwise):"
    " do not distil it without permission"
)


def _warned(provenance: Provenance, warning: str) -> Provenance:
    return replace(provenance, warnings=(*provenance.warnings, warning))


def _is_its_own(name: str, path: Path) -> bool:
    number = _number(name)
    return _named_so(name) or number in _LICENSED or (number > 0 and _in_its_folder(path))


def _named_so(name: str) -> bool:
    """Whether a dataset's number and name are both TotalSegmentator's."""
    task = _TASKS.get(_number(name))
    words = [word for word in re.split("[_0-9]", task or "") if len(word) > 3]
    return task is not None and re.search("|".join([r"_\d+subj", *words]), name, re.IGNORECASE) is not None


def _in_its_folder(path: Path) -> bool:
    kept = [os.environ.get(name) for name in ("TOTALSEG_WEIGHTS_PATH", "TOTALSEG_HOME_DIR")]
    at = path.absolute()
    return ".totalsegmentator" in at.parts or any(k and at.is_relative_to(Path(k).absolute()) for k in kept)


def _number(name: str) -> int:
    found = re.match(r"Dataset(\d{3})_", name)
    return int(found[1]) if found else 0
