"""Distillation from answers against NumPy: whole, ranked and region answers, groups, what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from distilseg.distillation.distil import Answers, Distil, grouped
from distilseg.errors import UserError
from distilseg.types import UNKNOWN, Batch, Outputs

GROUPS = ((0, 3), (1,), (2,))  # the teacher does not know class 3
EPS = 1e-5


def softmax(z: NDArray[np.float64], axis: int = 1) -> NDArray[np.float64]:
    e = np.exp(z - z.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def student(cases: int = 2) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(cases, 4, 3, 4, 5, dtype=torch.float64, requires_grad=True)


def of_groups(z: Tensor) -> NDArray[np.float64]:
    q = softmax(z.detach().numpy())
    return np.stack([q[:, list(group)].sum(1) for group in GROUPS], 1)


def teacher(cases: int = 2, groups: int = 3) -> NDArray[np.float64]:
    drawn = np.random.default_rng(1).normal(0, 2, (cases, groups, 3, 4, 5))
    return softmax(drawn)


def terms(method: Distil, z: Tensor, given: Tensor, label: Tensor | None = None) -> dict[str, Tensor]:
    label = torch.full((len(z), 1, *z.shape[2:]), UNKNOWN) if label is None else label
    return method.terms({"student": Outputs(z), "teacher": Outputs(given)}, Batch(z[:, :1], label))


def dice(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    p, q = p.reshape(*p.shape[:2], -1), q.reshape(*q.shape[:2], -1)
    return float((1 - (2 * (p * q).sum(2) + EPS) / (p.sum(2) + q.sum(2) + EPS)).mean())


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_whole_answers_are_compared_group_by_group(temperature: float) -> None:
    z, p = student(), teacher()
    q = of_groups(z)
    pt, qt = (one ** (1 / temperature) for one in (p, q))
    pt, qt = pt / pt.sum(1, keepdims=True), qt / qt.sum(1, keepdims=True)
    expected = temperature**2 * (pt * np.log(pt / qt)).sum(1).mean()
    method = Distil({"teacher": Answers(GROUPS, "whole")}, temperature=temperature)
    found = terms(method, z, torch.from_numpy(np.log(p)))
    np.testing.assert_allclose(found["soft_labels"].item(), expected, rtol=1e-9)
    np.testing.assert_allclose(found["overlap"].item(), dice(p, q), rtol=1e-9)
    assert found["seg"].item() == 0


def test_the_student_that_answers_as_the_teacher_has_nothing_to_learn() -> None:
    p = torch.from_numpy(teacher(groups=4)).log().requires_grad_()
    method = Distil({"teacher": Answers(tuple((k,) for k in range(4)), "whole")}, weights={"overlap": 0})
    found = terms(method, p, p.detach())["soft_labels"]
    found.backward()
    assert abs(found.item()) < 1e-12
    assert p.grad is not None
    assert p.grad.abs().max() < 1e-12


def test_a_class_that_the_teacher_does_not_know_may_hide_in_its_rest() -> None:
    """Only the sum of the rest is compared: how the student divides it is for the labels to say."""
    z = student()
    method = Distil({"teacher": Answers(GROUPS, "whole")})
    given = torch.from_numpy(np.log(teacher()))
    moved = z.detach().clone()
    rest = z.detach()[:, [0, 3]].logsumexp(1)
    moved[:, 0], moved[:, 3] = rest + np.log(0.2), rest + np.log(0.8)
    for name, value in terms(method, z, given).items():
        torch.testing.assert_close(terms(method, moved, given)[name], value)


def test_ranked_answers_are_whole_ones_where_nothing_is_left_out() -> None:
    z = student()
    p = torch.from_numpy(teacher(groups=3))
    best, numbers = p.topk(3, dim=1)
    ranked = torch.cat([numbers.double(), best.log()], 1)
    whole = terms(Distil({"teacher": Answers(GROUPS, "whole")}), z, p.log())
    found = terms(Distil({"teacher": Answers(GROUPS, "ranked")}), z, ranked)
    torch.testing.assert_close(found["overlap"], whole["overlap"])
    torch.testing.assert_close(found["soft_labels"], whole["soft_labels"], rtol=1e-3, atol=1e-4)


def test_of_ranked_answers_the_others_are_one_more_group() -> None:
    z, p = student(), teacher()
    q = of_groups(z)
    order = np.argsort(-p, 1)[:, :2]
    kept_p, kept_q = (np.take_along_axis(one, order, 1) for one in (p, q))
    pp, qq = (np.concatenate([one, 1 - one.sum(1, keepdims=True)], 1) for one in (kept_p, kept_q))
    ranked = torch.from_numpy(np.concatenate([order.astype(float), np.log(kept_p)], 1))
    method = Distil({"teacher": Answers(GROUPS, "ranked")})
    found = terms(method, z, ranked)
    np.testing.assert_allclose(found["soft_labels"].item(), (pp * np.log(pp / qq)).sum(1).mean(), rtol=1e-4)
    sparse = np.zeros_like(p)
    np.put_along_axis(sparse, order, kept_p, 1)
    np.testing.assert_allclose(found["overlap"].item(), dice(sparse, q), rtol=1e-9)


def test_regions_are_compared_one_by_one() -> None:
    z = student()
    logits = np.random.default_rng(2).normal(0, 2, (2, 2, 3, 4, 5))
    p, q = (1 / (1 + np.exp(-one)) for one in (logits, z.detach().numpy()[:, [2, 0]]))
    method = Distil({"teacher": Answers(((2,), (0,)), "regions")})
    found = terms(method, z, torch.from_numpy(logits))
    expected = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    np.testing.assert_allclose(found["soft_labels"].item(), expected, rtol=1e-9)
    np.testing.assert_allclose(found["overlap"].item(), dice(p, q), rtol=1e-9)


@pytest.mark.parametrize("kept", ["whole", "ranked"])
def test_hard_answers_are_labels_where_the_teacher_is_sure(kept: str) -> None:
    z, p = student(), teacher()
    order = np.argsort(-p, 1)
    if kept == "whole":
        given = torch.from_numpy(np.log(p))
    else:
        given = torch.from_numpy(
            np.concatenate([order.astype(float), np.log(np.take_along_axis(p, order, 1))], 1)
        )
    weights = {"soft_labels": 0, "overlap": 0, "hard_labels": 1}
    method = Distil({"teacher": Answers(GROUPS, kept)}, confidence=0.7, weights=weights)  # type: ignore[arg-type]
    found = terms(method, z, given)
    assert sorted(found) == ["hard_labels", "seg"]
    q, by_hand = of_groups(z), []
    for b in range(2):
        sure = p[b].max(0) >= 0.7
        y = np.eye(3)[p[b].argmax(0)[sure]].T
        by_hand.append(dice(y[None], q[b][None][:, :, sure]) - np.log((q[b][:, sure] * y).sum(0)).mean())
    np.testing.assert_allclose(found["hard_labels"].item(), np.mean(by_hand), rtol=1e-9)


def test_labels_count_where_there_are_some_and_every_teacher_is_heard() -> None:
    z, label = student(), torch.randint(4, (2, 1, 3, 4, 5))
    given = torch.from_numpy(np.log(teacher()))
    both = Distil({"a": Answers(GROUPS, "whole"), "b": Answers(GROUPS, "whole")})
    outputs = {"student": Outputs(z), "a": Outputs(given), "b": Outputs(given)}
    found = both.terms(outputs, Batch(z[:, :1], label))
    one = terms(Distil({"teacher": Answers(GROUPS, "whole")}), z, given, label)
    torch.testing.assert_close(found["soft_labels"], 2 * one["soft_labels"])
    torch.testing.assert_close(found["seg"], one["seg"])
    assert one["seg"] > 0


def test_answers_that_weigh_nothing_are_not_asked_for() -> None:
    weights = {"soft_labels": 0, "overlap": 0}
    assert set(Distil({"teacher": Answers(GROUPS, "whole")}, weights=weights).roles) == {"student"}


def test_gradients_are_those_of_differences() -> None:
    z = student(1)
    given = torch.from_numpy(np.log(teacher(1)))
    method = Distil({"teacher": Answers(GROUPS, "whole")}, temperature=2.0)

    def total(logits: Tensor) -> Tensor:
        found = terms(method, logits, given)
        return found["soft_labels"] + found["overlap"]

    assert torch.autograd.gradcheck(total, (z,))


def test_grouped_probabilities_are_sums() -> None:
    z = student()
    np.testing.assert_allclose(grouped(z, GROUPS).detach().exp(), of_groups(z), rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"temperature": 0}, "the temperature is 0"), ({"confidence": 1}, "confidence is 1")],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, float], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Distil({}, **options)
