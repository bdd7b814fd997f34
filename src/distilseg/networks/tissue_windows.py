"""Networks that make themselves channels of tissue windows, so that whoever calls or exports them need not.

In training they are given the windows instead, which batches make before they change intensities: changes of
a whole CT would push soft tissue out of its window.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..functional.tissue_windows import TissueWindow, with_windows


def show_windows(network: nn.Module, channels: int, windows: Sequence[TissueWindow]) -> None:
    """Makes `network`, which takes `windows` behind its `channels`, take images without them too."""
    network.register_forward_pre_hook(_Appending(channels, tuple(windows)))


def windows_of(network: nn.Module) -> tuple[TissueWindow, ...]:
    """The windows that a network is shown; () of one that knows none."""
    for hook in network._forward_pre_hooks.values():
        if isinstance(hook, _Appending):
            return hook.windows
    return ()


class _Appending:
    """A forward pre-hook: image [B M *S] to [B M+W *S]. The network's own modules keep their names."""

    def __init__(self, channels: int, windows: tuple[TissueWindow, ...]) -> None:
        self.channels, self.windows = channels, windows

    def __call__(self, network: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        image, *others = arguments
        if image.shape[1] == self.channels:
            image = with_windows(image, self.windows)
        return image, *others
