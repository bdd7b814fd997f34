"""One name for tensors and plain values, so that a flipped bit on a disk is noticed.

SHA-256 over each tensor's type, shape and bytes, each plain value as text, each key with its value. What is
equal bit by bit has one digest, on any device and in any memory layout; a list and a tuple are told apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def digest_of(value: Any) -> str:
    """The digest of a tensor, of plain values, or of mappings, lists and tuples of such, as 64 hex digits.

    Keys count in their own order. Raises TypeError for a value of any other kind.
    """
    sha = hashlib.sha256()
    _add(sha, value)
    return sha.hexdigest()


def _add(sha: hashlib._Hash, value: Any) -> None:
    match value:
        case Tensor():
            _tell(sha, f"tensor {value.dtype} {list(value.shape)}")
            flat = value.detach().cpu().contiguous().reshape(-1)
            sha.update(flat.view(torch.uint8).numpy().data)
        case Mapping():
            _tell(sha, f"mapping {len(value)}")
            for key, inner in value.items():
                _add(sha, key)
                _add(sha, inner)
        case list() | tuple():
            _tell(sha, f"{'list' if isinstance(value, list) else 'tuple'} {len(value)}")
            for inner in value:
                _add(sha, inner)
        case None | bool() | int() | float() | str():
            _tell(sha, f"{type(value).__name__} {value!r}")
        case _:
            raise TypeError(f"{type(value).__name__} has no digest")


def _tell(sha: hashlib._Hash, text: str) -> None:
    content = text.encode("utf-8", "surrogatepass")
    sha.update(b"%d:" % len(content) + content)  # the length first: no two sequences read alike
