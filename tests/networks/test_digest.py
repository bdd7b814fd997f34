"""One digest for what is equal bit by bit, another for anything else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
import torch

from distilseg.networks.digest import digest_of


def test_it_is_the_sha_256_of_kind_and_content() -> None:
    told = b"22:tensor torch.uint8 [2]" + bytes([7, 9])
    assert digest_of(torch.tensor([7, 9], dtype=torch.uint8)) == hashlib.sha256(told).hexdigest()
    assert digest_of({"a": 1}) == hashlib.sha256(b"9:mapping 1" + b"7:str 'a'" + b"5:int 1").hexdigest()


def test_memory_layout_does_not_count() -> None:
    image = torch.randn(2, 3, 4, 5)
    assert digest_of(image) == digest_of(image.to(memory_format=torch.channels_last))
    assert digest_of(image.mT) == digest_of(image.mT.contiguous())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (1, 3)])
def test_any_tensor_has_one(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    zeros = torch.zeros(shape, dtype=dtype)
    assert digest_of(zeros) == digest_of(zeros.clone())
    assert zeros.numel() == 0 or digest_of(zeros) != digest_of(torch.ones(shape, dtype=dtype))


DIFFERING: tuple[Callable[[], Any], ...] = (
    lambda: torch.zeros(6),
    lambda: torch.zeros(2, 3),
    lambda: torch.zeros(6, dtype=torch.int32),
    lambda: -torch.zeros(6),
    lambda: [torch.zeros(3), torch.zeros(3)],
    lambda: [0.0],
    lambda: [0],
    lambda: [False],
    lambda: (0,),
    lambda: {"a": {"b": 1}, "c": 2},
    lambda: {"a": {"b": 1, "c": 2}},
    lambda: ["a", "b"],
    lambda: ["a2:b"],
    dict,
    list,
    lambda: None,
    lambda: "",
)


def test_what_differs_has_another() -> None:
    assert len({digest_of(make()) for make in DIFFERING}) == len(DIFFERING)


def test_other_values_have_none() -> None:
    with pytest.raises(TypeError, match="set has no digest"):
        digest_of({"a": {1}})
