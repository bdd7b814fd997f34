"""Voxels without a label are left out of every loss against labels; cases without any cost nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from distilseg.distillation.dual_self_distillation import DualSelfDistillation
from distilseg.distillation.kd_net import KDNet
from distilseg.distillation.method import Method
from distilseg.distillation.supervised import Supervised
from distilseg.distillation.thickened import OverlapSupervised
from distilseg.functional.focal import focal_dice
from distilseg.functional.overlap import overlap_loss
from distilseg.functional.segmentation import cross_entropy, dice_cross_entropy, one_hot, soft_dice
from distilseg.functional.squared_dice import squared_dice_cross_entropy
from distilseg.types import UNKNOWN, Batch, Outputs

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "dice_cross_entropy": dice_cross_entropy,
    "focal_dice": focal_dice,
    "focal_dice of the foreground": lambda z, y: focal_dice(z, y, classes="foreground"),
    "overlap by sample": lambda z, y: overlap_loss(z, y, "sample"),
    "overlap by batch": lambda z, y: overlap_loss(z, y, "batch"),
    "squared_dice": squared_dice_cross_entropy,
    "kd_net": lambda z, y: KDNet({}, [0], weights={"soft_labels": 0, "latent": 0}).terms(
        {"student": Outputs(z)}, Batch(z[:, :1], y)
    )["seg"],
    "thickened cross-entropy": lambda z, y: OverlapSupervised(
        weights={"overlap": 0.0, "cross_entropy": 1.0}
    ).terms({"student": Outputs(z)}, Batch(z[:, :1], y))["cross_entropy"],
}
POOLED = ("overlap by batch", "squared_dice", "thickened cross-entropy")


def drawn(cases: int = 3, classes: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logits = torch.randn(cases, classes, 5, 4, 3, dtype=torch.float64, requires_grad=True)
    return logits, torch.randint(classes, (cases, 1, 5, 4, 3))


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> tuple[str, Callable[[Tensor, Tensor], Tensor]]:
    return request.param, LOSSES[request.param]


def test_a_case_without_a_label_changes_nothing(loss: tuple[str, Callable[[Tensor, Tensor], Tensor]]) -> None:
    _, of = loss
    logits, label = drawn()
    label[1] = UNKNOWN
    value = of(logits, label)
    torch.testing.assert_close(value, of(logits[[0, 2]], label[[0, 2]]), rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient[1].count_nonzero() == 0
    assert gradient[0].count_nonzero() > 0


def test_where_nothing_is_known_the_loss_is_0_and_so_is_its_gradient(
    loss: tuple[str, Callable[[Tensor, Tensor], Tensor]],
) -> None:
    _, of = loss
    logits, label = drawn()
    value = of(logits, torch.full_like(label, UNKNOWN))
    assert value.item() == 0
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.count_nonzero() == 0


def test_voxels_without_a_label_do_not_count(loss: tuple[str, Callable[[Tensor, Tensor], Tensor]]) -> None:
    """By hand: the loss of the voxels that are left, of each case or of all together."""
    name, of = loss
    logits, label = drawn()
    unknown = torch.rand(label.shape) < 0.4
    masked = label.masked_fill(unknown, UNKNOWN)
    left = [
        (logits[b : b + 1].flatten(2)[:, :, ~unknown[b].flatten()], label[b].flatten()[~unknown[b].flatten()])
        for b in range(len(logits))
    ]
    if name in POOLED:
        left = [(torch.cat([z for z, _ in left], 2), torch.cat([y for _, y in left]))]
    by_hand = torch.stack([of(z, y[None, None]) for z, y in left]).mean()
    value = of(logits, masked)
    torch.testing.assert_close(value, by_hand, rtol=1e-12, atol=0)
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient[unknown.expand_as(gradient)].count_nonzero() == 0
    # What the network says of unknown voxels is not looked at; what it says of known ones is.
    other = torch.where(unknown, torch.randn_like(logits), logits)
    torch.testing.assert_close(of(other, masked), value)
    assert of(other, label) != value


def test_dice_and_cross_entropy_by_their_definitions() -> None:
    logits, label = drawn(cases=1)
    label[0, 0, :, :, 0] = UNKNOWN
    p, y = logits[..., 1:].softmax(1), one_hot(label[..., 1:], 4, like=logits)
    expected = soft_dice(p, y) + cross_entropy(p.log(), y)
    torch.testing.assert_close(dice_cross_entropy(logits, label), expected)


def test_an_unknown_voxel_belongs_to_no_class() -> None:
    hot = one_hot(torch.tensor([[[0, UNKNOWN, 2]]]), 3, like=torch.zeros(()))
    assert hot[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]
    with pytest.raises(ValueError, match="3 classes allow 0 to 2"):
        one_hot(torch.tensor([[[0, 3, 2]]]), 3, like=torch.zeros(()))


@pytest.mark.parametrize("method", [Supervised(), OverlapSupervised()])
def test_a_batch_of_unlabelled_cases_can_still_be_stepped(method: Method) -> None:
    logits, label = drawn()
    losses = method({"student": Outputs(logits)}, Batch(logits[:, :1], torch.full_like(label, UNKNOWN)))
    losses.total.backward()
    assert losses.total.item() == 0


def test_deep_supervision_leaves_unlabelled_cases_out() -> None:
    fine, middle, coarse = (1, 2, 8, 8, 8), (1, 3, 4, 4, 4), (1, 4, 2, 2, 2)
    shapes = {
        "encoder.0": fine,
        "encoder.1": middle,
        "decoder.0": fine,
        "decoder.1": middle,
        "bottleneck": coarse,
    }
    torch.manual_seed(0)
    method = DualSelfDistillation(shapes, classes=3, patch=(8, 8, 8))
    features = {name: torch.randn(2, *shape[1:]) for name, shape in shapes.items()}
    label = torch.randint(3, (2, 1, 8, 8, 8))
    label[1] = UNKNOWN
    logits = torch.randn(2, 3, 8, 8, 8)

    def deep_supervision(cases: int) -> Tensor:
        outputs = Outputs(logits[:cases], {name: value[:cases] for name, value in features.items()})
        return method.terms({"student": outputs}, Batch(logits[:cases], label[:cases]))["deep_supervision"]

    torch.testing.assert_close(deep_supervision(2), deep_supervision(1))
