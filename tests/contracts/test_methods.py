"""Every method keeps one contract; and the contract notices methods that do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distilseg.distillation import Combined, DualSelfDistillation, KDNet, Method, Role, Supervised, Weight
from distilseg.errors import UserError
from distilseg.functional.divergence import kl_divergence, log_soft_labels
from distilseg.functional.segmentation import dice_cross_entropy
from distilseg.testing import check_method
from distilseg.types import Batch, Outputs


def dsd(**fixed: Any) -> Callable[..., Method]:
    def make(feature_shapes: Any, classes: int, patch: Any, weights: Any = None) -> Method:
        return DualSelfDistillation(feature_shapes, classes, patch, weights=weights, **fixed)

    return make


def combined(feature_shapes: Any, classes: int, patch: Any) -> Method:
    return Combined(plain=Supervised(), dsd=DualSelfDistillation(feature_shapes, classes, patch))


def kd_net(**fixed: Any) -> Callable[..., Method]:
    def make(feature_shapes: Any, weights: Any = None) -> Method:
        by_role = {"student": feature_shapes, "teacher": feature_shapes}
        return KDNet(by_role, (1,), weights=weights, **fixed)

    return make


METHODS: dict[str, Callable[..., Method]] = {
    "supervised": Supervised,
    "dual_self_distillation": DualSelfDistillation,
    "dsd mean": dsd(teacher="mean", shared_heads=True),
    "dsd reversed, detached": dsd(teacher="reversed", detach_teacher=True),
    "dsd detached": dsd(detach_teacher=True, head_upsample="single_deconv"),
    "dsd by blocks": dsd(head_upsample="nearest"),
    "dsd trilinear, foreground": dsd(head_upsample="trilinear", include_background=False, t2_factor=False),
    "kd_net": kd_net(),
    "kd_net, by channels, summed": kd_net(
        latent="channel_softmax", reduction="sum", include_background=False
    ),
    "kd_net, regions": kd_net(latent="l1_abs", regions=((1, 2), (2,), (1,))),
    "combined": combined,
}


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS.keys())
def test_contract(make: Callable[..., Method]) -> None:
    check_method(make)


def test_contract_in_2d() -> None:
    check_method(DualSelfDistillation, patch=(32, 32))


class Taught(Method):
    """A well-behaved method with a teacher, to show what breaks it."""

    paper_weights: Mapping[str, Weight] = {"seg": 1.0, "soft": 1.0}

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        super().__init__(weights)
        self.roles = {"student": Role(input=lambda batch: batch.image[:, :1]), "teacher": Role()}

    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        student, teacher = (log_soft_labels(outputs[name].logits, 4.0) for name in ("student", "teacher"))
        seg = dice_cross_entropy(outputs["student"].logits, batch.label)
        return {"seg": seg, "soft": kl_divergence([student], teacher)}


def test_a_teacher_and_a_student_that_sees_one_modality() -> None:
    check_method(Taught)


class NoStudent(Taught):
    def __init__(self) -> None:
        super().__init__()
        self.roles = {"teacher": Role()}


class AMap(Taught):
    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        return super().terms(outputs, batch) | {"soft": outputs["student"].logits.mean(1)}


class HidesNaN(Taught):
    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        return {name: term.nan_to_num() for name, term in super().terms(outputs, batch).items()}


class Climbs(Taught):
    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        terms = super().terms(outputs, batch)
        self.step = getattr(self, "step", 0) + 1
        return {name: term + self.step // 6 for name, term in terms.items()}


class Random(Taught):
    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        return {name: term * torch.rand(()) for name, term in super().terms(outputs, batch).items()}


class IdleParameter(Taught):
    def __init__(self) -> None:
        super().__init__()
        self.idle = torch.nn.Linear(2, 2)


class AnyWeight(Taught):
    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        super().__init__()


class ForgetsATerm(Taught):
    def terms(self, outputs: Mapping[str, Outputs], batch: Batch) -> dict[str, Tensor]:
        return {"seg": super().terms(outputs, batch)["seg"]}


@pytest.mark.parametrize(
    ("broken", "error", "words"),
    [
        (NoStudent, AssertionError, "has the role 'student'"),
        (AMap, (AssertionError, RuntimeError), "a term is a scalar"),
        (HidesNaN, AssertionError, "an image of NaN gives the loss"),
        (Climbs, AssertionError, "the loss did not fall"),
        (Random, AssertionError, "the same outputs give another loss"),
        (
            IdleParameter,
            AssertionError,
            r"no gradient reaches .* \['idle.weight', 'idle.bias'\]",
        ),
        (AnyWeight, AssertionError, "a weight for a term that does not exist is accepted"),
        (ForgetsATerm, ValueError, r"computed the terms \['seg'\] but weighs \['seg', 'soft'\]"),
    ],
)
def test_the_contract_notices(broken: type[Method], error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        check_method(broken)


FILE = """
from distilseg.distillation import Method, Role
from distilseg.functional.segmentation import dice_cross_entropy

class Mine(Method):
    paper_weights = {"seg": 1.0}

    def __init__(self, weights=None):
        super().__init__(weights)
        self.roles = {"student": Role()}

    def terms(self, outputs, batch):
        return {"seg": dice_cross_entropy(outputs["student"].logits, batch.label)}
"""


def test_a_method_in_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    check_method(path)
    check_method(f"{path}:Mine")
    with pytest.raises(UserError, match="did you mean 'Mine'"):
        check_method(f"{path}:Min")
    with pytest.raises(UserError, match="there is no file"):
        check_method(tmp_path / "other.py")
    path.write_text("")
    with pytest.raises(UserError, match="defines 0 methods"):
        check_method(path)
