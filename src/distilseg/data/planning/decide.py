"""From measures to a plan: what is decided about a dataset, and why.

`make_plan` decides spacing, cropping, normalisation, patch and strides from a fingerprint; what is given is
kept. The reasons stand in the plan.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from ...errors import UserError, unknown
from ...names import pasted
from ..case import Dataset
from ..scans.scan import axis_order
from .fingerprint import Fingerprint, Intensities, across_single_slices, working_shapes
from .levels import level_strides, patch_size, times, to_multiples
from .mirroring import mirror_axes
from .normalisation import KINDS, Normalisation
from .plan import Plan, check_plan, one_line
from .views import coarsest_axis

DEFAULT_LEVELS, MOST_LEVELS = 5, 6
ANISOTROPIC = 3.0  # ratio of spacings from which the coarsest axis is treated apart (Isensee et al., 2021)
SLICE_VOXELS = 256**2  # in a patch of one slice
SLICES = 4  # in place of one patch of 3D
WORTH_CROPPING = 0.75  # of the volume: where more is non-zero, cropping saves little
PATCH_VOXELS = 64**3  # of cases most of which such a patch holds, and
OF_LARGER_CASES = 48**3  # of others: in the time of a laptop many patches teach more there than large ones
MOST = 1.5  # times 64³ voxels has a case most of which it holds


def make_plan(
    dataset: Dataset,
    fingerprint: Fingerprint,
    *,
    orientation: str = "RAS",
    spacing_mm: Sequence[float] | None = None,
    interpolation: Literal["linear", "cubic"] = "linear",
    crop: Literal["none", "nonzero"] | None = None,
    normalisation: str | Mapping[str, str | Normalisation] | None = None,
    tissue_windows: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    patch: Sequence[int] | None = None,
    patch_voxels: int | None = None,
    batch_size: int = 2,
    levels: int | None = None,
    slices: bool = False,
) -> Plan:
    """Decides a plan for `dataset`; whatever is given is kept, what cannot work is refused by `UserError`.

    `slices` makes patches of one slice, for 2D networks: across the coarsest axis, the last of equal ones.
    Where every case is a single slice, across the same axis, patches are slices by themselves.
    `normalisation` is one kind for all modalities or a kind for some of them; a range is written
    "range:-175:250". `tissue_windows`, by modality, are ranges of its intensities that networks see as
    channels of their own. `patch_voxels` bounds the patch where none is given: memory grows with it; by
    default 64³, and 48³ where cases are so large that this is a small part of them. `levels` is the depth of
    the network, the finest level included (else 5, or as many as the patch allows).
    """
    for name, given in {"spacing_mm": spacing_mm, "patch": patch}.items():
        if given is not None and (len(given) != 3 or min(given) <= 0):
            raise UserError(f"{name} {list(given)} is no size", "give three numbers above 0")
    if levels is not None and not 1 <= levels <= MOST_LEVELS:
        raise UserError(
            f"{levels} levels are too {'few' if levels < 1 else 'many'}", f"use 1 to {MOST_LEVELS}"
        )
    reasons: dict[str, str] = {}
    if spacing_mm is None:
        spacing_mm, reasons["spacing_mm"] = _spacing(orientation, fingerprint)
    else:
        reasons["spacing_mm"] = "given"
    if crop is None:
        crop, reasons["crop"] = _crop(fingerprint)
    scaling, reasons["normalisation"] = _normalisations(dataset, fingerprint, normalisation)
    across = across_single_slices(fingerprint, orientation)
    flat = slices or across is not None
    if tissue_windows:
        reasons["tissue_windows"] = "given"
    median = np.median(working_shapes(fingerprint, orientation, spacing_mm, crop=crop), axis=0)
    depth = levels or DEFAULT_LEVELS
    if patch_voxels is None:
        patch_voxels = PATCH_VOXELS if median.prod() <= MOST * PATCH_VOXELS else OF_LARGER_CASES
    if flat and patch is None:
        median[coarsest_axis(spacing_mm) if across is None else across] = 1
        patch_voxels, batch_size = SLICE_VOXELS, SLICES * batch_size
    if patch is None:
        size = patch_size(median, spacing_mm, patch_voxels)
        strides = level_strides(size, spacing_mm, depth, whole=False)
        patch = to_multiples(size, np.prod(strides, axis=0), patch_voxels)
        reasons["patch"] = (
            f"the median case has {times(np.round(median).astype(int).tolist())} voxels; of that at most"
            f" {patch_voxels}, in multiples of the strides"
        )
        if across is not None:
            reasons["patch"] += f"; every case is a single slice across axis {across}"
    else:
        strides = level_strides(np.array(patch, float), spacing_mm, depth, whole=True)
        reasons["patch"] = "given"
    if levels is not None and len(strides) < levels:
        raise UserError(
            f"a patch of {times(patch)} cannot carry {levels} levels: more than {len(strides) - 1} halvings"
            " leave a bottleneck of one voxel, or half a voxel",
            f"use {len(strides)} levels, or axes that are multiples of {2 ** (levels - 1)} from {2**levels}",
        )
    reasons["strides"] = (
        "each level halves the axes that keep at least 2 voxels at the bottleneck; a coarse axis waits until"
        " the others are as coarse"
    )
    mirrored, why = mirror_axes(fingerprint, dataset.labels, orientation)
    if mirrored is not None:
        reasons["mirror_axes"] = why
    if dataset.labelled_by:
        reasons["labels"] = (
            f"as {dataset.labelled_by} answers: nobody labelled the {len(fingerprint.cases)} scans that were"
            " measured"
        )
    try:
        plan = Plan(
            dataset=dataset.name,
            modalities=dataset.modalities,
            labels=dict(sorted(dataset.labels.items())),
            unknown=dataset.unknown,
            orientation=orientation,
            spacing_mm=tuple(float(mm) for mm in spacing_mm),
            interpolation=interpolation,
            crop=crop,
            normalisation=scaling,
            tissue_windows={name: tuple(ranges) for name, ranges in (tissue_windows or {}).items()},
            patch=tuple(int(n) for n in patch),
            batch_size=batch_size,
            strides=strides,
            mirror_axes=mirrored,
            series={name: rule for name, rule in dataset.series.items() if name in dataset.modalities},
            codes={name: code for name, code in dataset.codes.items() if name in dataset.labels.values()},
            reasons=reasons,
        )
    except ValueError as error:
        raise UserError(f"the plan cannot be made: {one_line(error)}", "correct that option") from None
    check_plan(plan, fingerprint)
    return plan


def _spacing(orientation: str, fingerprint: Fingerprint) -> tuple[tuple[float, ...], str]:
    order = axis_order(orientation)
    spacings = np.array([[case.spacing_mm[axis] for axis in order] for case in fingerprint.cases])
    median = np.median(spacings, axis=0)
    reason = "the median of the cases"
    if median.max() > ANISOTROPIC * median.min():
        coarsest = int(median.argmax())
        finer = float(np.percentile(spacings[:, coarsest], 10))
        median[coarsest] = max(finer, float(np.delete(median, coarsest).max()))
        reason += (
            f"; on the far coarser axis {coarsest} their 10th percentile, to lose less of the finer ones"
        )
    return tuple(round(float(mm), 4) for mm in median), reason


def _crop(fingerprint: Fingerprint) -> tuple[Literal["none", "nonzero"], str]:
    kept = np.median([np.prod(case.nonzero_shape) / np.prod(case.shape) for case in fingerprint.cases])
    reason = f"the box around all non-zero voxels holds {kept:.0%} of a median case"
    return ("nonzero" if kept < WORTH_CROPPING else "none"), reason


def _normalisations(
    dataset: Dataset, fingerprint: Fingerprint, given: str | Mapping[str, str | Normalisation] | None
) -> tuple[dict[str, Normalisation], str]:
    wanted = dict.fromkeys(dataset.modalities, given) if isinstance(given, str) else dict(given or {})
    for name in wanted:
        if name not in dataset.modalities:
            raise unknown("modality in normalisation", name, dataset.modalities)
    scaling, reasons, unnamed = {}, [], unnamed_ct(dataset, fingerprint)
    for name in dataset.modalities:
        kind = wanted.get(name)
        measured = fingerprint.intensities[name]
        if kind is None and is_ct(name) and measured.std > 0:
            kind, reason = "window_zscore", "CT is calibrated: one window and one scale for the set"
        elif kind is None:
            kind, reason = "zscore", "not calibrated: each image by itself"
            if name in unnamed:
                reason += f"; but {like_ct(name)}: {named_ct(dataset, name)}"
        else:
            reason = "given"
        scaling[name] = kind if isinstance(kind, Normalisation) else _normalisation(name, kind, measured)
        reasons.append(f"{name}: {reason}")
    return scaling, "; ".join(reasons)


def _normalisation(modality: str, text: str, measured: Intensities) -> Normalisation:
    """ "minmax" or "range:-175:250" as a `Normalisation`; the set's window and moments are filled in."""
    kind, *bounds = text.split(":")
    if kind not in KINDS:
        raise unknown(f"normalisation of {modality}", kind, KINDS)
    if kind == "window_zscore" and not bounds:
        if measured.std == 0 or measured.percentile_00_5 == measured.percentile_99_5:
            raise UserError(
                f"{modality} has no contrast in the foreground: window_zscore is impossible", "use zscore"
            )
        low, high = measured.percentile_00_5, measured.percentile_99_5
        numbers = {"low": low, "high": high, "mean": measured.mean, "std": measured.std}
        return Normalisation.model_validate(
            {"kind": kind, **{k: float(f"{v:.6g}") for k, v in numbers.items()}}
        )
    try:
        values = dict(zip(("low", "high"), map(float, bounds), strict=bool(bounds)))
        return Normalisation.model_validate({"kind": kind, **values})
    except ValueError:
        raise UserError(
            f"normalisation of {modality}: {text!r} is incomplete or no range",
            "write it such as range:-175:250",
        ) from None


