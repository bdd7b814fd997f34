"""Models that nnU-Net itself trained, against the answers that nnU-Net itself gave.

nnU-Net sums in float16. With that emulated here (`in_half`), logits and probabilities are equal but for the
rounding of other versions of PyTorch; as shipped, in float32, voxels whose windows weigh next to nothing are
left out: nnU-Net's own logits are rounded to whole numbers there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.inference.mirroring import mean_over_flips
from distilseg.runtime.nnunet.prepare import in_order, prepare
from distilseg.runtime.nnunet.windows import boxes, padding, weight
from distilseg.teachers.nnunet.folder import find_model
from distilseg.teachers.nnunet.model import NnUNetTeacher, open_model
from distilseg.teachers.teacher import Answer, Teacher, TeacherOptions

from ..fixtures import teachers

pytestmark = pytest.mark.real_data

MODELS = (
    *("a_plain_3d_2folds", "a_plain_3d_fold0", "b_resenc_3d", "c_plain_2d", "d_lowres", "e_regions"),
    "f_ct_pet",
)
LEAST_WEIGHT = 1e-5  # below it nnU-Net's logits have no digits left


def described(name: str) -> dict[str, Any]:
    """What models.json says of a model."""
    about: dict[str, Any] = json.loads((teachers() / "models.json").read_text())[name]
    return about


@cache
def opened(name: str, mirror: bool = False, **options: Any) -> tuple[NnUNetTeacher, dict[str, Scan]]:
    """The teacher, and its scans by modality."""
    about = described(name)
    folds = tuple(str(fold) for fold in about["folds"])
    asked = TeacherOptions(folds=folds, mirror=mirror, device="cpu", **options)
    teacher = open_model(find_model(teachers() / about["folder"], None, folds, asked.checkpoint), asked)
    (case,) = about["cases"]
    inputs = teachers() / about["inputs"]
    files = (inputs / f"{case}_{index:04d}.nii.gz" for index in range(len(teacher.modalities)))
    return teacher, dict(zip(teacher.modalities, map(read_scan, files), strict=True))


@cache
def answered(name: str, mirror: bool = False) -> Answer:
    """As shipped."""
    teacher, scans = opened(name, mirror)
    return teacher.answer(scans, case=name)


@cache
def prepared(name: str) -> NDArray[np.float32]:
    """What the network is shown, [M *W]."""
    teacher, scans = opened(name)
    return prepare(in_order(scans, teacher.modalities, case=name), teacher.configuration, case=name).image


def expected(name: str, kind: str, ending: str, mirror: bool = False) -> Any:
    """nnU-Net's own answer."""
    (case,) = described(name)["cases"]
    path = teachers() / described(name)["predictions"] / ("tta" if mirror else "no_tta") / f"{case}{ending}"
    return read_scan(path).array if kind == "labels" else np.load(path)[kind]


@torch.inference_mode()
def in_half(
    image: NDArray[np.float32],
    folds: Iterable[nn.Module],
    heads: int,
    patch: Sequence[int],
    mirrored: Sequence[int] = (),
) -> NDArray[np.float16]:
    """`predict.predicted` with nnU-Net's own arithmetic: sums, weights and the mean of folds in float16."""
    patch, around = tuple(patch), padding(image.shape[1:], patch)
    padded = torch.from_numpy(np.pad(image, [(0, 0), *around]))
    weight_P, answers = torch.from_numpy(weight(patch).copy()), []
    for network in folds:
        sums = torch.zeros((heads, *padded.shape[1:]), dtype=torch.half)
        weights = torch.zeros(padded.shape[1:], dtype=torch.half)
        for box in boxes(padded.shape[1:], patch, 0.5):
            window = padded[:, *box]
            logits_KP = mean_over_flips(window.reshape(1, len(window), *patch), network.eval(), mirrored)[0]
            sums[:, *box] += (logits_KP * weight_P).reshape(heads, *window.shape[1:])
            weights[box] += weight_P.reshape(weights[box].shape)
        answers.append(sums / weights)
    mean = sum(answers[1:], answers[0]) / len(answers) if len(answers) > 1 else answers[0]
    inner = tuple(slice(a, n - b) for n, (a, b) in zip(mean.shape[1:], around, strict=True))
    return mean[:, *inner].contiguous().numpy()


