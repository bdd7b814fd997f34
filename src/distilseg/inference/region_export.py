"""From the logits of overlapping regions to one label map.

Networks that answer regions (whole tumour, tumour core, enhancing tumour) have a logit for each; a voxel
lies in a region where it is above 0, that is where its sigmoid is above 1/2. Regions are painted from the
outermost to the innermost, each with the class that it holds and no later one does. Memory does not grow
with their number: one region at a time is brought to the grid of the scan.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def painted_classes(logits_BRS: Tensor, paints: Sequence[int]) -> Tensor:
    """Class indices [B *S] of region logits [B R *S] on their own grid; region r is painted `paints[r]`."""
    classes_BS = torch.zeros_like(logits_BRS[:, 0], dtype=torch.uint8)
    for r, k in enumerate(paints):
        classes_BS.masked_fill_(logits_BRS[:, r] > 0, k)
    return classes_BS


def export_regions(logits_RS: Tensor, shape: Sequence[int], paints: Sequence[int]) -> Tensor:
    """Class indices [*shape], uint8, of region logits [R *s], linearly interpolated, voxel edges aligned."""
    if len(logits_RS) != len(paints):
        raise ValueError(f"{len(logits_RS)} region logits, {len(paints)} classes to paint them with")
    if tuple(logits_RS.shape[1:]) == tuple(shape):
        return painted_classes(logits_RS[None], paints)[0]
    mode = {3: "bilinear", 4: "trilinear"}[logits_RS.ndim]
    labels = torch.zeros(tuple(shape), dtype=torch.uint8, device=logits_RS.device)
    for logits_s, k in zip(logits_RS, paints, strict=True):
        fine = F.interpolate(logits_s[None, None].float(), tuple(shape), mode=mode, align_corners=False)
        labels.masked_fill_(fine[0, 0] > 0, k)
    return labels
