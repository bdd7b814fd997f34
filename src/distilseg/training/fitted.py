"""The prototypes of a trained run: found in its folder, or fitted over the cases that it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from .. import progress
from ..data.case import Dataset
from ..data.planning.plan import load_plan
from ..data.planning.splits import load_split
from ..data.preparing.cache import cache_cases
from ..data.prototypes import save_prototypes
from ..distillation.method import Role
from ..errors import UserError
from ..networks.checkpoint import load_network
from ..runs import Run
from .experiment import file_digest
from .prototypes import fit_prototypes
from .recorded import Teacher


def fitted(
    run: Run,
    dataset: Dataset,
    options: Mapping[str, Any],
    *,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    trust: str | None = None,
) -> Path:
    """The file of prototypes of `run` over its training cases in `dataset`, fitted with `options`.

    `options` are those of `fit_prototypes`; `trust` is as for `load_network`. The file's name is a digest of
    the weights, the options and the prepared voxels. Raises UserError for runs without weights, and as
    `fit_prototypes` does.
    """
    if not run.best.is_file():
        raise UserError(
            f"{run.folder} has no trained weights yet", "repeat its `distilseg train` command, it resumes"
        )
    plan = load_plan(run.plan)
    network, spec, _ = load_network(run.best, trust=trust, mapped=True)
    ids = load_split(run.split, dataset.cases).train
    with progress.counting("preparing cases") as move:
        cases = cache_cases(
            dataset.seeing(plan.modalities).of_labels(plan.label_values),
            ids,
            plan,
            folder=cache,
            progress=move,
        )
    weights = file_digest(run.best)
    content = sorted(case.folder.name for case in cases.values())
    key = json.dumps([weights, dict(options), content], sort_keys=True)
    path = run.folder / "prototypes" / f"{hashlib.blake2b(key.encode(), digest_size=6).hexdigest()}.json"
    if path.is_file():
        return path
    feature = options.get("feature", "logits")
    role = Role(() if feature == "logits" else (feature,))
    teacher = Teacher("teacher", network.to(device), role, weights)
    progress.say(f"{run.name}: prototypes over {len(cases)} cases")
    save_prototypes(path, fit_prototypes(teacher, spec, plan, cases, **options, device=device))
    return path
