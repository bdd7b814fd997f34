"""Blended windows: as the formula says, and on the disk the same as in memory, to the last bit."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distilseg import scratch
from distilseg.data.preparing.grid import Grid
from distilseg.networks.build import NetworkSpec, build
from distilseg.runtime.nnunet.windows import boxes, padding, weight
from distilseg.teachers.answers import blocks
from distilseg.teachers.classes import match_classes
from distilseg.teachers.nnunet.model import NnUNetTeacher
from distilseg.teachers.nnunet.predict import AT_ONCE, predicted

from ...test_scratch import LINUX, mapped
from .small import plain, plans_with, scan_of, write_model
from .test_model import opened

HEADS = 5


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of scratch files; logits of any size go there."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(scratch, "IN_MEMORY", 0)
    monkeypatch.setattr(scratch, "scratch_folder", lambda: folder)
    return folder


def network(axes: int, seed: int) -> nn.Module:
    """One that is not the same from end to end, so that mirroring matters."""
    torch.manual_seed(seed)
    return (nn.Conv3d if axes == 3 else nn.Conv2d)(1, HEADS, 3, padding=1)


@pytest.mark.parametrize("patch", [(8, 8, 8), (9, 12, 8), (8, 10)])
@pytest.mark.parametrize("where", ["memory", "disk"])
def test_windows_are_blended_as_the_formula_says(
    patch: tuple[int, ...], where: str, request: pytest.FixtureRequest
) -> None:
    if where == "disk":
        request.getfixturevalue("on_disk")
    image = np.random.default_rng(0).standard_normal((1, 11, 7, 17), np.float32)
    folds = [network(len(patch), seed) for seed in (1, 2)]
    mirrored = (0, 1)
    found = predicted(image, folds, HEADS, patch, mirrored=mirrored)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert np.array_equal(found, _plainly(image, folds, patch, mirrored))


def _plainly(image: Any, folds: list[nn.Module], patch: tuple[int, ...], mirrored: tuple[int, ...]) -> Any:
    """One array of all heads on the padded volume, cut at the end."""
    around = padding(image.shape[1:], patch)
    padded = torch.from_numpy(np.pad(image, [(0, 0), *around]))
    sums, weights = torch.zeros(HEADS, *padded.shape[1:]), np.zeros(padded.shape[1:], np.float16)
    weight_P = weight(patch)
    with torch.inference_mode():
        for fold, box in itertools.product(folds, boxes(padded.shape[1:], patch, 0.5)):
            window = padded[:, *box].reshape(1, 1, *patch)
            total = torch.zeros(1, HEADS, *patch)
            for n in range(len(mirrored) + 1):
                for flip in itertools.combinations(mirrored, n):
                    axes = [2 + axis for axis in flip]
                    total += fold(window.flip(axes)).flip(axes)
            blended = (total / 2 ** len(mirrored))[0] * torch.from_numpy(weight_P.astype(np.float32))
            sums[:, *box] += blended.reshape(HEADS, *padded[0, *box].shape)
    for box in boxes(padded.shape[1:], patch, 0.5):
        weights[box] += weight_P.reshape(weights[box].shape)
    sums /= torch.from_numpy(weights.astype(np.float32)) * len(folds)
    inner = [slice(a, size - b) for size, (a, b) in zip(padded.shape[1:], around, strict=True)]
    return sums[:, *inner].numpy()


@pytest.mark.parametrize("axes", [2, 3])
def test_many_heads_are_computed_a_few_at_a_time(axes: int) -> None:
    """The logits that the network answers, but for the rounding of a weight that comes and goes."""
    heads = 2 * AT_ONCE + 3
    torch.manual_seed(0)
    spec = NetworkSpec("plain_conv_unet", 1, heads, (16,) * axes, {"features": (4, 8, 8)})
    unet = build(spec)
    at_once = []
    unet.decoder.seg_layers[-1].register_forward_hook(lambda *given: at_once.append(given))
    image = np.random.default_rng(0).standard_normal((1, 1, 16, 16), np.float32)
    image = image if axes == 2 else np.concatenate([image] * 16, 1)
    found = predicted(image, [unet], heads, (16,) * axes)
    assert at_once == []  # the last head did not answer whole
    with torch.inference_mode():
        whole = unet(torch.from_numpy(image[None] if axes == 3 else image))[0].numpy()
    np.testing.assert_allclose(found, whole.reshape(found.shape), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.5, 1.0), (6.0, 1.0, 1.0)])
@pytest.mark.parametrize("order", [1, 3])
def test_a_teacher_answers_the_same_from_the_disk(
    tmp_path: Path, request: pytest.FixtureRequest, spacing: tuple[float, ...], order: int
) -> None:
    """Label map, probabilities and blocks on a grid of ours; where one axis is treated separately, too."""
    how = {"is_seg": False, "order": order, "order_z": 0, "force_separate_z": None}
    plans = plans_with(**{"3d_fullres": plain(spacing=list(spacing), resampling_fn_probabilities_kwargs=how)})
    teacher, case = opened(write_model(tmp_path, plans=plans)), {"CT": scan_of()}
    first = _everything(teacher, case)
    folder = request.getfixturevalue("on_disk")
    logits = teacher.answer(case, case="a").logits
    assert not logits.flags.owndata
    assert list(folder.iterdir()) == []
    for one, other in zip(first, _everything(teacher, case), strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


def _everything(teacher: NnUNetTeacher, case: dict[str, Any]) -> list[Any]:
    answer = teacher.answer(case, case="a")
    classes = match_classes(teacher, ("background", "liver", "tumour"))
    shape = answer.placement.original_shape
    affine = tuple(map(tuple, np.eye(4).tolist()))
    box, fewer = tuple((0, n) for n in shape), tuple(n - 3 for n in shape)
    grid = Grid(shape, affine, (0, 1, 2), (False,) * 3, box, fewer)
    on_ours = [block.probabilities.numpy() for block in blocks(answer, grid, classes)]
    return [answer.logits, teacher.labels(answer, case), teacher.probabilities(answer, case), *on_ours]


@LINUX
def test_nothing_is_left_after_an_error(on_disk: Path) -> None:
    class Broken(nn.Module):
        def forward(self, window: torch.Tensor) -> torch.Tensor:
            assert mapped(on_disk)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        predicted(np.zeros((1, 8, 8, 8), np.float32), [Broken()], HEADS, (8, 8, 8))
    assert list(on_disk.iterdir()) == []
    assert not mapped(on_disk)