def unnamed_ct(dataset: Dataset, fingerprint: Fingerprint) -> list[str]:
    """The modalities whose voxels look like Hounsfield units in most cases, and whose name says no CT."""
    return called_otherwise(dataset.modalities, [case.hounsfield for case in fingerprint.cases])


def called_otherwise(modalities: Sequence[str], like_ct_in: Sequence[Collection[str]]) -> list[str]:
    """Of the modalities those that look like CT in more than half of the cases and are not called so."""
    return [
        name
        for name in modalities
        if not is_ct(name) and 2 * sum(name in found for found in like_ct_in) > len(like_ct_in)
    ]


def like_ct(modality: str) -> str:
    """What is told of such a modality."""
    return f"the {modality} images look like CT in Hounsfield units, which {modality!r} does not say"


def named_ct(dataset: Dataset, modality: str) -> str:
    """How it is named in the dataset's layout."""
    way = dataset.naming or f"plan with {pasted('--normalisation', f'{modality}=window_zscore')}"
    return f"if they are CT, {way}: then one window and one scale hold for all images"


def is_ct(modality: str) -> bool:
    """Whether a modality's name says that its intensities are Hounsfield units."""
    return any(
        word in ("CT", "CTA", "CBCT", "CECT", "NCCT") for word in re.split(r"[^A-Z]+", modality.upper())
    )
