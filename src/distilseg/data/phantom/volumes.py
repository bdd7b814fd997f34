"""Synthetic multi-modal anatomy with exact labels: for tests, and for a demo without any download.

A body holds a liver, a spleen and a kidney (superquadrics, smoothly deformed from case to case), a tree of
vessels of 1 to 2 voxels' radius, and in the liver a lesion that only the PET shows: in CT and MR it has the
liver's own intensity, unless CT is told to show it by so many HU (its noise has a deviation of 15). A small
network that sees all three modalities learns it in a minute; one that sees no PET cannot know the lesion, or
as much of it as CT shows.

    CT    Hounsfield units, int16         air -1000, fat -90, organs 110 to 190, vessels 280; noise
    PET   uptake, blurred, float32 >= 0   the lesion is hot; noise grows with uptake
    MR    float32, any scale              another scale in each case, bias field, noise

Lengths are shares of the field of view, u in [-1, 1] along each axis: any shape holds the whole anatomy.
A case depends on (seed, case, shape) and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError, unknown
from ...files import folder_written_whole
from ...json_files import read_object
from ..readable import readable_json
from . import REFERENCE

Array = NDArray[Any]

MODALITIES = ("CT", "PET", "MR")
LABELS = {0: "background", 1: "liver", 2: "spleen", 3: "kidney", 4: "vessel", 5: "lesion"}
STRUCTURES = tuple(LABELS[value] for value in range(1, len(LABELS)))
_LIVER, _VESSEL, _LESION = 1, 4, 5

# Organ: centre and radii as shares of the field of view, axes R A S; exponent 2 is an ellipsoid, 4 boxier.
_ORGANS = {
    1: ((0.34, 0.05, 0.20), (0.36, 0.42, 0.40), 2.5),
    2: ((-0.48, -0.20, 0.22), (0.20, 0.24, 0.32), 2.0),
    3: ((-0.36, -0.10, -0.42), (0.18, 0.20, 0.27), 2.0),
}
# Intensity of outside, body, then each label.
_CT = np.array([-1000, -90, 110, 150, 190, 280, 110], np.float32)
_PET = np.array([0, 0.5, 1.5, 1.2, 2.0, 0.9, 6.0], np.float32)
_MR = np.array([0, 0.8, 0.45, 0.25, 0.6, 0.1, 0.45], np.float32)


def phantom_case(
    case: int = 0,
    *,
    seed: int = 0,
    shape: Sequence[int] = (48, 48, 48),
    modalities: Sequence[str] = MODALITIES,
    structures: Sequence[str] = STRUCTURES,
    lesion_hu: int = 0,
) -> tuple[dict[str, Array], NDArray[np.uint8]]:
    """One case: images [I J K] by modality, and the label map [I J K] that made them. Axes run R A S.

    `structures`: which of them there are; a lesion needs a liver. The others' voxels are what lies around.
    `lesion_hu`: by how much the lesion is denser than the liver in CT.
    """
    if not -1000 < lesion_hu < 1000:
        raise UserError(f"a lesion of {lesion_hu:g} HU beside the liver is none", "give less than 1000")
    if len(shape) != 3 or min(shape) < 16:
        raise UserError(
            f"a phantom of shape {tuple(shape)} holds no anatomy", "give three axes of at least 16 voxels"
        )
    for name in modalities:
        if name not in MODALITIES:
            raise unknown("modality of the phantom", name, MODALITIES)
    for name in structures:
        if name not in STRUCTURES:
            raise unknown("structure of the phantom", name, STRUCTURES)
    if LABELS[_LESION] in structures and LABELS[_LIVER] not in structures:
        raise UserError("a phantom has its lesion in the liver", "ask for both")
    rng = np.random.default_rng([seed, case])
    shape = tuple(int(n) for n in shape)
    tissue = _anatomy(rng, shape, structures)
    # Every modality draws from its own stream: asking for fewer leaves the others as they were.
    streams = dict(zip(MODALITIES, rng.spawn(len(MODALITIES)), strict=True))
    painters = {"CT": _ct, "PET": _pet, "MR": _mr}
    images = {name: painters[name](streams[name], tissue) for name in modalities}
    if lesion_hu and "CT" in images:
        images["CT"] += np.int16(lesion_hu) * (tissue == 1 + _LESION)
    return images, np.maximum(tissue, 1) - np.uint8(1)


def write_phantom(
    folder: Path | str,
    *,
    cases: int = 24,
    shape: Sequence[int] = (48, 48, 48),
    spacing_mm: Sequence[float] = (1.5, 1.5, 1.5),
    seed: int = 0,
    modalities: Sequence[str] = MODALITIES,
    structures: Sequence[str] = STRUCTURES,
    lesion_hu: int = 0,
    layout: Literal["msd", "nnunet"] = "msd",
    any_orientation: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes a dataset of phantoms, whole or not at all, and returns its folder.

    `layout` "msd" (Decathlon: the modalities are channels of one file) or "nnunet" (one file each).
    `any_orientation` stores each case along other axes, as scanners do; its affine tells which.
    `progress(done, cases)` is called after each case. A folder that already holds this very set is kept.
    """
    folder = Path(folder)
    if cases < 1:
        raise UserError(f"a phantom set of {cases} cases is empty", "ask for at least 1")
    if len(spacing_mm) != 3 or min(spacing_mm) <= 0:
        raise UserError(f"the spacing {tuple(spacing_mm)} is none", "give three lengths in mm above 0")
    if layout not in ("msd", "nnunet"):
        raise unknown("layout of the phantom", layout, ["msd", "nnunet"])
    names = [f"phantom_{case:03d}" for case in range(cases)]
    description = (
        f"Synthetic anatomy, no patient: seed {seed}, shape {'x'.join(map(str, shape))},"
        f" spacing {'x'.join(f'{mm:g}' for mm in spacing_mm)} mm{', any orientation' * any_orientation}"
    ) + (f", lesions {lesion_hu:+g} HU in CT" if lesion_hu else "")
    labels = {value: name for value, name in LABELS.items() if value == 0 or name in structures}
    about = _description(names, description, modalities, labels, layout)
    if (folder / "dataset.json").is_file():
        if read_object(folder / "dataset.json") == about:
            return folder
        raise UserError(f"{folder} already holds another dataset", "give a new folder")

    def write(case: int, to: Path) -> None:
        images, label = phantom_case(
            case,
            seed=seed,
            shape=shape,
            modalities=modalities,
            structures=structures,
            lesion_hu=lesion_hu,
        )
        affine = np.diag([*spacing_mm, 1.0])
        affine[:3, 3] = -0.5 * (np.array(shape) - 1) * spacing_mm  # the world's origin is the centre
        if any_orientation:
            axes = _some_axes(np.random.default_rng([seed, case, 1]))
        else:
            axes = np.array([[0, 1], [1, 1], [2, 1]])
        _save(to / "labelsTr" / f"{names[case]}.nii.gz", label, affine, axes)
        if layout == "nnunet":
            for channel, image in enumerate(images.values()):
                _save(to / "imagesTr" / f"{names[case]}_{channel:04d}.nii.gz", image, affine, axes)
        else:
            stacked = (
                np.stack(list(images.values()), axis=-1) if len(images) > 1 else next(iter(images.values()))
            )
            _save(to / "imagesTr" / f"{names[case]}.nii.gz", stacked, affine, axes)

    with folder_written_whole(folder) as aside, ThreadPoolExecutor() as pool:
        (aside / "imagesTr").mkdir()
        (aside / "labelsTr").mkdir()
        for done, _ in enumerate(pool.map(lambda case: write(case, aside), range(cases)), start=1):
            if progress:
                progress(done, cases)
        (aside / "dataset.json").write_text(readable_json(about) + "\n", encoding="utf-8")
    if not (folder / "dataset.json").is_file():
        raise UserError(f"{folder} exists and is not empty", "give a new folder")
    return folder


