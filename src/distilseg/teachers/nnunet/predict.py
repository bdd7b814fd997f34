"""The folds of a model in torch, asked window by window; `runtime.nnunet.blend` makes a volume of it.

Where nothing is mirrored, some of the heads are computed at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...inference.denormals import denormals_flushed
from ...inference.mirroring import mean_over_flips
from ...networks.nnunet_blocks import Decoder
from ...runtime.nnunet.blend import blended

AT_ONCE = 16  # heads of a window that are computed together, where nothing is mirrored
_CPU = torch.device("cpu")


@torch.inference_mode()
def predicted(
    image: NDArray[np.float32],
    folds: Iterable[nn.Module],
    heads: int,
    patch: Sequence[int],
    *,
    mirrored: Sequence[int] = (),
    step: float = 0.5,
    device: torch.device = _CPU,
) -> NDArray[np.float32]:
    """Image [M *W] -> logits [K *W], the mean over `folds`: networks in turn, of which one is used at a time.

    `mirrored` are axes of the patch. Raises `UserError` as `blended`.
    """
    networks = (
        partial(_by_heads, fold.eval().to(device), mirrored=mirrored, heads=heads, device=device)
        for fold in folds
    )
    with denormals_flushed():
        return blended(image, networks, heads, patch, step=step)


def _by_heads(
    network: nn.Module,
    window: NDArray[np.float32],
    *,
    mirrored: Sequence[int],
    heads: int,
    device: torch.device,
) -> Iterator[NDArray[np.float32]]:
    """The logits [*P] of one window, head by head, some of them computed at a time."""
    patches = torch.from_numpy(np.ascontiguousarray(window)).to(device)
    encoder, decoder = getattr(network, "encoder", None), getattr(network, "decoder", None)
    if mirrored or heads <= AT_ONCE or encoder is None or not isinstance(decoder, Decoder):
        yield from mean_over_flips(patches, network, mirrored)[0].float().cpu().numpy()
        return
    finest = decoder.finest(encoder(patches))
    for logits_NkP in decoder.answers(finest, AT_ONCE):
        yield from logits_NkP[0].float().cpu().numpy()
