"""ImageNet's weights for a trunk: torchvision's resnet50, from a file that is already here.

Nothing is fetched and nothing is run: a safetensors file or a state dictionary alone. The first convolution
was learned on 3 channels. For n of them its kernel is repeated along the channels and divided by n / 3, so
that n equal channels answer as 3 did. The classifier (`fc`) has no use.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from .checkpoint import read_weights
from .deeplab import Trunk

FIRST = "conv1.weight"
UNUSED = ("fc.weight", "fc.bias")
COUNT = "num_batches_tracked"  # older files lack it, and nothing here reads it


def load_imagenet(trunk: Trunk, path: Path | str) -> None:
    """Fills `trunk`, a `resnet50` for any number of channels; a file that does not fit raises UserError."""
    with torch.device("cpu"):  # also where the network is built for its shapes alone
        tensors = read_weights(Path(path))
    kept = {name.removeprefix("stem."): tensor for name, tensor in trunk.state_dict().items()}
    needed = {name: tensor for name, tensor in kept.items() if not name.endswith(COUNT)}
    wrong = [f"it lacks {name}" for name in needed if name not in tensors]
    wrong += [f"{name} is unknown here" for name in tensors if name not in kept and name not in UNUSED]
    for name, tensor in needed.items():
        shape = (len(tensor), 3, *tensor.shape[2:]) if name == FIRST else tensor.shape
        if name in tensors and tensors[name].shape != shape:
            wrong.append(f"{name} is {list(tensors[name].shape)} and not {list(shape)}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise UserError(
            f"{path} does not hold the weights of torchvision's resnet50: {', '.join(wrong[:3])}{more}",
            "save `torchvision.models.resnet50(weights=...).state_dict()`",
        )
    with torch.no_grad():
        for name, tensor in needed.items():
            learned = tensors[name]
            tensor.copy_(widened(learned, tensor.shape[1]) if name == FIRST else learned)


def widened(kernel_C3s: Tensor, channels: int) -> Tensor:
    """[C 3 *s] -> [C channels *s]."""
    before = kernel_C3s.shape[1]
    repeated = kernel_C3s.repeat(1, -(-channels // before), 1, 1)[:, :channels]
    return repeated * (before / channels)
