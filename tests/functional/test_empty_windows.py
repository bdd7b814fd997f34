from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg.functional.empty_windows import empty_once
from distilseg.inference import build
from distilseg.runtime.inferers import make_inferer

INFERERS: list[dict[str, Any]] = [
    {"kind": "sliding_window", "patch": [8, 8, 8], "overlap": 0.25, "mirror": True},
    {"kind": "sliding_window", "patch": [8, 8, 8], "overlap": 0.5, "average": "probabilities"},
    {"kind": "slices", "patch": [8, 8], "overlap": 0.25, "batch": 3},
    {"kind": "slabs", "patch": [32, 32, 3], "divisor": 8},
]


class Counted(nn.Module):
    """Three classes that depend on neighbours; `shown` counts the windows that it was shown."""

    def __init__(self, axes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolution = (nn.Conv3d if axes == 3 else nn.Conv2d)(2, 3, 3, padding=1)
        self.shown = 0

    @torch.inference_mode()
    def forward(self, windows: Tensor) -> Tensor:
        self.shown += len(windows)
        answer: Tensor = self.convolution(windows)
        return answer


def mostly_air() -> np.ndarray[Any, np.dtype[np.float32]]:
    """[2 32 32 24]: noise in one corner and a dot far from it, air of another value in each modality."""
    image = np.empty((2, 32, 32, 24), np.float32)
    image[0], image[1] = -1.5, 0.25
    image[:, :9, :9, :9] = np.random.default_rng(0).normal(size=(2, 9, 9, 9))
    image[1, 30, 30, 22] = 4
    return image


@pytest.mark.parametrize("description", INFERERS, ids=lambda d: "-".join(map(str, d.values())))
def test_nothing_is_lost_and_air_is_shown_once(description: dict[str, Any]) -> None:
    axes = 2 if description["kind"] == "slices" else 3
    image = mostly_air()
    for engine in ("numpy", "torch"):
        asked, plain = Counted(axes), Counted(axes)
        if engine == "numpy":
            infer = make_inferer(description)
            skipped = infer(
                image, empty_once(lambda x, net=asked: net(torch.from_numpy(x)).numpy(), np.stack)
            )
            whole = infer(image, lambda x, net=plain: net(torch.from_numpy(x)).numpy())
        else:
            inferer, shown = build.make_inferer(description), torch.from_numpy(image)[None]
            skipped = inferer(shown, empty_once(asked, torch.stack)).numpy()
            whole = inferer(shown, plain).numpy()
        np.testing.assert_allclose(skipped, whole, atol=1e-5)
        assert asked.shown < 0.7 * plain.shown


def test_windows_that_differ_in_one_voxel_or_one_value_are_all_asked_about() -> None:
    windows = np.zeros((6, 2, 4, 4), np.float32)
    windows[1, 1] = 3  # constant, but another constant
    windows[2, 0, 3, 3] = 1e-30  # a voxel
    windows[3] = np.nan  # a modality that is missing is no air
    seen: list[int] = []

    def network(shown: Any) -> Any:
        seen.append(len(shown))
        return np.nan_to_num(shown.sum(1, keepdims=True))

    asked = empty_once(network, np.stack)
    np.testing.assert_array_equal(asked(windows), np.nan_to_num(windows.sum(1, keepdims=True)))
    assert seen == [4]  # windows 4 and 5 are as window 0
    asked(windows[[0, 1, 4]])
    assert seen == [4]
    asked(windows[:1, :, :2])
    assert seen == [4, 1]  # of another shape
