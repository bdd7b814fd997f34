"""A teacher that is made of numbers: what contracts are tested with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilseg.data.case import Dataset
from distilseg.data.scans.reading import read_label
from distilseg.data.scans.scan import Scan
from distilseg.teachers.teacher import Activation, Answer, Head, Placement, Provenance

NOWHERE = Provenance("numbers", {})


@dataclass(frozen=True, eq=False)
class Numbers:
    """Answers with `logits` [K *W] for every scan, placed so that the grids' edges align."""

    logits: NDArray[np.float32]
    heads: tuple[Head, ...]
    activation: Activation = "softmax"
    name: str = "numbers"
    modalities: tuple[str, ...] = ("MR",)
    digest: str = "0" * 32
    provenance: Provenance = NOWHERE

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        shape = next(iter(scans.values())).geometry.shape
        return Answer(self.logits, edges_aligned(shape, self.logits.shape[1:]), self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Any:
        raise NotImplementedError

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> Any:
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        return {}


class Knowing:
    """A teacher that knows the label maps of a dataset, and says them with certainty."""

    name, activation, digest, provenance = "knowing", "softmax", "1" * 32, NOWHERE

    def __init__(self, dataset: Dataset, *, sure: float = 8.0, modalities: tuple[str, ...] = ("MR",)) -> None:
        self.dataset, self.sure, self.modalities = dataset, sure, modalities
        self.heads = classes(*dataset.classes)
        self.asked: list[str] = []
        self.says: dict[str, Any] = {}  # its summary

    def summary(self) -> dict[str, Any]:
        return self.says

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        self.asked.append(case)
        label = read_label(self.dataset.case(case)).array
        hot = np.stack([label == value for value in self.dataset.label_values])
        return Answer(
            (hot * self.sure).astype(np.float32), edges_aligned(label.shape, label.shape), "softmax"
        )

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.uint8]:
        return answer.logits.argmax(0).astype(np.uint8)

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        e = np.exp(answer.logits)
        return e / e.sum(0)


def edges_aligned(scan: tuple[int, ...], working: tuple[int, ...]) -> Placement:
    """The whole scan as `working` voxels."""
    steps = tuple(n / w for n, w in zip(scan, working, strict=True))
    return Placement(
        scan, (0, 1, 2), tuple(s / 2 - 0.5 for s in steps), steps, working, tuple((0, n) for n in scan)
    )


def classes(*names: str) -> tuple[Head, ...]:
    """Heads of classes 0, 1, ..."""
    return tuple(Head(name, (value,)) for value, name in enumerate(names))
