from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from distilseg.inference import label_export
from distilseg.inference.label_export import export_labels


def all_at_once(logits_KS: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Interpolate every class, then argmax: what the export must equal."""
    if len(shape) == 2:
        return all_at_once(logits_KS[:, None], (1, *shape))[0]
    return F.interpolate(logits_KS[None].float(), shape, mode="trilinear", align_corners=False)[0].argmax(0)


def organs(classes: int, shape: tuple[int, ...]) -> Tensor:
    """Logits as a trained network gives them: a background, and a noisy ball per class."""
    axes = torch.meshgrid(*(torch.linspace(0, 1, n) for n in shape), indexing="ij")
    noise = torch.randn(classes, *shape)
    balls = [torch.full(shape, 2.0)]
    for _ in range(classes - 1):
        distance = sum((axis - torch.rand(())) ** 2 for axis in axes).sqrt()
        balls.append(((0.2 - distance) * 40).clamp(-8, 8))
    return torch.stack(balls) + 0.5 * noise


@settings(max_examples=60, deadline=None)
@given(
    coarse=st.lists(st.integers(1, 24), min_size=2, max_size=3),
    factors=st.lists(st.floats(0.3, 3.5), min_size=3, max_size=3),
    classes=st.integers(1, 6),
    seed=st.integers(0, 1000),
    half=st.booleans(),
)
def test_labels_equal_the_all_at_once_method(
    coarse: list[int], factors: list[float], classes: int, seed: int, half: bool
) -> None:
    torch.manual_seed(seed)
    logits = torch.randn(classes, *coarse).to(torch.float16 if half else torch.float32)
    shape = tuple(max(1, round(n * f)) for n, f in zip(coarse, factors, strict=False))
    labels = export_labels(logits, shape)
    assert labels.dtype == torch.uint8
    assert torch.equal(labels.long(), all_at_once(logits, shape))


@pytest.mark.parametrize("shape", [(97, 130, 61), (60, 50, 121), (48, 49, 50)])
def test_pruned_blocks_change_no_label(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    logits = organs(40, (48, 50, 40))
    labels = export_labels(logits, shape)
    assert torch.equal(labels.long(), all_at_once(logits, shape))
    assert len(labels.unique()) > 10  # the comparison saw many classes


def test_interpolated_values_equal_torch_bit_for_bit() -> None:
    torch.manual_seed(0)
    coarse, shape = torch.randn(1, 30, 41, 22), (45, 96, 31)
    parts = [
        axis[0]
        for axis in (
            label_export._blocks(s, n, coarse.device) for s, n in zip((30, 41, 22), shape, strict=True)
        )
    ]
    block = label_export._interpolated(coarse[0, *(part.coarse for part in parts)], parts)
    whole = F.interpolate(coarse[None], shape, mode="trilinear", align_corners=False)[0, 0]
    assert torch.equal(block, whole[*(part.fine for part in parts)])


def test_ties_go_to_the_lowest_class() -> None:
    logits = torch.tensor([0.0, 1.0, 1.0]).view(3, 1, 1, 1).expand(3, 5, 6, 7)
    assert (export_labels(logits, (9, 6, 11)) == 1).all()
    steps = torch.zeros(3, 8, 8)
    steps[1, :, 4:] = steps[0, :, :4] = 1  # 0 and 1 meet midway, 2 ties with the loser everywhere
    assert torch.equal(export_labels(steps, (8, 24)).long(), all_at_once(steps, (8, 24)))


def test_infinite_logits_do_not_hide_a_winner() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 12, 12, 12)
    logits[2] = -torch.inf  # a class ruled out
    labels = export_labels(logits, (12, 12, 12))
    assert not (labels == 2).any()
    assert torch.equal(
        export_labels(logits[[0, 1, 3]], (20, 21, 22)).long(), all_at_once(logits[[0, 1, 3]], (20, 21, 22))
    )


def test_more_than_256_classes_need_two_bytes() -> None:
    torch.manual_seed(0)
    logits = torch.randn(300, 6, 7)
    labels = export_labels(logits, (9, 10))
    assert labels.dtype == torch.uint16
    assert torch.equal(labels.long(), all_at_once(logits, (9, 10)))
    assert labels.long().max() > 255


def test_memory_does_not_grow_with_the_classes() -> None:
    """The largest tensor made on the way is the label map itself."""

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        bytes = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor) and result.untyped_storage().data_ptr() != given:
                self.bytes = max(self.bytes, result.untyped_storage().nbytes())
            return result

    peaks = {}
    for classes in (2, 32):
        torch.manual_seed(0)
        logits = torch.randn(classes, 60, 60, 60)
        given = logits.untyped_storage().data_ptr()
        with Largest() as largest:
            export_labels(logits, (100, 100, 100))
        peaks[classes] = largest.bytes
    assert peaks[32] == peaks[2] == 100**3  # the labels themselves, one byte a voxel


def test_a_grid_of_other_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="expected logits"):
        export_labels(torch.zeros(2, 4, 4), (8, 8, 8))
