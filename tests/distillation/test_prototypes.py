"""Prototype distillation against an independent transcription in NumPy, and what must hold besides."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilseg.distillation.prototypes import Prototypes
from distilseg.errors import UserError
from distilseg.testing import check_method
from distilseg.types import Batch, Outputs

Array = NDArray[np.float64]
B, K, S = 3, 5, (6, 8)
FLOOR = 1e-6


def softmax(z: Array, axis: int) -> Array:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def d(x: list[float], y: list[float]) -> float:
    a, b = np.array(x), np.array(y)
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    return float(1 - covariance / np.sqrt(max(a.var(), FLOOR) * max(b.var(), FLOOR)))


def distances(
    z: Array,
    label: NDArray[np.int64],
    teacher: Array,
    valid: NDArray[np.bool_],
    *,
    activation: str,
    granularity: str,
    present_only: bool,
    include_background: bool,
) -> tuple[float, float]:
    """Equations 1 to 4, one image, class and channel at a time."""
    inter, intra = [], []
    for logits, y in zip(z, label, strict=True):
        x = softmax(logits, 0) if activation == "softmax_before_mean" else logits
        rows_s, rows_t = [], []
        for k in range(K):
            held = (y == k).any()
            if not valid[k] or (k == 0 and not include_background) or (present_only and not held):
                continue
            own = np.array([x[c][y == k].mean() if held else 0.0 for c in range(K)])
            theirs = teacher[k]
            if activation == "softmax_after_mean":
                own, theirs = softmax(own, 0), softmax(theirs, 0)
            rows_s.append(own)
            rows_t.append(theirs)
        if not rows_s:
            continue
        s, t = np.stack(rows_s), np.stack(rows_t)
        if granularity == "flat":
            inter.append(d(list(s.ravel()), list(t.ravel())))
            intra.append(inter[-1])
            continue
        inter.append(np.mean([d(a, b) for a, b in zip(s, t, strict=True)]))
        if len(s) >= 3:
            intra.append(np.mean([d(s[:, c], t[:, c]) for c in range(K)]))
    return float(np.mean(inter)), float(np.mean(intra)) if intra else 0.0


def seg(z: Array, label: NDArray[np.int64]) -> float:
    p, y = softmax(z, 1), np.stack([label == k for k in range(K)], 1).astype(float)
    entropy = -(np.log(p) * y).sum(1).mean()
    axes = (0, 2, 3)
    dice = 1 - (2 * (p * y).sum(axes) + 1e-5) / ((p * p).sum(axes) + (y * y).sum(axes) + 1e-5)
    return float(0.4 * entropy + 0.6 * dice.mean())


def made() -> tuple[Array, NDArray[np.int64], Array, NDArray[np.bool_]]:
    """The first image holds every class, the second two, the third one, of which there is one pixel."""
    random = np.random.default_rng(0)
    label = random.integers(0, K, (B, *S))
    label[1] = np.where(label[1] > 2, 3, 0)
    label[2] = 4
    label[2, 0, 0] = 1
    label[2][label[2] == 4] = 2
    valid = np.array([True, True, False, True, True])
    teacher = 3 * random.normal(size=(K, K)) + 2 * np.eye(K)
    teacher[2] = np.nan
    return 2 * random.normal(size=(B, K, *S)), label, teacher, valid


OPTIONS = [
    {"activation": activation, "granularity": granularity, "present_only": present, "include_background": bg}
    for activation, granularity, present, bg in itertools.product(
        ("none", "softmax_after_mean", "softmax_before_mean"),
        ("rows_and_columns", "flat"),
        (True, False),
        (True, False),
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_equations_in_numpy(options: dict[str, Any]) -> None:
    z, label, teacher, valid = made()
    method = Prototypes(torch.tensor(teacher), torch.tensor(valid), **options)
    outputs = {"student": Outputs(torch.tensor(z))}
    losses = method(outputs, Batch(torch.zeros(B, 1, *S), torch.tensor(label)[:, None]))
    inter, intra = distances(z, label, teacher, valid, **options)
    expected = {"seg": seg(z, label), "inter": inter, "intra": intra}
    assert {n: v.item() for n, v in losses.terms.items()} == pytest.approx(expected, rel=1e-9)
    assert losses.total.item() == pytest.approx(seg(z, label) + 0.5 * (inter + intra), rel=1e-9)


def values(classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.eye(classes), torch.ones(classes, dtype=torch.bool)


def test_the_constant_is_kept_and_not_learned() -> None:
    method = Prototypes(*values())
    assert not list(method.parameters())
    assert set(method.state_dict()) == {"values_KC", "valid_K"}


def test_shared_classes_and_channels_alone_are_compared() -> None:
    """The student's classes 0, 2 and 3 against three prototypes: class 1 and its logit change nothing."""
    method = Prototypes(*values(), classes=(0, 2, 3), channels=(0, 2, 3), weights={"seg": 0.0})
    label = torch.tensor([[[[0, 1], [2, 3]]]])
    logits = torch.zeros(1, 4, 2, 2).scatter_(1, label, 4.0).requires_grad_()
    losses = method({"student": Outputs(logits)}, Batch(logits, label))
    losses.total.backward()
    assert losses.total.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad is not None
    assert not logits.grad[:, 1].any()
    assert not logits.grad[0, :, 0, 1].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fill", ["constant", "one class", "one pixel", "no prototype"])
