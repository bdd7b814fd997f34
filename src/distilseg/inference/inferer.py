"""The contract of inference: a whole volume and any network in, the logits of the whole volume out.

An inferer cuts the volume into what the network takes and puts the answers back together. It knows neither
devices, nor evaluation mode, nor millimetres: `predict.py` and the training loop set those. Any callable with
this signature is one; `distilseg.testing.check_inferer` asks whether it keeps its promises:

- the identity as network gives the volume back, whatever its shape;
- the result is float32, on the device of the network's answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

# Gives logits [B K *S] as a tensor, or an object that holds them (`types.Outputs`).
Network = Callable[[Tensor], Any]

# (image [B M *S], network) -> logits [B K *S]
Inferer = Callable[[Tensor, Network], Tensor]


def logits_of(answer: Any) -> Tensor:
    """The logits in what a network returned."""
    logits = answer if isinstance(answer, Tensor) else getattr(answer, "logits", None)
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"a network returns logits or has them as `.logits`; this one returned {type(answer)}"
        )
    return logits
