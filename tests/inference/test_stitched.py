"""Outputs over a whole volume: identical to the network's where a pass sees all, on one grid where not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from distilseg.inference.stitched import output_strides, passes, stitched


def pooled(image: Tensor) -> dict[str, Tensor]:
    """A network without context: each output is the image's mean over its own voxels."""
    return {"logits": image, "coarse": F.avg_pool3d(image, (4, 4, 2))}


@pytest.mark.parametrize("shape", [(16, 16, 8), (20, 27, 13), (5, 16, 30)])
def test_a_network_without_context_answers_the_same_in_windows(shape: tuple[int, ...]) -> None:
    image = torch.randn(1, 2, *shape, generator=torch.Generator().manual_seed(0))
    maps = stitched(image, pooled, (16, 16, 8))
    (logits, one), (coarse, stride) = maps["logits"], maps["coarse"]
    assert (one, stride) == ((1, 1, 1), (4, 4, 2))
    assert logits.shape[1:] == tuple(n * s for n, s in zip(coarse.shape[1:], stride, strict=True))
    inner = logits[:, : shape[0], : shape[1], : shape[2]]
    torch.testing.assert_close(inner, image[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(coarse, F.avg_pool3d(logits[None], stride)[0], rtol=1e-4, atol=1e-5)


def test_in_2d() -> None:
    image = torch.randn(1, 1, 20, 14)
    maps = stitched(image, lambda x: {"logits": x, "half": F.avg_pool2d(x, 2)}, (8, 8))
    torch.testing.assert_close(maps["logits"][0][0, :20, :14], image[0, 0], rtol=1e-5, atol=1e-5)


def test_the_number_of_passes_is_known_before() -> None:
    seen: list[int] = []

    def counted(image: Tensor) -> dict[str, Tensor]:
        seen.append(1)
        return pooled(image)

    for shape in ((16, 16, 8), (20, 27, 13), (5, 33, 30)):
        seen.clear()
        stitched(torch.zeros(1, 1, *shape), counted, (16, 16, 8))
        assert len(seen) == passes(shape, (16, 16, 8), (4, 4, 2))


def test_outputs_that_do_not_divide_the_patch_are_refused() -> None:
    with pytest.raises(ValueError, match="odd has the shape"):
        output_strides({"odd": torch.zeros(1, 1, 3, 3)}, (8, 8))
