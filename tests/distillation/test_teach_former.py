"""Teach-Former's terms against an independent transcription in NumPy, and what must hold besides."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilseg.distillation.teach_former import TeachFormer
from distilseg.errors import UserError
from distilseg.functional.attention import attention_distance, with_channels
from distilseg.functional.focal import focal_dice, focal_loss
from distilseg.types import Batch, Outputs

Array = NDArray[np.float64]
B, K, S = 2, 3, (4, 4, 4)
TEACHERS = ("big", "bigger")
CHANNELS = {"student": (4, 2), "big": (6, 2), "bigger": (3, 5)}
SHAPES = {
    role: {"bottleneck": (1, coarse, 2, 2, 2), "decoder.0": (1, fine, *S)}
    for role, (coarse, fine) in CHANNELS.items()
}


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def resized(f: Array, n: int) -> Array:
    """Linear interpolation along channels, half-sample centres, ends held."""
    c = f.shape[1]
    if c == n:
        return f
    x = ((np.arange(n) + 0.5) * c / n - 0.5).clip(0, c - 1)
    low = np.floor(x).astype(int)
    high = np.minimum(low + 1, c - 1)
    share = (x - low).reshape(1, -1, 1, 1, 1)
    return f[:, low] * (1 - share) + f[:, high] * share


def afs(s: Array, t: Array, matching: str) -> float:
    if matching == "student_to_teacher":
        s = resized(s, t.shape[1])
    elif matching == "teacher_to_student":
        t = resized(t, s.shape[1])
    else:
        s, t = (np.mean(f**2, axis=1, keepdims=True) for f in (s, t))
    distances = []
    for a, b in zip(s, t, strict=True):
        distances.append(np.linalg.norm((a / np.abs(a).sum() - b / np.abs(b).sum()).ravel()))
    return float(np.mean(distances))


def seg(z: Array, label: NDArray[np.int64], norm: str, dice: str = "case", focal: str = "all") -> float:
    p, y = softmax(z), np.stack([label == k for k in range(K)], 1).astype(float)
    elements = (-((1 - p) ** 2) * np.log(p) * y)[:, 1 if focal == "foreground" else 0 :]
    focal_loss = elements.mean() if norm == "element" else elements.sum(1).mean()
    axes = (2, 3, 4) if dice == "case" else (0, 2, 3, 4)
    ratio = (2 * (p * y).sum(axes) + 1e-5) / (p.sum(axes) + y.sum(axes) + 1e-5)
    return float(focal_loss + (1 - ratio[..., 1:]).mean())


def kl(a: Array, b: Array) -> float:
    p, q = softmax(a), softmax(b)
    return float((p * np.log(p / q)).sum(1).mean())


def made(seed: int = 0) -> tuple[dict[str, dict[str, Array]], NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    maps = {
        role: {
            "logits": 2 * random.normal(size=(B, K, *S)),
            "bottleneck": random.normal(size=(B, coarse, 2, 2, 2)),
            "decoder.0": random.normal(size=(B, fine, *S)),
        }
        for role, (coarse, fine) in CHANNELS.items()
    }
    return maps, random.integers(0, K, (B, *S))


def outputs_of(maps: dict[str, dict[str, Array]]) -> dict[str, Outputs]:
    tensors = {r: {n: torch.tensor(v) for n, v in m.items()} for r, m in maps.items()}
    return {
        r: Outputs(m["logits"], {n: v for n, v in m.items() if n != "logits"}) for r, m in tensors.items()
    }


OPTIONS = [
    {"matching": matching, "order": order, "focal_norm": norm}
    for matching, order, norm in itertools.product(
        ("student_to_teacher", "teacher_to_student", "channel_collapse"),
        ("paper", "hinton"),
        ("element", "voxel"),
    )
]


OPTIONS += [
    {"focal_norm": norm, "dice": dice, "focal": focal}
    for norm, dice, focal in itertools.product(
        ("element", "voxel"), ("case", "global"), ("all", "foreground")
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_equations_in_numpy(options: dict[str, Any]) -> None:
    maps, label = made()
    batch = Batch(torch.zeros(B, 1, *S), torch.tensor(label)[:, None])
    terms = TeachFormer(SHAPES, TEACHERS, **options).terms(outputs_of(maps), batch)
    student, counted = maps["student"], {k: options[k] for k in ("dice", "focal") if k in options}
    matching, order = options.get("matching", "student_to_teacher"), options.get("order", "paper")
    pairs = [(student["logits"], maps[t]["logits"]) for t in TEACHERS]
    expected = {
        "seg": seg(student["logits"], label, options["focal_norm"], **counted),
        "attention": sum(
            afs(student[tap], maps[t][tap], matching) for t in TEACHERS for tap in ("bottleneck", "decoder.0")
        ),
        "soft_labels": sum(kl(s, t) if order == "paper" else kl(t, s) for s, t in pairs),
        "deep_supervision": 0.0,
    }
    assert {n: v.item() for n, v in terms.items()} == pytest.approx(expected, rel=1e-9)


def test_side_outputs_are_supervised_by_halves() -> None:
    maps, label = made()
    shapes = {**SHAPES, "student": {**SHAPES["student"], "side.1": (1, K, 2, 2, 2)}}
    side = np.random.default_rng(5).normal(size=(B, K, 2, 2, 2))
    outputs = outputs_of(maps)
    outputs["student"] = Outputs(
        outputs["student"].logits, {**outputs["student"].features, "side.1": torch.tensor(side)}
    )
    batch = Batch(torch.zeros(B, 1, *S), torch.tensor(label)[:, None])
    method = TeachFormer(shapes, TEACHERS)
    assert "side.1" in method.roles["student"].taps
    term = method.terms(outputs, batch)["deep_supervision"]
    assert term.item() == pytest.approx(0.5 * seg(side, label[:, ::2, ::2, ::2], "element"), rel=1e-9)


def test_with_one_structure_they_are_the_losses_of_one_map() -> None:
    """Of p = its probability and y = its mask, over all voxels of the batch, as the text has one map."""
    maps, label = made()
    z, y = maps["student"]["logits"][:, :2], (label > 0).astype(float)
    p = softmax(z)[:, 1]
    dice = 1 - (2 * (p * y).sum() + 1e-5) / (p.sum() + y.sum() + 1e-5)
    focal = -(y * (1 - p) ** 2 * np.log(p)).mean()
    tensors = torch.tensor(z), torch.tensor(label > 0)[:, None].long()
    for norm in ("element", "voxel"):
        found = focal_dice(*tensors, norm=norm, classes="foreground", dice="global")  # type: ignore[arg-type]
        assert found.item() == pytest.approx(dice + focal, rel=1e-9)


def test_background_alone_has_no_focal_loss_of_the_foreground() -> None:
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    loss = focal_loss(logits, torch.zeros(2, 1, 4, 4, dtype=torch.long), classes="foreground")
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.item() == 0
    assert not gradient.any()


def test_equal_channels_are_left_as_they_are() -> None:
    feature = torch.randn(2, 5, 3, 3)
    assert torch.equal(with_channels(feature, 5), feature)
    assert with_channels(feature, 9).shape == (2, 9, 3, 3)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_finite_with_usable_gradients_on_ten_million_elements(scale: float) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(1, 8, 108, 108, 108, generator=generator)
    student = (torch.randn(1, 8, 108, 108, 108, generator=generator) * scale).requires_grad_()
    distance = attention_distance(student, teacher)
    (gradient,) = torch.autograd.grad(distance, student)
    assert distance.isfinite()
    assert gradient.isfinite().all()
    if scale:
        assert 1e-5 < distance.item() < 1e-2
        assert (gradient != 0).float().mean() > 0.99


def test_equal_maps_have_no_distance_and_no_nan() -> None:
    feature = torch.randn(2, 4, 3, 3, 3, requires_grad=True)
    distance = attention_distance(feature, feature.detach())
    (gradient,) = torch.autograd.grad(distance, feature)
    assert distance.item() < 1e-10
    assert gradient.isfinite().all()


def test_learned_projections_belong_to_the_method() -> None:
    maps, label = made()
    method = TeachFormer(SHAPES, TEACHERS, matching="conv1x1").double()
    weights = [p.shape[:2] for p in method.parameters() if p.ndim > 1]
    assert sorted(map(tuple, weights)) == [(2, 2), (3, 4), (5, 2), (6, 4)]
    batch = Batch(torch.zeros(B, 1, *S), torch.tensor(label)[:, None])
    method(outputs_of(maps), batch).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


@pytest.mark.parametrize(
    ("weights", "roles", "taps"),
    [
        ({}, 3, ("bottleneck", "decoder.0")),
        ({"attention": 0.0}, 3, ()),
        ({"soft_labels": 0.0}, 3, ("bottleneck", "decoder.0")),
        ({"attention": 0.0, "soft_labels": 0.0}, 1, ()),
    ],
)
def test_what_an_ablation_does_not_need_is_not_run(
    weights: dict[str, float], roles: int, taps: tuple[str, ...]
) -> None:
    method = TeachFormer(SHAPES, TEACHERS, weights=weights)
    assert len(method.roles) == roles
    assert all(role.taps == taps for role in method.roles.values())


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="there is no teacher"):
        TeachFormer(SHAPES, ())
    with pytest.raises(UserError, match="unknown way to match channels 'conv'"):
        TeachFormer(SHAPES, TEACHERS, matching="conv")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown range of the Dice 'batch'"):
        TeachFormer(SHAPES, TEACHERS, dice="batch")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="unknown classes of the focal loss 'background'"):
        TeachFormer(SHAPES, TEACHERS, focal="background")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"network of big offers no bottleneck \(it offers no feature\)"):
        TeachFormer({**SHAPES, "big": {}}, TEACHERS)