def _description(
    names: list[str], description: str, modalities: Sequence[str], named: dict[int, str], layout: str
) -> dict[str, Any]:
    about: dict[str, Any] = {
        "name": "Phantom",
        "description": description,
        "reference": REFERENCE,
        "licence": "CC0-1.0",
    }
    channels = {str(channel): name for channel, name in enumerate(modalities)}
    if layout == "nnunet":
        labels = {name: value for value, name in named.items()}
        return about | {
            "channel_names": channels,
            "labels": labels,
            "numTraining": len(names),
            "file_ending": ".nii.gz",
        }
    files = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names]
    return about | {
        "tensorImageSize": "4D" if len(modalities) > 1 else "3D",
        "modality": channels,
        "labels": {str(value): name for value, name in named.items()},
        "numTraining": len(names),
        "numTest": 0,
        "training": files,
        "test": [],
    }


def _save(path: Path, array: Array, affine: Array, axes: Array) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(array, affine).as_reoriented(axes), path)


def _some_axes(rng: np.random.Generator) -> Array:
    """A permutation and signs of the three axes, as nibabel's orientation [3 2]."""
    return np.column_stack([rng.permutation(3), rng.choice([-1, 1], 3)])


# Anatomy: tissue 0 is outside the body, 1 the body, 1 + label the rest.


