"""Region logits to one label map: painted from the outermost in, on any grid, in any number of axes."""

from __future__ import annotations

import pytest
import torch

from distilseg.inference.region_export import export_regions, painted_classes

PAINTS = (2, 1, 3)  # whole tumour less core: 2; core less enhancing: 1; enhancing: 3


def test_painting_by_hand() -> None:
    # Voxels: outside; whole only; whole and core; all; core outside the whole tumour (painted nevertheless)
    logits_RS = torch.tensor([[-1.0, 1, 1, 1, -1], [-1, -1, 1, 1, 1], [-1, -1, -1, 1, -1]])
    assert painted_classes(logits_RS[None], PAINTS)[0].tolist() == [0, 2, 1, 3, 1]


@pytest.mark.parametrize("shape", [(8, 6, 10), (8, 6)])
def test_the_same_grid_needs_no_interpolation(shape: tuple[int, ...]) -> None:
    logits = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(export_regions(logits, shape, PAINTS), painted_classes(logits[None], PAINTS)[0])


@pytest.mark.parametrize(("shape", "mode"), [((13, 9, 11), "trilinear"), ((13, 9), "bilinear")])
def test_interpolated_first_and_decided_second(shape: tuple[int, ...], mode: str) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(3, *(size // 2 for size in shape), generator=generator)
    fine = torch.nn.functional.interpolate(logits[None], shape, mode=mode, align_corners=False)
    assert torch.equal(export_regions(logits, shape, PAINTS), painted_classes(fine, PAINTS)[0])


def test_logits_and_paints_must_agree() -> None:
    with pytest.raises(ValueError, match="3 region logits, 2 classes"):
        export_regions(torch.zeros(3, 2, 2, 2), (4, 4, 4), (1, 2))
