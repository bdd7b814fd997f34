"""Windows of air: the network is asked about one of them, and its answer holds for all.

A window is empty where each of its modalities has one value throughout, such as air below the lowest
intensity that the plan keeps, or what a mask has set to zero. Windows that hold the same values get the same
answer, so asking once loses nothing: no threshold is chosen, and noise is never taken for air.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Windows = TypeVar("Windows")  # NumPy's arrays or torch's tensors, [N M *P]


def empty_once(
    network: Callable[[Windows], Windows], stack: Callable[[list[Windows]], Windows]
) -> Callable[[Windows], Windows]:
    """`network`, asked once for all empty windows of the same values; `stack`: `np.stack`, `torch.stack`."""
    known: dict[Any, Any] = {}

    def asked(windows: Any) -> Windows:
        keys = _keys(windows)
        if not any(keys):
            return network(windows)
        new = [n for n, key in enumerate(keys) if key is None or key not in [*known, *keys[:n]]]
        told: Any = network(windows[new]) if new else ()
        answers = dict(zip(new, told, strict=True))
        known.update({keys[n]: answer for n, answer in answers.items() if keys[n]})
        return stack([answers[n] if n in answers else known[key] for n, key in enumerate(keys)])

    return asked


def _keys(windows: Any) -> list[Any]:
    """Of each window its shape and values, None where it is not empty; NaN is never equal to itself."""
    flat = windows.reshape(*windows.shape[:2], -1)
    empty = (flat == flat[:, :, :1]).all(2).all(1).tolist()
    values = flat[:, :, 0].tolist()
    shape = tuple(windows.shape[1:])
    return [(shape, *one) if is_empty else None for one, is_empty in zip(values, empty, strict=True)]