def _anatomy(
    rng: np.random.Generator, shape: tuple[int, ...], structures: Sequence[str]
) -> NDArray[np.uint8]:
    u_3S = _deformed_coordinates(rng, shape)
    tissue = np.where(_inside(u_3S, (0, 0, 0), (0.92, 0.82, 0.96), 2.5), 1, 0).astype(np.uint8)
    for label, (home, radii, exponent) in _ORGANS.items():
        moved = np.array(home) + rng.uniform(-0.04, 0.04, 3)
        grown = np.array(radii) * rng.uniform(0.85, 1.1, 3)
        if LABELS[label] in structures:
            tissue[_inside(u_3S, moved, grown, exponent)] = 1 + label
    if LABELS[_VESSEL] in structures:
        _draw_vessels(rng, shape, tissue)
    if LABELS[_LESION] in structures:
        _draw_lesion(rng, u_3S, tissue)
    return tissue


def _draw_vessels(rng: np.random.Generator, shape: tuple[int, ...], tissue: NDArray[np.uint8]) -> None:
    for points, radius in _vessels(rng, shape):
        _stamp(tissue, points, radius, 1 + _VESSEL)


def _draw_lesion(rng: np.random.Generator, u_3S: NDArray[np.float32], tissue: NDArray[np.uint8]) -> None:
    liver = np.argwhere(tissue == 1 + _LIVER)
    centre = u_3S[
        (slice(None), *liver[rng.integers(len(liver))])
    ]  # a voxel of the liver: never an empty lesion
    lesion = _inside(u_3S, centre, rng.uniform(0.12, 0.22, 3), 2.0)
    tissue[lesion & (tissue == 1 + _LIVER)] = 1 + _LESION


