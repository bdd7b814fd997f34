from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from monai.inferers import sliding_window_inference
from torch import Tensor, nn

from distilseg.errors import UserError
from distilseg.functional.windows import axis_windows
from distilseg.inference.build import make_inferer
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.types import Outputs


def blur() -> nn.Conv3d:
    torch.manual_seed(0)
    return nn.Conv3d(1, 3, 5, padding=2)


@torch.no_grad()
def test_equals_monai_where_the_windows_are_the_same() -> None:
    network, image = blur(), torch.randn(2, 1, 16, 24, 8)
    ours = SlidingWindow((8, 8, 8), overlap=0.5, blend="constant")(image, network)
    monai = sliding_window_inference(image, (8, 8, 8), 4, network, overlap=0.5, mode="constant")
    torch.testing.assert_close(ours, monai, rtol=1e-4, atol=1e-5)


def test_gaussian_weights_by_hand() -> None:
    """Patch 8, sigma 1: voxel 5 lies 1.5 and 2.5 from the two centres."""
    first, second = axis_windows(12, 8, 4, "gaussian")
    a, b = math.exp(-(1.5**2) / 2), math.exp(-(2.5**2) / 2)
    assert (second.voxels.start, float(first.weight[5])) == (4, pytest.approx(a / (a + b)))
    assert float(second.weight[1]) == pytest.approx(b / (a + b))
    assert float(first.weight[0]) == 1


@torch.no_grad()
def test_a_volume_within_the_patch_is_one_pass() -> None:
    seen: list[tuple[int, ...]] = []

    def network(patch: Tensor) -> Tensor:
        seen.append(tuple(patch.shape))
        return patch * 2

    image = torch.randn(1, 1, 35, 50, 35)
    assert torch.equal(SlidingWindow((40, 56, 32))(image[..., :32], network), image[..., :32] * 2)
    assert seen == [(1, 1, 40, 56, 32)]


@torch.no_grad()
def test_small_volumes_are_padded_with_their_edges() -> None:
    seen: list[Tensor] = []
    image = torch.arange(3.0).view(1, 1, 3, 1).expand(1, 1, 3, 4)
    SlidingWindow((6, 4))(image, lambda patch: seen.append(patch) or patch)
    assert seen[0][0, 0, :, 0].tolist() == [0, 0, 1, 2, 2, 2]


def test_passes_hold_at_most_a_batch_of_patches() -> None:
    sizes: list[int] = []
    SlidingWindow((4, 4), overlap=0, batch=3)(
        torch.zeros(1, 1, 16, 8), lambda patch: sizes.append(len(patch)) or patch
    )
    assert sizes == [3, 3, 2]


@torch.no_grad()
def test_mirroring_is_the_mean_over_the_flips() -> None:
    network, image = blur(), torch.randn(1, 1, 8, 8, 8)
    flips: list[list[int]] = [[], [2], [4], [2, 4]]
    mean = torch.stack([network(image.flip(flip)).flip(flip) for flip in flips]).mean(0)
    torch.testing.assert_close(SlidingWindow((8, 8, 8), mirror=(0, 2))(image, network), mean)
    assert len(SlidingWindow((8, 8, 8), mirror=True).mirrored_axes) == 3
    symmetric = SlidingWindow((8, 8, 8), mirror=True)
    flipped = symmetric(image.flip([2, 3, 4]), network).flip([2, 3, 4])
    torch.testing.assert_close(flipped, symmetric(image, network))


def test_networks_may_answer_with_outputs() -> None:
    image = torch.randn(1, 1, 9, 7)
    logits = SlidingWindow((4, 4))(image, lambda patch: Outputs(patch))
    torch.testing.assert_close(logits, image)
    with pytest.raises(TypeError, match=r"\.logits"):
        SlidingWindow((4, 4))(image, lambda patch: [patch])


def test_weights_and_answers_add_up_in_single_precision() -> None:
    logits = SlidingWindow((8, 8), overlap=0.9)(
        torch.ones(1, 1, 40, 40, dtype=torch.float16), lambda patch: patch * 1000
    )
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, torch.full((1, 1, 40, 40), 1000.0))