def weights_of(shape: Sequence[int], patch: Sequence[int]) -> NDArray[np.float32]:
    """What the windows of every voxel weigh in all, [*W]."""
    around, patch = padding(shape, patch), tuple(patch)
    total = np.zeros([n + a + b for n, (a, b) in zip(shape, around, strict=True)], np.float32)
    for box in boxes(total.shape, patch, 0.5):
        total[box] += weight(patch).reshape(total[box].shape)
    return total[tuple(slice(a, a + n) for n, (a, _) in zip(shape, around, strict=True))]


@cache
def hardly_weighed(name: str, mirror: bool = False) -> NDArray[np.bool_]:
    """On the scan's grid, the voxels in which one has a share whose windows weigh next to nothing."""
    teacher, scans = opened(name, mirror)
    answer = answered(name, mirror)
    kept = weights_of(answer.logits.shape[1:], teacher.configuration.patch) > LEAST_WEIGHT
    one = np.stack([1 - kept.astype(np.float32)] * 2)
    found: NDArray[np.bool_] = (
        teacher.probabilities(replace(answer, logits=one, activation="sigmoid"), scans)[0] > 0.5
    )
    return found


@pytest.mark.parametrize("name", MODELS)
def test_the_image_is_equal(name: str) -> None:
    image = expected(name, "image", "_working.npz")
    assert prepared(name).shape == image.shape
    assert np.abs(prepared(name) - image).max() <= 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_as_shipped(name: str) -> None:
    teacher, scans = opened(name)
    answer = answered(name)
    logits = expected(name, "logits", "_working.npz").astype(np.float32)
    kept = weights_of(logits.shape[1:], teacher.configuration.patch) > LEAST_WEIGHT
    assert kept.mean() > 0.9
    assert answer.logits.dtype == np.float32
    assert np.abs(answer.logits - logits)[:, kept].max() <= 1e-2

    touched = hardly_weighed(name)
    probabilities = expected(name, "probabilities", ".npz").transpose(0, 3, 2, 1)
    found = teacher.probabilities(answer, scans)
    assert np.abs(found - probabilities)[:, ~touched].max() <= 5e-3
    assert np.abs(found - probabilities).mean() <= 2e-3

    labels = teacher.labels(answer, scans)
    assert labels.dtype == np.uint8
    theirs = expected(name, "labels", ".nii.gz")
    assert (labels != theirs)[~touched].mean() <= 1e-3
    assert len(np.unique(labels)) == len(np.unique(theirs))


@pytest.mark.parametrize("name", MODELS)
def test_in_float16_as_nnunet_itself(name: str) -> None:
    teacher, scans = opened(name)
    patch, heads = teacher.configuration.patch, len(teacher.heads)
    logits = in_half(prepared(name), teacher.networks(), heads, patch)
    answer = replace(answered(name), logits=logits)  # type: ignore[arg-type]
    found = teacher.probabilities(answer, scans)
    assert np.abs(found - expected(name, "probabilities", ".npz").transpose(0, 3, 2, 1)).max() <= 1e-3


def test_mirrored() -> None:
    """The one with transposed axes, so that the axes of mirroring must be moved too."""
    teacher, scans = opened("f_ct_pet", mirror=True)
    assert teacher.mirrored == (0, 1, 2)
    logits = expected("f_ct_pet", "logits", "_working.npz", mirror=True).astype(np.float32)
    kept = weights_of(logits.shape[1:], teacher.configuration.patch) > LEAST_WEIGHT
    answer = answered("f_ct_pet", mirror=True)
    assert np.abs(answer.logits - logits)[:, kept].max() <= 1e-2
    labels = expected("f_ct_pet", "labels", ".nii.gz", mirror=True)
    assert (teacher.labels(answer, scans) != labels).mean() <= 1e-3


def test_a_model_that_mirrors_nothing_mirrors_nothing_when_asked() -> None:
    teacher, _ = opened("c_plain_2d", mirror=True)
    assert teacher.mirrored == ()


def test_two_folds_are_the_mean_of_logits() -> None:
    about = described("a_plain_3d_2folds")
    both = answered("a_plain_3d_2folds").logits
    found = find_model(teachers() / about["folder"], None, ("1",), "checkpoint_final.pth")
    teacher = open_model(found, TeacherOptions(folds=("1",), mirror=False, device="cpu"))
    _, scans = opened("a_plain_3d_2folds")
    second = teacher.answer(scans, case="second").logits
    assert np.allclose(both, (answered("a_plain_3d_fold0").logits + second) / 2, atol=1e-5)


