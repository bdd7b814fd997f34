"""KD-Net's terms: every option against an independent transcription in NumPy, and what must hold besides."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from distilseg.distillation import KDNet
from distilseg.errors import UserError
from distilseg.types import Batch, Outputs

Array = NDArray[np.float64]
B, K, S = 2, 4, (4, 3, 5)
REGIONS = ((1, 2, 3), (1, 3), (3,))  # whole tumour, core, enhancing
SHAPES = {role: {"bottleneck": (1, 6, 2, 1, 2)} for role in ("student", "teacher")}


# The equations again, from the paper, without torch.


def sigma(z: Array, regions: bool) -> Array:
    if regions:
        return 1 / (1 + np.exp(-z))
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def dice_of(a: Array, b: Array) -> Array:
    """Per case: mean over classes of (2 Σ ab + eps) / (Σ a + Σ b + eps)."""
    axes, eps = (2, 3, 4), 1e-5
    return ((2 * (a * b).sum(axes) + eps) / (a.sum(axes) + b.sum(axes) + eps)).mean(1)


def bce_of(y: Array, p: Array) -> Array:
    p = p.clip(1e-7, 1 - 1e-7)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean((1, 2, 3, 4))


def one_hot(k: NDArray[np.int64], n: int) -> Array:
    return np.stack([k == i for i in range(n)], 1).astype(float)


def reference_terms(
    z_s: Array, z_t: Array, f_s: Array, f_t: Array, label: NDArray[np.int64], options: dict[str, Any]
) -> dict[str, float]:
    regions = options.get("regions")
    if regions:
        y = np.stack([np.isin(label, r) for r in regions], 1).astype(float)
        hard = (sigma(z_t, True) > 0.5).astype(float)
    else:
        y, hard = one_hot(label, K), one_hot(z_t.argmax(1), K)
    p, s = sigma(z_s, bool(regions)), sigma(z_t / options.get("temperature", 5.0), bool(regions))
    first = 0 if options.get("include_background", True) or regions else 1
    p, s, y, hard = (a[:, first:] for a in (p, s, y, hard))

    how = options.get("latent", "softmax")
    if how == "channel_softmax":
        u, q = (sigma(f, False) for f in (f_s, f_t))
    else:
        flat = [f.reshape(B, -1) for f in (f_s, f_t)]
        u, q = (np.exp(f) / np.exp(f).sum(1, keepdims=True) for f in flat)
        if how == "l1_abs":
            u, q = (np.abs(f) / np.abs(f).sum(1, keepdims=True) for f in flat)
    kl = (q * np.log(q / u)).reshape(B, -1).sum(1)
    of_case = {
        "seg": 1 - dice_of(y, p) + bce_of(y, p),
        "soft_labels": 1 - dice_of(s, p) + bce_of(hard, p),
        "latent": kl,
    }
    over = np.sum if options.get("reduction") == "sum" else np.mean
    return {name: float(over(values)) for name, values in of_case.items()}


def inputs(seed: int, channels: int = K) -> tuple[Array, Array, Array, Array, NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    maps = [2 * random.normal(size=(B, channels, *S)) for _ in range(2)]
    features = [random.normal(size=(B, 6, 2, 1, 2)) for _ in range(2)]
    return (*maps, *features, random.integers(0, K, (B, *S)))


def outputs_of(z_s: Array, z_t: Array, f_s: Array, f_t: Array) -> dict[str, Outputs]:
    pairs = {"student": (z_s, f_s), "teacher": (z_t, f_t)}
    return {role: Outputs(torch.tensor(z), {"bottleneck": torch.tensor(f)}) for role, (z, f) in pairs.items()}


OPTIONS: list[dict[str, Any]] = [
    {"latent": latent, "reduction": reduction, **kind}
    for latent, reduction, kind in itertools.product(
        ("softmax", "channel_softmax", "l1_abs"),
        ("mean", "sum"),
        ({}, {"include_background": False}, {"regions": REGIONS}, {"temperature": 1.0}),
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_the_equations_in_numpy(options: dict[str, Any]) -> None:
    z_s, z_t, f_s, f_t, label = inputs(0, channels=3 if "regions" in options else K)
    batch = Batch(torch.zeros(B, 2, *S), torch.tensor(label)[:, None])
    terms = KDNet(SHAPES, (0,), **options).terms(outputs_of(z_s, z_t, f_s, f_t), batch)
    expected = reference_terms(z_s, z_t, f_s, f_t, label, options)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected, rel=1e-10)


def test_the_total_has_the_papers_weights() -> None:
    z_s, z_t, f_s, f_t, label = inputs(1)
    batch = Batch(torch.zeros(B, 2, *S), torch.tensor(label)[:, None])
    losses = KDNet(SHAPES, (0,))(outputs_of(z_s, z_t, f_s, f_t), batch)
    t = {name: term.item() for name, term in losses.terms.items()}
    by_hand = 0.25 * t["seg"] + 0.75 * t["soft_labels"] + 10 * t["latent"]
    assert losses.total.item() == pytest.approx(by_hand, rel=1e-12)


def test_a_student_that_equals_its_teacher_has_no_latent_term_left() -> None:
    z_s, _, f_s, _, label = inputs(2)
    batch = Batch(torch.zeros(B, 2, *S), torch.tensor(label)[:, None])
    for how in ("softmax", "channel_softmax", "l1_abs"):
        method = KDNet(SHAPES, (0,), latent=how)
        terms = method.terms(outputs_of(z_s, z_s, f_s, f_s), batch)
        assert terms["latent"].item() == pytest.approx(0, abs=1e-12)


def test_the_divergence_is_finite_with_dead_features_and_large_ones() -> None:
    z_s, z_t, f_s, f_t, label = inputs(3)
    batch = Batch(torch.zeros(B, 2, *S), torch.tensor(label)[:, None])
    for how, scale in itertools.product(("softmax", "channel_softmax", "l1_abs"), (0.0, 1e3)):
        outputs = outputs_of(z_s, z_t, f_s * scale, f_t)
        feature = outputs["student"].features["bottleneck"].float().requires_grad_()
        outputs["student"] = Outputs(outputs["student"].logits, {"bottleneck": feature})
        term = KDNet(SHAPES, (0,), latent=how).terms(outputs, batch)["latent"]
        (gradient,) = torch.autograd.grad(term, feature)
        assert term.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("weights", "roles", "taps"),
    [
        ({}, {"student", "teacher"}, ("bottleneck",)),
        ({"latent": 0.0}, {"student", "teacher"}, ()),
        ({"soft_labels": 0.0}, {"student", "teacher"}, ("bottleneck",)),
        ({"soft_labels": 0.0, "latent": 0.0}, {"student"}, ()),
    ],
)
def test_what_an_ablation_does_not_need_is_not_run(
    weights: dict[str, float], roles: set[str], taps: tuple[str, ...]
) -> None:
    method = KDNet(SHAPES, (1,), weights=weights)
    assert set(method.roles) == roles
    assert all(role.taps == taps for role in method.roles.values())


def test_the_student_is_shown_its_modalities_alone() -> None:
    image = torch.randn(1, 3, 2, 2, 2)
    batch = Batch(image, image[:, :1])
    roles = KDNet(SHAPES, (2, 0)).roles
    assert torch.equal(roles["student"].input(batch), image[:, [2, 0]])
    assert roles["teacher"].input(batch) is image


def test_bottlenecks_of_other_shapes_are_projected_by_what_is_not_shipped() -> None:
    shapes = {"student": {"bottleneck": (1, 3, 2, 2, 2)}, "teacher": {"bottleneck": (1, 6, 2, 1, 2)}}
    method = KDNet(shapes, (0,))
    assert sum(p.numel() for p in method.parameters()) == 3 * 6 + 6
    z_s, z_t, _, f_t, label = inputs(4)
    outputs = outputs_of(z_s, z_t, np.ones((B, 3, 2, 2, 2)), f_t)
    outputs = {
        r: Outputs(o.logits, {n: f.float() for n, f in o.features.items()}) for r, o in outputs.items()
    }
    batch = Batch(torch.zeros(B, 2, *S), torch.tensor(label)[:, None])
    method(outputs, batch).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="unknown normalisation of the latent vector 'softmx'"):
        KDNet(SHAPES, (0,), latent="softmx")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="the temperature is 0"):
        KDNet(SHAPES, (0,), temperature=0)
    with pytest.raises(UserError, match="the student sees no modality"):
        KDNet(SHAPES, ())
    with pytest.raises(UserError, match=r"teacher's network offers no bottleneck .it offers no feature"):
        KDNet({"student": SHAPES["student"], "teacher": {}}, (0,))
