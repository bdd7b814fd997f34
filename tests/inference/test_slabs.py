"""Slab by slab: what each slice is the mean of, what the network is shown, what is kept meanwhile."""

from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor

from distilseg.errors import UserError
from distilseg.functional.windows import covering, step_starts
from distilseg.inference.build import make_inferer
from distilseg.inference.label_export import export_labels
from distilseg.inference.slabs import Slabs


def test_windows_and_how_many_cover_a_slice() -> None:
    assert step_starts(7, 3, 1) == [0, 1, 2, 3, 4]
    assert covering(7, 3, 1).tolist() == [1, 2, 3, 3, 3, 2, 1]
    assert step_starts(8, 3, 2) == [0, 2, 4, 5]  # the last one ends with the volume
    assert covering(8, 3, 2).tolist() == [1, 1, 2, 1, 2, 2, 2, 1]
    assert step_starts(6, 3, 3) == [0, 3]
    assert step_starts(2, 3, 1) == step_starts(3, 3, 1) == [0]
    assert covering(2, 3, 1).tolist() == [1, 1]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_the_mean_of_its_windows(axis: int) -> None:
    """By hand: k = 3 over 5 slices; the network says how many windows came before."""
    said = iter(range(10))

    def network(slab: Tensor) -> Tensor:
        return torch.full_like(slab, next(said))

    shape = [4, 4]
    shape.insert(axis, 5)
    patch = [4, 4]
    patch.insert(axis, 3)
    whole = Slabs(tuple(patch), axis, average="logits", batch=1, divisor=4)(
        torch.zeros(1, 1, *shape), network
    )
    # Windows 0, 1, 2 at slices 0-2, 1-3, 2-4.
    expected = torch.tensor([0, 0.5, 1, 1.5, 2]).view([-1 if n == axis else 1 for n in range(3)])
    torch.testing.assert_close(whole[0, 0], expected.expand(shape))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_go_in_and_come_out_in_order(axis: int) -> None:
    """Each slice holds its own number; a slab is consecutive, its first slice that of the window."""
    image = torch.arange(9.0).view([-1 if n == axis else 1 for n in range(3)]).expand([9, 9, 9])[None, None]
    seen: list[list[float]] = []

    def network(slabs: Tensor) -> Tensor:
        assert slabs.shape[2 + axis] == 4
        for slab in slabs[:, 0].movedim(1 + axis, 1):
            assert torch.equal(slab, slab[:, :1, :1].expand_as(slab))
            seen.append(slab[:, 0, 0].tolist())
        return slabs

    whole = Slabs((4, 4, 4), axis, average="logits", divisor=3)(image, network)
    torch.testing.assert_close(whole, image)
    assert seen == [[float(start + n) for n in range(4)] for start in range(6)]


@pytest.mark.parametrize(("pad", "behind"), [("edge", 5.0), ("zeros", 0.0)])
def test_slices_are_seen_whole(pad: Any, behind: float) -> None:
    """Far larger than the patch: only padded to multiples of the divisor, behind, and cut back."""
    shapes: list[tuple[int, ...]] = []

    def network(slabs: Tensor) -> Tensor:
        shapes.append(tuple(slabs.shape))
        assert (slabs[:, :, :70, :33] == 5).all()
        assert (slabs[:, :, 70:] == behind).all()
        assert (slabs[:, :, :, 33:] == behind).all()
        return slabs

    image = torch.full((1, 2, 70, 33, 6), 5.0)
    whole = Slabs((16, 16, 3), average="logits", pad=pad)(image, network)
    assert shapes == [(4, 2, 96, 64, 3)]
    torch.testing.assert_close(whole, image)


@pytest.mark.parametrize(("pad", "behind"), [("edge", [1.0, 2.0, 2.0]), ("zeros", [1.0, 2.0, 0.0])])
def test_fewer_slices_than_a_window(pad: Any, behind: list[float]) -> None:
    image = torch.tensor([1.0, 2.0]).expand(1, 1, 4, 4, 2)

    def network(slab: Tensor) -> Tensor:
        assert slab[0, 0, 0, 0].tolist() == behind
        return slab * 10

    whole = Slabs((4, 4, 3), divisor=4, average="logits", pad=pad)(image, network)
    torch.testing.assert_close(whole, image * 10)


def alternating(slabs: Tensor) -> Tensor:
    """Two classes that the first slice of the window decides: sure of one, or half sure of the other."""
    first = slabs[:, :1, :, :, :1]
    one = torch.where(first == 0, 10.0, -1.0).expand(slabs.shape[0], 1, *slabs.shape[2:])
    return torch.cat([torch.zeros_like(one), one], 1)