def _stored_otherwise(scan: Scan, order: Sequence[int], flipped: Sequence[bool]) -> Scan:
    """The same scan with its voxel axes stored in another order and direction."""
    turn = np.zeros((4, 4))  # new voxel index -> old one
    turn[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flipped, strict=True)):
        turn[old, new] = -1 if flip else 1
        turn[old, 3] = scan.array.shape[old] - 1 if flip else 0
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flipped)
    array = np.ascontiguousarray(scan.array.transpose(order)[steps])
    return Scan(array, Geometry(array.shape, scan.geometry.affine @ turn), scan.path)


@pytest.mark.parametrize(
    ("order", "flipped"), [((2, 0, 1), (False, False, False)), ((0, 2, 1), (True, False, True))]
)
def test_orientation(order: tuple[int, ...], flipped: tuple[bool, ...]) -> None:
    """How a scan is stored changes the answer, as nnU-Net's; turned to one orientation it does not."""
    teacher, scans = opened("f_ct_pet")
    otherwise = {name: _stored_otherwise(scan, order, flipped) for name, scan in scans.items()}
    plain = teacher.labels(answered("f_ct_pet"), scans)
    told = replace(teacher, orientation=scans["CT"].geometry.orientation)
    answer = told.answer(otherwise, case="otherwise")
    assert np.allclose(answer.logits, answered("f_ct_pet").logits, atol=1e-4)
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flipped)
    assert np.array_equal(told.labels(answer, otherwise), plain.transpose(order)[steps])
    inner = told.probabilities(answer, otherwise)
    assert np.allclose(
        inner,
        teacher.probabilities(answered("f_ct_pet"), scans).transpose(0, *(1 + a for a in order))[:, *steps],
        atol=1e-4,
    )
    for working, (axis, start, step) in enumerate(
        zip(answer.placement.order, answer.placement.start, answer.placement.step, strict=True)
    ):
        before = answered("f_ct_pet").placement
        old = order[axis]
        assert before.order[working] == old
        n = plain.shape[old]
        assert start == pytest.approx(
            n - 1 - before.start[working] if flipped[axis] else before.start[working]
        )
        assert step == pytest.approx(-before.step[working] if flipped[axis] else before.step[working])
    ignored = teacher.answer(otherwise, case="otherwise")
    assert ignored.logits.shape != answer.logits.shape or not np.allclose(
        ignored.logits, answer.logits, atol=1e-2
    )


@pytest.mark.parametrize("name", ["a_plain_3d_2folds", "e_regions", "c_plain_2d"])
def test_they_sign_the_contract(name: str) -> None:
    teacher, _ = opened(name)
    assert isinstance(teacher, Teacher)
    told: Mapping[str, Any] = teacher.summary()
    assert json.loads(json.dumps(told)) == told
    if name == "a_plain_3d_2folds":
        assert told["network"] == "PlainConvUNet, 351,329 parameters"
        assert told["trainer"] == "nnUNetTrainer"
        assert (told["folds"], told["patch"], told["spacing_mm"]) == (
            ["0", "1"],
            [32, 40, 32],
            [1.0, 1.0, 1.0],
        )
        assert told["classes"] == {"background": [0], "Anterior": [1], "Posterior": [2]}
        assert set(told["files"]) == {
            *(f"fold_{fold}/checkpoint_final.pth" for fold in (0, 1)),
            *("plans.json", "dataset.json"),
        }
    if name == "e_regions":
        assert told["regions"] == {"whole": [1, 2], "anterior": [1]}
        assert told["regions_class_order"] == [2, 1]
    if name == "c_plain_2d":
        assert told["patch"] == [40, 56, None]
    assert answered(name).logits.shape[0] == len(teacher.heads)
    assert teacher.digest != replace(teacher, step=0.7).digest


def test_a_lone_checkpoint_answers_as_its_folder_does(tmp_path: Path) -> None:
    about = described("a_plain_3d_fold0")
    lone = tmp_path / "checkpoint_final.pth"
    lone.symlink_to(teachers() / about["folder"] / "fold_0" / "checkpoint_final.pth")
    teacher = open_model(find_model(lone, None, None, "checkpoint_final.pth"), TeacherOptions(mirror=False))
    folder, _ = opened("a_plain_3d_fold0")
    assert teacher.configuration == folder.configuration
    assert teacher.network == folder.network
    assert teacher.described == folder.described