@pytest.mark.parametrize(
    ("size", "patch", "overlap"), [(40, 8, 0.25), (41, 8, 0.5), (8, 8, 0.9), (9, 8, 0), (99, 7, 0.9)]
)
def test_windows_cover_the_axis_overlap_enough_and_sum_to_one(size: int, patch: int, overlap: float) -> None:
    (step,) = SlidingWindow((patch,), overlap).strides
    windows = axis_windows(size, patch, step, "gaussian")
    starts = [window.voxels.start for window in windows]
    assert (starts[0], windows[-1].voxels.stop) == (0, size)
    steps = [b - a for a, b in itertools.pairwise(starts)]
    assert all(patch - step >= int(patch * overlap) for step in steps)
    total = torch.zeros(size)
    for window in windows:
        total[window.voxels] += torch.from_numpy(window.weight)
    torch.testing.assert_close(total, torch.ones(size))


@torch.no_grad()
def test_a_stride_in_voxels_takes_the_place_of_the_overlap() -> None:
    network, image = blur(), torch.randn(1, 1, 16, 24, 10)
    by_overlap = SlidingWindow((8, 8, 4), overlap=0.75, blend="constant")
    by_stride = SlidingWindow((8, 8, 4), blend="constant", stride=(2, 2, 1))
    assert by_overlap.strides == by_stride.strides
    assert torch.equal(by_overlap(image, network), by_stride(image, network))
    seen: list[float] = []
    SlidingWindow((3,), stride=(1,), batch=1)(
        torch.arange(6.0).view(1, 1, 6), lambda patch: seen.append(float(patch[0, 0, 0])) or patch
    )
    assert seen == [0, 1, 2, 3]


@torch.no_grad()
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_averaged_by_hand(activation: str) -> None:
    """Windows 0..2 and 1..3; the middle is in both, the ends are in one."""
    first, second = torch.tensor([[[4.0, 0, 1], [0, 0, 0]], [[2.0, 9, -1], [0, 5, 0]]])
    window = SlidingWindow((3,), blend="constant", stride=(1,), batch=1, average="probabilities")
    window = replace(window, activation=activation)  # type: ignore[arg-type]
    both = iter([first[None], second[None]])
    logits = window(torch.zeros(1, 1, 4), lambda _: next(both))
    to_p = (lambda z: z.softmax(0)) if activation == "softmax" else torch.sigmoid
    p, q = to_p(first), to_p(second)
    mean = torch.stack([p[:, 0], (p[:, 1] + q[:, 0]) / 2, (p[:, 2] + q[:, 1]) / 2, q[:, 2]], 1)
    torch.testing.assert_close(to_p(logits[0]), mean)


def test_a_network_of_other_output_size_is_named() -> None:
    with pytest.raises(ValueError, match="sizes in space must agree"):
        SlidingWindow((8, 8))(torch.zeros(1, 1, 8, 8), lambda patch: patch[..., ::2, ::2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": 1.0}, r"overlap by 1\.0; give a share in \[0, 1\)"),
        ({"blend": "gausian"}, "did you mean 'gaussian'"),
        ({"patch": (0, 8)}, "patch"),
        ({"batch": 0}, "batch of 1 or more"),
        ({"mirror": (2,)}, "no axis 2 to mirror"),
        ({"stride": (9, 1)}, r"\[8, 8\] voxels cannot stand \[9, 1\] apart; give a stride for each axis"),
        ({"stride": (1,)}, "give a stride for each axis"),
        ({"average": "probability"}, "did you mean 'probabilities'"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        SlidingWindow(**{"patch": (8, 8), **options})  # type: ignore[arg-type]


def test_made_from_its_description() -> None:
    described = {
        "kind": "sliding_window",
        "patch": [8, 8, 8],
        "overlap": 0.5,
        "blend": "constant",
        "mirror": [0],
    }
    assert make_inferer(described) == SlidingWindow((8, 8, 8), 0.5, "constant", mirror=(0,))
    with pytest.raises(UserError, match="did you mean 'sliding_window'"):
        make_inferer({"kind": "sliding_windows"})
    with pytest.raises(UserError, match="did you mean 'overlap'"):
        make_inferer({"kind": "sliding_window", "patch": [8], "overlaps": 1})
    with pytest.raises(UserError, match="lacks patch"):
        make_inferer({"kind": "sliding_window"})
