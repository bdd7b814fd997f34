"""From an experiment's cases to the batches it learns from."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from .. import progress
from ..data.planning.views import in_plane
from ..data.preparing.cache import CachedCase, cache_cases
from ..data.sampling.augmentation import PRESETS, Augmentation
from ..data.sampling.patches import Foreground, PatchSampler
from ..errors import UserError
from .experiment import Experiment

MOST_UNLABELLED = 0.9


def prepare(
    experiment: Experiment, cache: Path | None, only: Collection[str] | None = None
) -> dict[str, CachedCase]:
    """The cases to learn from, with labels and without, and to validate on, prepared and memory-mapped; of
    these `only` some, where it says so."""
    study = experiment.study
    ids = [*study.split.train, *study.split.validation, *study.unlabelled]
    if not (study.split.train or study.unlabelled) or not study.split.validation:
        raise UserError(
            f"{study.dataset.name}: the split has {len(study.split.train)} cases to train and"
            f" {len(study.split.validation)} to validate on",
            "each needs at least one; label more cases or give another --split",
        )
    with progress.counting("preparing cases") as move:
        return cache_cases(
            study.dataset.hiding(study.unlabelled),
            ids if only is None else [id for id in ids if id in only],
            study.plan,
            folder=cache,
            progress=move,
        )


def content_digest(prepared: Mapping[str, CachedCase]) -> str:
    """A digest of the voxels that are learned from: cache entries are named by their content."""
    names = "\n".join(f"{id} {case.folder.name}" for id, case in sorted(prepared.items()))
    return hashlib.blake2b(names.encode(), digest_size=16).hexdigest()


def control_name(
    experiment: Experiment, prepared: Mapping[str, CachedCase], cache: Path | None
) -> str | None:
    """The run folder of its control, which may learn from other cases: without those that have no label."""
    control = experiment.control
    if control is None:
        return None
    own, theirs = experiment.study, control.study
    alike = (own.split, own.unlabelled) == (theirs.split, theirs.unlabelled)
    return control.run_name(content_digest(prepared if alike else prepare(control, cache)))


def make_sampler(
    experiment: Experiment,
    prepared: Mapping[str, CachedCase],
    structures: Mapping[str, Foreground] | None = None,
) -> PatchSampler:
    """Patches of the training cases; `structures` says where teachers see some in cases without a label."""
    sampling = experiment.sampling
    return PatchSampler(
        [prepared[id] for id in experiment.study.split.train],
        experiment.study.plan.patch,
        experiment.study.seed,
        foreground_fraction=sampling.foreground_fraction,
        pad=sampling.pad,
        patches_per_case=sampling.patches_per_case,
        unlabelled=[prepared[id] for id in experiment.study.unlabelled],
        unlabelled_share=unlabelled_share(experiment),
        structures=structures or {},
    )


def unlabelled_share(experiment: Experiment) -> float:
    """Of the patches, those of cases without a label: as many as they are of the cases, unless it is given.

    At most 0.9 then: labels are the only truth that there is.
    """
    study, given = experiment.study, experiment.sampling.unlabelled_share
    if given is not None or not study.unlabelled:
        return given or 0.0
    return min(MOST_UNLABELLED, len(study.unlabelled) / (len(study.unlabelled) + len(study.split.train)))


def steps_per_epoch(experiment: Experiment) -> int:
    """Optimizer steps until every training case with labels has given its patches; any, where none has."""
    study, sampling = experiment.study, experiment.sampling
    patches: float = len(study.split.train or study.unlabelled) * sampling.patches_per_case
    if study.split.train and study.unlabelled:
        patches /= max(1 - unlabelled_share(experiment), 1e-6)
    return max(1, math.ceil(patches / (experiment.sampling.batch_size * experiment.optimisation.accumulate)))


def make_augmentation(experiment: Experiment) -> Augmentation:
    """The named preset, flipped as the experiment says, or else as the plan does."""
    preset = PRESETS[experiment.sampling.augmentation]
    plan, asked = experiment.study.plan, experiment.sampling.flip_axes
    flip_axes, across = plan.mirror_axes if asked is None else asked, plan.slice_axis
    if flip_axes is not None and across is not None:  # axes of the volume -> axes of the slice
        kept = in_plane(range(3), across)
        flip_axes = tuple(kept.index(axis) for axis in flip_axes if axis in kept)
    return replace(preset, flip_axes=flip_axes)
