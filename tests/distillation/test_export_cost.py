"""The heads live in the method: a self-distilled student is its control, parameter for parameter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from distilseg.distillation import DualSelfDistillation
from distilseg.networks import NetworkSpec, build
from distilseg.networks.checkpoint import load_network, save_weights
from distilseg.networks.count import parameters
from distilseg.networks.features import Tapped, feature_shapes
from distilseg.types import Batch

PATCH = (16, 16, 16)
SPEC = NetworkSpec("dynunet", 1, 3, PATCH, {"filters": [4, 6, 8, 10, 12]})


def test_the_exported_student_costs_what_its_control_costs(tmp_path: Path) -> None:
    control, student = build(SPEC), build(SPEC)
    method = DualSelfDistillation(feature_shapes(student, (2, 1, *PATCH)), 3, PATCH)
    batch = Batch(torch.randn(2, 1, *PATCH), torch.randint(0, 3, (2, 1, *PATCH)))
    optimizer = torch.optim.SGD([*student.parameters(), *method.parameters()], lr=0.1)
    with Tapped(student, method.roles["student"].taps) as tapped:
        method({"student": tapped(batch.image)}, batch).total.backward()
        optimizer.step()
    assert parameters(method) > 0
    save_weights(tmp_path / "student.safetensors", student, SPEC)
    exported, *_ = load_network(tmp_path / "student.safetensors")
    assert parameters(exported) == parameters(control)
    shapes = {name: value.shape for name, value in control.state_dict().items()}
    assert {name: value.shape for name, value in exported.state_dict().items()} == shapes
    student.eval()
    assert torch.equal(exported(batch.image), student(batch.image))


@pytest.mark.parametrize(
    ("classes", "with_heads"),
    [
        (3, 5_688_586),
        (8, 5_693_016),
    ],  # the paper: 5.689 M and 5.695 M (the latter is not reproducible)
)
def test_parameters_with_heads_on_nnunet(classes: int, with_heads: int) -> None:
    patch = (32, 32, 32)
    student = build(NetworkSpec("dynunet", 1, classes, patch))
    method = DualSelfDistillation(feature_shapes(student, (1, 1, *patch)), classes, patch, shared_heads=True)
    assert parameters(student) + parameters(method) == with_heads
