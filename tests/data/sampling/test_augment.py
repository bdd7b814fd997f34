"""What is drawn depends on (seed, index) alone; what is applied is exact, or equal to SciPy."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from scipy.spatial.transform import Rotation

from distilseg.data.sampling.augment import (
    Parameters,
    apply,
    apply_geometry,
    apply_intensity,
    draw,
)
from distilseg.data.sampling.augmentation import PRESETS, Augmentation, Chance

EVERYTHING = replace(
    PRESETS["light"],
    rotate90=0.5,
    translate=Chance(0.6, -3, 3),
    **{
        name: replace(chance, probability=0.6)
        for name, chance in vars(PRESETS["light"]).items()
        if isinstance(chance, Chance) and name != "translate"
    },
)


def neutral(n: int = 1, ndim: int = 3, modalities: int = 1, **changes: Any) -> Parameters:
    spacing_mm = changes.pop("spacing_mm", ())
    nothing = draw(PRESETS["none"], 0, range(n), ndim, modalities=modalities, spacing_mm=spacing_mm)
    return replace(nothing, **{name: np.array(value) for name, value in changes.items()})


def smooth(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    noise = np.random.default_rng(seed).standard_normal(shape)
    sigma = (0, 0, *(1.5,) * (len(shape) - 2))
    return torch.from_numpy(ndimage.gaussian_filter(noise, sigma).astype(np.float32))


def labels(shape: tuple[int, ...], classes: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, classes, shape))


def test_a_sample_is_drawn_by_seed_and_index_alone():
    together = draw(EVERYTHING, 5, [3, 8, 1000], 3, modalities=2)
    for row, index in enumerate([3, 8, 1000]):
        alone = draw(EVERYTHING, 5, [index], 3, modalities=2)
        for name, values in asdict(together).items():
            if name != "spacing_mm":
                np.testing.assert_array_equal(values[row], getattr(alone, name)[0])
    other = draw(EVERYTHING, 6, [3, 8, 1000], 3, modalities=2)
    assert not np.array_equal(other.noise_seed, together.noise_seed)


def test_a_sample_is_changed_by_seed_and_index_alone():
    image, label = smooth((4, 2, 12, 12, 12)), labels((4, 1, 12, 12, 12))
    untouched = image.clone(), label.clone()
    indices = [4, 5, 6, 7]
    whole = apply(image, label, draw(EVERYTHING, 1, indices, 3, modalities=2))
    again = apply(image, label, draw(EVERYTHING, 1, indices, 3, modalities=2))
    assert torch.equal(whole[0], again[0])
    assert torch.equal(whole[1], again[1])
    assert torch.equal(image, untouched[0])
    assert torch.equal(label, untouched[1])
    for row, index in enumerate(indices):
        one = slice(row, row + 1)
        alone = apply(image[one], label[one], draw(EVERYTHING, 1, [index], 3, modalities=2))
        torch.testing.assert_close(alone[0], whole[0][one], rtol=0, atol=1e-6)
        assert torch.equal(alone[1], whole[1][one])
    assert not torch.allclose(whole[0], image)
    assert whole[1].dtype == label.dtype
    assert set(whole[1].unique().tolist()) <= {0, 1, 2, 3}


def test_one_change_more_leaves_the_others_as_they_were():
    more, less = draw(EVERYTHING, 2, range(20), 3), draw(replace(EVERYTHING, rotate90=0.0), 2, range(20), 3)
    assert not np.array_equal(more.quarter_turns, less.quarter_turns)
    for name in ("flips", "degrees", "scale", "gain", "shift", "gamma", "blur", "noise"):
        np.testing.assert_array_equal(getattr(more, name), getattr(less, name))


def test_probabilities_and_ranges():
    wanted = Augmentation(
        flip=0.25, rotate90=0.4, rotate_degrees=Chance(0.3, -20, 10), gain=Chance(0.5, 0.8, 1.4)
    )
    drawn = draw(wanted, 0, range(2000), 3, modalities=2)
    np.testing.assert_allclose(drawn.flips.mean(0), 0.25, atol=0.04)
    turns = np.bincount(drawn.quarter_turns, minlength=4) / 2000
    np.testing.assert_allclose(turns, [0.6, 0.4 / 3, 0.4 / 3, 0.4 / 3], atol=0.04)
    turned = (drawn.degrees != 0).any(1)
    assert turned.mean() == pytest.approx(0.3, abs=0.04)
    assert (drawn.degrees[turned] != 0).all()  # about all axes at once
    assert -20 <= drawn.degrees.min() < -19
    assert 9 < drawn.degrees.max() <= 10
    changed = drawn.gain != 1
    np.testing.assert_allclose(changed.mean(0), 0.5, atol=0.04)
    np.testing.assert_allclose(drawn.gain[changed].mean(), 1.1, atol=0.02)
    assert abs(np.corrcoef(changed.T)[0, 1]) < 0.08  # modalities have their own luck
    assert (drawn.shift == 0).all()
    assert (drawn.noise == 0).all()


def test_nothing_changes_nothing():
    image, label = smooth((2, 1, 6, 7, 8)), labels((2, 1, 6, 7, 8))
    same = apply(image, label, draw(PRESETS["none"], 0, [0, 1], 3))
    assert torch.equal(same[0], image)
    assert torch.equal(same[1], label)


@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 2), (0, 1, 2)])
def test_flips_are_exact(axes):
    image = smooth((1, 2, 4, 5, 6))
    flips = neutral(flips=[[axis in axes for axis in range(3)]])
    flipped = apply_geometry(image, flips, "bilinear")
    np.testing.assert_array_equal(flipped[0], np.flip(image[0].numpy(), [axis + 1 for axis in axes]))
    assert torch.equal(apply_geometry(flipped, flips, "bilinear"), image)


def test_left_and_right_can_be_left_alone():
    drawn = draw(replace(PRESETS["light"], flip_axes=(1, 2)), 0, range(100), 3)
    assert not drawn.flips[:, 0].any()
    assert drawn.flips[:, 1:].any(0).all()
    whole = draw(PRESETS["light"], 0, range(100), 3)
    np.testing.assert_array_equal(drawn.flips[:, 1:], whole.flips[:, 1:])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_exact_and_need_a_square(turns):
    image = smooth((1, 1, 6, 6, 4))
    turned = apply_geometry(image, neutral(quarter_turns=[turns]), "bilinear")
    np.testing.assert_array_equal(turned[0, 0], np.rot90(image[0, 0].numpy(), turns, (0, 1)))

    for kept, spacing_mm in ((smooth((1, 1, 6, 5, 4)), (1.0, 1.0, 1.0)), (image, (1.0, 2.0, 1.0))):
        turned = apply_geometry(kept, neutral(quarter_turns=[turns], spacing_mm=spacing_mm), "bilinear")
        expected = np.rot90(kept[0, 0].numpy(), 2, (0, 1)) if turns == 2 else kept[0, 0].numpy()
        np.testing.assert_array_equal(turned[0, 0], expected)


def test_rotation_by_a_right_angle_is_the_quarter_turn():
    image = smooth((1, 1, 7, 7, 5))
    by_angle = apply_geometry(image, neutral(degrees=[[0.0, 0.0, 90.0]]), "bilinear")
    by_turn = apply_geometry(image, neutral(quarter_turns=[1]), "bilinear")
    torch.testing.assert_close(by_angle, by_turn, atol=1e-4, rtol=0)


@pytest.mark.parametrize("degrees", [(20.0, 0.0, 0.0), (0.0, 0.0, -35.0), (12.0, -25.0, 40.0)])
@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (0.7, 1.3, 3.0)])
def test_rotation_and_scale_are_those_of_scipy_in_mm(degrees, spacing_mm):
    image, scale = smooth((1, 1, 15, 18, 11)), 1.2
    parameters = neutral(degrees=[degrees], scale=[scale], spacing_mm=spacing_mm)
    moved = apply_geometry(image, parameters, "bilinear")[0, 0].numpy()

    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    to_mm = np.diag(spacing_mm)
    matrix = np.linalg.inv(to_mm) @ turn.T / scale @ to_mm
    centre = (np.array(image.shape[2:]) - 1) / 2
    expected = ndimage.affine_transform(
        image[0, 0].numpy(), matrix, centre - matrix @ centre, order=1, mode="nearest"
    )
    np.testing.assert_allclose(moved, expected, atol=2e-5)


def test_a_whole_translation_moves_voxels_exactly_and_repeats_the_border():
    image = smooth((1, 2, 6, 7, 5))
    there = neutral(translation_mm=[[2.0, -3.0, 0.0]], spacing_mm=(1.0, 3.0, 2.0))
    moved = apply_geometry(image, there, "bilinear")
    torch.testing.assert_close(moved[:, :, 2:, :-1], image[:, :, :-2, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[:, :, :2, :-1], image[:, :, :1, 1:].expand(-1, -1, 2, -1, -1))


def test_translation_comes_after_rotation_and_scale_as_scipy_does_it():
    image, scale, spacing_mm, degrees = smooth((1, 1, 15, 18, 11)), 0.9, (0.7, 1.3, 3.0), (12.0, -25.0, 40.0)
    translation_mm = np.array([1.5, -2.0, 3.1])
    parameters = neutral(
        degrees=[degrees], scale=[scale], translation_mm=[translation_mm], spacing_mm=spacing_mm
    )
    moved = apply_geometry(image, parameters, "bilinear")[0, 0].numpy()
    turn, to_mm = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix(), np.diag(spacing_mm)
    matrix = np.linalg.inv(to_mm) @ turn.T / scale @ to_mm
    centre = (np.array(image.shape[2:]) - 1) / 2
    from_there = centre + translation_mm / spacing_mm  # in voxels
    expected = ndimage.affine_transform(
        image[0, 0].numpy(), matrix, centre - matrix @ from_there, order=1, mode="nearest"
    )
    np.testing.assert_allclose(moved, expected, atol=2e-5)


def test_a_coarser_map_moves_by_the_same_millimetres():
    fine = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(1, 1, 16, 16, 16).contiguous()
    coarse = F.avg_pool3d(fine, 4)
    moves = neutral(translation_mm=[[4.0, 0.0, 0.0]])
    moved = apply_geometry(fine, moves, "bilinear")
    followed = apply_geometry(coarse, replace(moves, spacing_mm=(4.0, 4.0, 4.0)), "bilinear")
    torch.testing.assert_close(F.avg_pool3d(moved, 4)[:, :, 1:], followed[:, :, 1:], atol=1e-4, rtol=0)
    assert not torch.allclose(followed, coarse)


def test_scale_above_one_enlarges_in_the_same_place():
    label = torch.zeros((1, 1, 32, 32, 32), dtype=torch.uint8)
    label[..., 11:21, 11:21, 11:21] = 1
    large = apply_geometry(label, neutral(scale=[1.4]), "nearest")
    assert large.dtype == torch.uint8
    assert large.sum().item() == 14**3
    assert large[..., 9:23, 9:23, 9:23].all()


def test_only_the_samples_that_turn_are_interpolated():
    image = smooth((3, 1, 8, 8, 8))
    moved = apply_geometry(image, neutral(3, degrees=[[0, 0, 0], [5.0, 0, 0], [0, 0, 0]]), "bilinear")
    assert torch.equal(moved[0], image[0])
    assert torch.equal(moved[2], image[2])
    assert not torch.allclose(moved[1], image[1])


def test_image_label_and_further_maps_move_together():
    label = (smooth((4, 1, 16, 16, 16)) > 0).long()
    parameters = replace(draw(EVERYTHING, 3, range(4), 3), noise=np.zeros(4), blur=np.zeros(4))
    image, moved = apply(label.float(), label, parameters)
    soft = apply_geometry(
        torch.cat([1 - label, label], 1).float(), parameters, "bilinear"
    )  # two maps of a teacher
    assert ((soft[:, 1:] > 0.5) == (moved == 1)).float().mean() > 0.96  # linear against nearest
    torch.testing.assert_close(soft.sum(1), torch.ones_like(soft[:, 0]))
    assert image[moved == 1].mean() > image[moved == 0].mean() + 0.5


def test_two_dimensions():
    image, label = smooth((3, 2, 12, 14)), labels((3, 1, 12, 14))
    moved, followed = apply(
        image, label, draw(EVERYTHING, 0, range(3), 2, modalities=2, spacing_mm=(1.0, 2.0))
    )
    assert moved.shape == image.shape
    assert followed.shape == label.shape
    square = smooth((1, 1, 9, 9))
    torch.testing.assert_close(
        apply_geometry(square, neutral(ndim=2, degrees=[[90.0]]), "bilinear"),
        torch.rot90(square, 1, (2, 3)),
        atol=1e-4,
        rtol=0,
    )


def test_gain_and_shift_by_hand():
    image = smooth((2, 2, 4, 4, 4))
    gain, shift = [[2.0, 1.0], [1.0, 0.5]], [[0.0, 1.0], [0.25, 0.0]]
    changed = apply_intensity(image, neutral(2, modalities=2, gain=gain, shift=shift))
    for b in range(2):
        for m in range(2):
            torch.testing.assert_close(changed[b, m], image[b, m] * gain[b][m] + shift[b][m])


def test_gamma_keeps_the_range_and_the_order():
    image = smooth((1, 2, 8, 8, 8))
    bent = apply_intensity(image, neutral(modalities=2, gamma=[[2.0, 1.0]]))
    assert torch.equal(bent[0, 1], image[0, 1])
    before, after = image[0, 0].flatten(), bent[0, 0].flatten()
    torch.testing.assert_close(after.min(), before.min())
    torch.testing.assert_close(after.max(), before.max())
    assert (after[before.argsort()].diff() >= -1e-6).all()
    assert after.mean() < before.mean()  # an exponent above 1 darkens
    flat = torch.full((1, 1, 4, 4, 4), 3.0)
    torch.testing.assert_close(apply_intensity(flat, neutral(gamma=[[1.5]])), flat)


def test_noise_has_its_deviation_and_follows_its_seed():
    image = torch.zeros((3, 1, 20, 20, 20))
    noisy = apply_intensity(image, neutral(3, noise=[0.3, 0.0, 0.3], noise_seed=[7, 8, 9]))
    assert noisy[0].std() == pytest.approx(0.3, rel=0.03)
    assert noisy[0].mean() == pytest.approx(0, abs=0.02)
    assert not noisy[1].any()
    assert not torch.equal(noisy[0], noisy[2])
    alone = apply_intensity(image[:1], neutral(noise=[0.3], noise_seed=[9]))
    assert torch.equal(alone[0], noisy[2])


@pytest.mark.parametrize("sigma", [0.5, 1.3])
def test_blur_is_the_gaussian_of_scipy(sigma):
    image = smooth((1, 2, 9, 10, 11))
    blurred = apply_intensity(image, neutral(modalities=2, blur=[sigma]))
    radius = int(np.ceil(3 * sigma))
    expected = ndimage.gaussian_filter(
        image[0].numpy(), (0, sigma, sigma, sigma), mode="nearest", radius=radius
    )
    np.testing.assert_allclose(blurred[0], expected, atol=1e-6)


def test_the_presets_of_dual_self_distillation():
    for preset, flip, shifted in ((PRESETS["dsd_hippocampus"], 0.5, 1.0), (PRESETS["dsd_mmwhs"], 0.1, 0.5)):
        drawn = draw(preset, 0, range(1000), 3)
        np.testing.assert_allclose(drawn.flips.mean(0), flip, atol=0.05)
        assert (drawn.quarter_turns > 0).mean() == pytest.approx(0.1, abs=0.03)
        assert (drawn.shift != 0).mean() == pytest.approx(shifted, abs=0.05)
        assert 0.09 < np.abs(drawn.shift).max() <= 0.1
        assert (drawn.degrees == 0).all()
        assert (drawn.gain == 1).all()


def test_the_preset_of_hecktor_21():
    """H-DenseFormer's code: always one flip of two axes, ±5 voxels and ±5° in the axial plane."""
    drawn = draw(PRESETS["hecktor21"], 0, range(2000), 3, spacing_mm=(1.0, 2.0, 3.0))
    assert (drawn.flips.sum(1) == 1).all()
    assert not drawn.flips[:, 2].any()
    assert drawn.flips[:, 0].mean() == pytest.approx(0.5, abs=0.04)
    assert (drawn.degrees[:, :2] == 0).all()
    assert 4.9 < np.abs(drawn.degrees[:, 2]).max() <= 5
    assert (drawn.translation_mm[:, 2] == 0).all()
    np.testing.assert_allclose(np.abs(drawn.translation_mm[:, :2]).max(0), [5, 10], rtol=0.02)
    assert abs(np.corrcoef(drawn.translation_mm[:, :2].T)[0, 1]) < 0.08
    assert (drawn.scale == 1).all()
    assert (drawn.gain == 1).all()


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_preset_of_picai_22(ndim):
    """H-DenseFormer's code: one of seven angles; 30 % one flip, 30 % the other, 40 % none."""
    drawn = draw(PRESETS["picai22"], 0, range(3500), ndim)
    assert (drawn.flips.sum(1) <= 1).all()
    np.testing.assert_allclose(drawn.flips.mean(0), [0.3, 0.3, 0][:ndim], atol=0.03)
    angles, times = np.unique(drawn.degrees[:, -1], return_counts=True)
    assert angles.tolist() == [-15, -10, -5, 0, 5, 10, 15]
    np.testing.assert_allclose(times / 3500, 1 / 7, atol=0.02)
    assert (drawn.degrees[:, :-1] == 0).all()
    assert (drawn.translation_mm == 0).all()