def test_the_mean_is_of_probabilities() -> None:
    image = torch.arange(4.0).expand(1, 1, 2, 2, 4)
    sure, unsure = torch.sigmoid(torch.tensor([10.0, -1.0]))
    # Slice 0 is in the first window only, 1 and 2 in both or all three, 3 in the last only.
    p = torch.stack([sure, (sure + unsure) / 2, (unsure + unsure) / 2, unsure])
    slabs = Slabs((2, 2, 2), divisor=2)
    logits = slabs(image, alternating)[0, :, 0, 0]
    torch.testing.assert_close(logits.softmax(0)[1], p)
    torch.testing.assert_close(logits, torch.stack([1 - p, p]).log(), rtol=1e-4, atol=1e-4)
    assert export_labels(slabs(image, alternating)[0], (2, 2, 4))[0, 0].tolist() == [1, 1, 0, 0]

    of_logits = Slabs((2, 2, 2), divisor=2, average="logits")(image, alternating)[0, 1, 0, 0]
    torch.testing.assert_close(of_logits, torch.tensor([10.0, 4.5, -1.0, -1.0]))


def test_regions_are_averaged_one_by_one() -> None:
    image = torch.arange(4.0).expand(1, 1, 2, 2, 4)
    sure, unsure = torch.sigmoid(torch.tensor([10.0, -1.0]))
    logits = Slabs((2, 2, 2), divisor=2, activation="sigmoid")(image, alternating)[0, :, 0, 0]
    torch.testing.assert_close(logits[0].sigmoid(), torch.full((4,), 0.5))
    torch.testing.assert_close(logits[1].sigmoid(), torch.stack([sure, (sure + unsure) / 2, unsure, unsure]))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_certainty_stays_finite(activation: Any) -> None:
    def network(slabs: Tensor) -> Tensor:
        return torch.cat([slabs + 500, slabs - 500], 1)

    logits = Slabs((2, 2, 2), divisor=2, activation=activation)(torch.zeros(1, 1, 4, 4, 4), network)
    assert logits.isfinite().all()
    assert (logits[:, 0] > logits[:, 1]).all()


def test_answers_are_let_go() -> None:
    """Beside the sum, no more than the answers of one pass are held."""
    answers: list[weakref.ref[Tensor]] = []
    alive: list[int] = []

    def network(slabs: Tensor) -> Tensor:
        alive.append(sum(answer() is not None for answer in answers))
        answer = torch.zeros(len(slabs), 3, *slabs.shape[2:])
        answers.append(weakref.ref(answer))
        return answer

    Slabs((8, 8, 3), batch=2, divisor=8)(torch.zeros(1, 1, 8, 8, 20), network)
    assert len(answers) == 9
    assert max(alive) <= 1


def test_a_pass_holds_windows_of_several_cases() -> None:
    seen: list[int] = []

    def network(slabs: Tensor) -> Tensor:
        seen.append(len(slabs))
        return slabs

    image = torch.randn(2, 1, 8, 8, 5)
    whole = Slabs((8, 8, 3), batch=4, divisor=8, average="logits")(image, network)
    assert seen == [4, 2]
    torch.testing.assert_close(whole, image)


def test_from_its_description() -> None:
    described = {"kind": "slabs", "axis": 1, "patch": [8, 3, 8], "stride": 2}
    assert make_inferer(described) == Slabs((8, 3, 8), 1, 2)
    for wrong, message in (
        ({"patch": [8, 8]}, "give an axis from 0 to 2 and three sizes"),
        ({"axis": 3}, "give an axis from 0 to 2 and three sizes"),
        ({"stride": 4}, "give a stride from 1 to 3"),
        ({"stride": 0}, "give a stride from 1 to 3"),
        ({"average": "probability"}, "did you mean 'probabilities'"),
        ({"activation": "sigmoids"}, "did you mean 'sigmoid'"),
        ({"pad": "edges"}, "did you mean 'edge'"),
        ({"divisor": 0}, "divisor of 0"),
    ):
        with pytest.raises(UserError, match=message):
            make_inferer({**described, **wrong})


def test_a_network_that_shrinks_is_named() -> None:
    with pytest.raises(ValueError, match="the sizes in space must agree"):
        Slabs((4, 4, 3), divisor=4)(torch.zeros(1, 1, 4, 4, 4), lambda slab: slab[..., ::2])
    with pytest.raises(ValueError, match="an image"):
        Slabs((4, 4, 3))(torch.zeros(1, 1, 4, 4), lambda slab: slab)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slab_of_one_slice_is_shown_as_an_image(axis: int) -> None:
    seen: list[tuple[int, ...]] = []

    def network(planes: Tensor) -> Tensor:
        seen.append(tuple(planes.shape))
        return torch.cat([planes, -planes], 1)

    patch = tuple(1 if n == axis else 16 for n in range(3))
    image = torch.randn(1, 1, 5, 6, 7)
    logits = Slabs(patch, axis, divisor=8, average="logits")(image, network)
    torch.testing.assert_close(logits, torch.cat([image, -image], 1))
    assert {shape[1:] for shape in seen} == {(1, 8, 8)}
