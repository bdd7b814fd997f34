"""A student as a model folder of nnU-Net v2, which `nnUNetv2_predict_from_modelfolder` and tools on it run.

    plans.json, dataset.json           see `nnunet_plans`
    fold_0/checkpoint_final.pth        the weights under all names that nnU-Net knows them by, and no code
    README.md                          the card

A zip of it is what `nnUNetv2_install_pretrained_model_from_zip` takes.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from ..data.readable import readable_json
from ..functional.window_options import SlabsOptions, SlicesOptions
from ..networks.nnunet_blocks import with_duplicates
from .nnunet_plans import (
    FOLD,
    PLANS,
    TRAINER,
    configuration_name,
    dataset_name,
    dataset_of_labels,
    differences,
    plans_of,
)
from .student import Student, Written


def write_nnunet(student: Student, folder: Path, cases: int) -> Written:
    """Writes the model folder, without its card; `cases` of training. Raises UserError for what cannot be."""
    plans = plans_of(student)
    dataset, values = dataset_of_labels(student, cases)
    name, configuration = dataset_name(student.plan.dataset), configuration_name(student)
    for file, described in (("plans.json", plans), ("dataset.json", dataset)):
        (folder / file).write_text(readable_json(described) + "\n", encoding="utf-8")
    place = folder / f"fold_{FOLD}"
    place.mkdir()
    torch.save(_checkpoint(student, plans, dataset), place / "checkpoint_final.pth")
    return Written(
        values,
        (
            f"nnUNetv2_predict_from_modelfolder -i SCANS -o PREDICTIONS -m THIS_FOLDER -f {FOLD}",
            "# or, once a zip is installed by nnUNetv2_install_pretrained_model_from_zip:",
            f"nnUNetv2_predict -i SCANS -o PREDICTIONS -d {name} -p {PLANS} -c {configuration} -f {FOLD}",
        ),
        differences(student, values),
        ", ".join(f"CASE_{n:04d}.nii.gz {name}" for n, name in enumerate(student.plan.modalities)),
        inside=f"{name}/{TRAINER}__{PLANS}__{configuration}",
    )


def _checkpoint(student: Student, plans: dict[str, Any], dataset: dict[str, Any]) -> dict[str, Any]:
    """What prediction reads; there is no state to go on training from."""
    weights = with_duplicates(student.network)
    assert not isinstance(student.windows, SlabsOptions)  # refused with the plans
    windows = student.windows.window if isinstance(student.windows, SlicesOptions) else student.windows
    return {
        "network_weights": OrderedDict((name, weight.detach().cpu()) for name, weight in weights.items()),
        "trainer_name": TRAINER,
        "init_args": {
            "plans": plans,
            "configuration": configuration_name(student),
            "fold": FOLD,
            "dataset_json": dataset,
        },
        "inference_allowed_mirroring_axes": windows.mirrored_axes or None,
    }