def test_finite_where_little_is_there(dtype: torch.dtype, fill: str) -> None:
    label = torch.zeros(2, 1, 4, 4, dtype=torch.long)
    if fill == "one pixel":
        label[:, :, 0, 0] = 1
    if fill == "no prototype":
        label += 2
    logits = torch.zeros(2, 3, 4, 4) if fill == "constant" else torch.randn(2, 3, 4, 4)
    logits = logits.to(dtype).requires_grad_()
    eye, _ = values()
    method = Prototypes(eye, torch.tensor([True, True, False]))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method({"student": Outputs(logits)}, Batch(logits, label))
    losses.total.backward()
    assert losses.total.dtype == torch.float32
    assert losses.total.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().max() < 100


def test_a_term_of_weight_0_is_not_computed() -> None:
    z, label, _, _ = made()
    batch = Batch(torch.zeros(B, 1, *S), torch.tensor(label)[:, None])
    outputs = {"student": Outputs(torch.tensor(z))}
    none = Prototypes(*values(K), weights={"inter": 0.0, "intra": 0.0})
    assert set(none.terms(outputs, batch)) == {"seg"}
    assert set(Prototypes(*values(K), weights={"seg": 0.0}).terms(outputs, batch)) == {"inter", "intra"}


def test_half_sized_logits_are_enlarged_or_the_label_reduced() -> None:
    label = torch.zeros(1, 1, 4, 4, dtype=torch.long)
    label[..., 2:] = 1
    logits = torch.tensor([[[[9.0, 0.0]] * 2, [[0.0, 9.0]] * 2]])
    for resize, expected in (("features", 0.0), ("label", 0.0)):
        method = Prototypes(*values(2), weights={"seg": 0.0}, resize=resize)  # type: ignore[arg-type]
        total = method({"student": Outputs(logits)}, Batch(label.float(), label)).total
        assert total.item() == pytest.approx(expected, abs=1e-6)


def test_another_feature_is_projected_by_what_the_method_learns() -> None:
    z, label, _, _ = made()
    teacher = torch.randn(K, 7)
    method = Prototypes(
        teacher,
        torch.ones(K, dtype=torch.bool),
        feature="decoder.0",
        student_channels=2,
        segmentation="dice_ce",
    )
    assert method.roles["student"].taps == ("decoder.0",)
    feature = torch.randn(B, 2, 3, 4, requires_grad=True)
    outputs = {"student": Outputs(torch.tensor(z), {"decoder.0": feature})}
    method(outputs, Batch(torch.zeros(B, 1, *S), torch.tensor(label)[:, None])).total.backward()
    assert [tuple(p.shape) for p in method.parameters()] == [(7, 2, 1, 1), (7,)]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    assert feature.grad is not None
    assert feature.grad.any()


def test_impossible_options_are_refused() -> None:
    eye, valid = values()
    with pytest.raises(UserError, match="unknown activation 'softmax'"):
        Prototypes(eye, valid, activation="softmax")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no class has a prototype"):
        Prototypes(eye, ~valid)
    with pytest.raises(UserError, match="the floor of the variance is 0"):
        Prototypes(eye, valid, floor=0.0)
    with pytest.raises(ValueError, match="3 classes and 3 channels, 3 of them flagged, for 2 classes"):
        Prototypes(eye, valid, classes=(0, 1))
    with pytest.raises(ValueError, match=r"the student's decoder\.0 has is not said"):
        Prototypes(eye, valid, feature="decoder.0")


@pytest.mark.parametrize("granularity", ["rows_and_columns", "flat"])
@pytest.mark.parametrize("activation", ["none", "softmax_after_mean", "softmax_before_mean"])
def test_keeps_the_contract_of_methods(activation: Any, granularity: Any) -> None:
    def make(classes: int, weights: Any = None) -> Prototypes:
        teacher = torch.randn(classes, classes, generator=torch.Generator().manual_seed(0))
        options = {"activation": activation, "granularity": granularity}
        return Prototypes(teacher, torch.ones(classes, dtype=torch.bool), weights=weights, **options)

    check_method(make, patch=(32, 32))