def _deformed_coordinates(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """u [3 *S]: where in the undeformed anatomy each voxel lies; small shifts that vary smoothly."""
    axes = [(np.arange(n, dtype=np.float32) + 0.5) * (2 / n) - 1 for n in shape]
    u_3S = np.stack(np.meshgrid(*axes, indexing="ij"))
    for axis in range(3):
        u_3S[axis] += _smooth_field(rng, shape, amplitude=0.05)
    return u_3S


def _smooth_field(rng: np.random.Generator, shape: tuple[int, ...], amplitude: float) -> NDArray[np.float32]:
    """A field [*S] of about ±`amplitude` that varies over a quarter of the field of view."""
    from scipy.ndimage import zoom

    knots = rng.uniform(-amplitude, amplitude, (5, 5, 5)).astype(np.float32)
    field: NDArray[np.float32] = zoom(knots, np.array(shape) / 5, order=3, mode="nearest", grid_mode=True)
    return field


def _inside(u_3S: Array, centre: Any, radii: Any, exponent: float) -> NDArray[np.bool_]:
    """Voxels of the superquadric sum_i |(u_i - c_i) / r_i|^p <= 1."""
    parts = (np.abs((u_3S[i] - centre[i]) / radii[i]) ** exponent for i in range(3))
    inside: NDArray[np.bool_] = sum(parts) <= 1
    return inside


def _vessels(rng: np.random.Generator, shape: tuple[int, ...]) -> list[tuple[Array, float]]:
    """A trunk along the body with branches and twigs: centre lines [N 3] and radii, in voxels."""
    n = np.array(shape)
    trunk_radius = float(np.clip(min(shape) / 24, 1, 2))
    twig_radius = max(1.0, 0.6 * trunk_radius)

    def curve(start: Array, end: Array) -> Array:
        middle = (start + end) / 2 + rng.uniform(-0.08, 0.08, 3)
        t = np.linspace(0, 1, 4 * int(n.max()))[:, None]
        u = (1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end  # quadratic Bézier
        voxels: Array = (u + 1) / 2 * n - 0.5
        return voxels

    bottom, top = (np.array([x, -0.35, z]) for x, z in ((-0.02, -0.85), (0.02, 0.85)))
    tree = [(curve(bottom, top), trunk_radius)]
    for goal in ((0.5, 0.1, 0.25), (0.3, 0.35, 0.1), (-0.42, -0.12, 0.22), (-0.3, -0.1, -0.4)):
        target = np.array(goal) + rng.uniform(-0.06, 0.06, 3)
        fork = np.array([0, -0.35, target[2] - 0.15])
        tree.append((curve(fork, target), twig_radius))
        side = target + rng.uniform(-0.25, 0.25, 3)
        tree.append((curve((fork + target) / 2, side), 1.0))
    return tree


def _stamp(tissue: NDArray[np.uint8], points: Array, radius: float, value: int) -> None:
    """Sets the voxels within `radius` voxels of the points [N 3]."""
    reach = np.arange(-int(radius) - 1, int(radius) + 2)
    offsets = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), axis=-1).reshape(-1, 3)
    voxels = np.rint(points)[:, None] + offsets
    near = np.linalg.norm(voxels - points[:, None], axis=-1) <= radius
    voxels = voxels[near].astype(int)
    voxels = voxels[((voxels >= 0) & (voxels < tissue.shape)).all(axis=1)]
    tissue[tuple(voxels.T)] = value


# What each modality shows of it.


def _ct(rng: np.random.Generator, tissue: NDArray[np.uint8]) -> Array:
    hounsfield = _CT[tissue] + rng.normal(0, 15, tissue.shape).astype(np.float32)
    stored: Array = np.rint(hounsfield).clip(-1024, 3071).astype(np.int16)
    return stored


def _pet(rng: np.random.Generator, tissue: NDArray[np.uint8]) -> Array:
    from scipy.ndimage import gaussian_filter

    uptake: Array = gaussian_filter(_PET[tissue] * rng.uniform(0.8, 1.2), np.array(tissue.shape) / 60)
    noise = rng.normal(0, 0.15, tissue.shape).astype(np.float32)
    return np.maximum(uptake + noise * np.sqrt(uptake), 0).astype(np.float32)


def _mr(rng: np.random.Generator, tissue: NDArray[np.uint8]) -> Array:
    scale = 10 ** rng.uniform(2, 4)
    signal = _MR[tissue] * (1 + _smooth_field(rng, tissue.shape, amplitude=0.25))
    noise = rng.normal(0, 0.03, (2, *tissue.shape)).astype(np.float32)
    magnitude: Array = np.hypot(signal + noise[0], noise[1])  # hence Rician noise
    return (scale * magnitude).astype(np.float32)
