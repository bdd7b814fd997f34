"""What may happen to a sample, and the named presets: plain values, of which `augment.py` draws."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Chance:
    """With `probability`, a value drawn uniformly from `low` to `high`; otherwise nothing changes.

    With a `step` it is one of low, low + step, ..., high.
    """

    probability: float = 0.0
    low: float = 0.0
    high: float = 0.0
    step: float = 0.0


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a sample; the default is nothing."""

    flip: float = 0.0  # probability for each of the flip axes
    flip_axes: tuple[int, ...] | None = None  # None: all
    flip_one: tuple[int, ...] = ()  # of these axes at most one is flipped, and no other
    rotate90: float = 0.0  # probability of 1, 2 or 3 quarter turns in the plane of axes 0 and 1
    rotate_degrees: Chance = Chance()  # about every axis in 3D
    in_plane: bool = False  # rotation and translation only in the plane of axes 0 and 1
    translate: Chance = Chance()  # voxels, along each axis
    scale: Chance = Chance()  # above 1 enlarges
    gain: Chance = Chance()  # factor, per modality
    shift: Chance = Chance()  # summand, per modality
    gamma: Chance = Chance()  # exponent on the intensities scaled to 0...1, per modality
    blur: Chance = Chance()  # standard deviation of a Gaussian, voxels
    noise: Chance = Chance()  # standard deviation of Gaussian noise


PRESETS = {
    "none": Augmentation(),
    "light": Augmentation(
        flip=0.5,
        rotate_degrees=Chance(0.3, -15, 15),
        scale=Chance(0.3, 0.9, 1.1),
        gain=Chance(0.3, 0.9, 1.1),
        shift=Chance(0.3, -0.1, 0.1),
        gamma=Chance(0.2, 0.8, 1.25),
        blur=Chance(0.1, 0.5, 1.0),
        noise=Chance(0.15, 0.0, 0.1),
    ),
    "flips": Augmentation(flip=0.5),  # KD-Net
    # Dual self-distillation, the authors' code: hippocampus and BraTS, then MMWHS.
    "dsd_hippocampus": Augmentation(flip=0.5, rotate90=0.1, shift=Chance(1.0, -0.1, 0.1)),
    "dsd_mmwhs": Augmentation(flip=0.1, rotate90=0.1, shift=Chance(0.5, -0.1, 0.1)),
    # Teach-Former's data, the code of H-DenseFormer. Exactly one flip, always; then one of two or none.
    "hecktor21": Augmentation(
        flip=0.5,
        flip_one=(0, 1),
        rotate_degrees=Chance(1.0, -5, 5),
        in_plane=True,
        translate=Chance(1.0, -5, 5),
    ),
    "picai22": Augmentation(
        flip=0.3, flip_one=(0, 1), rotate_degrees=Chance(1.0, -15, 15, step=5), in_plane=True
    ),
    # Slices of the abdomen, the code of Swin-Unet: there a turn and a flip together, or else a rotation.
    "abdomen": Augmentation(flip=0.25, flip_one=(0, 1), rotate90=0.375, rotate_degrees=Chance(0.25, -20, 20)),
}
