"""nnU-Net models as artefacts, in memory or written by hand: no network is exported where torch will do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from distilseg.runtime.nnunet.predictor import NnUNetPredictor
from distilseg.runtime.nnunet.preparation import Way
from distilseg.teachers.nnunet.model import NnUNetTeacher
from distilseg.teachers.shipping import shipment_of


def in_torch(network: nn.Module) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network as an engine runs it, its memory lent."""
    lent: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def run(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            answer: Any = network(torch.from_numpy(np.ascontiguousarray(windows))).numpy()
        return np.add(answer, 0, out=lent.setdefault(answer.shape, np.empty_like(answer)))

    return run


def as_artefact(teacher: NnUNetTeacher, **options: Any) -> NnUNetPredictor:
    """What predicts from an artefact of the teacher, through the words that its preparation.json holds."""
    shipment = shipment_of(teacher)
    way = Way.model_validate_json(shipment.way({stem: f"{stem}.onnx" for stem in shipment.networks}))
    predictor: NnUNetPredictor | None = None
    for stage, one in zip(way.stages, shipment.networks.values(), strict=True):
        predictor = NnUNetPredictor(
            in_torch(one.network), shipment.plan, way, stage, predictor, threads=1, **options
        )
    assert predictor is not None
    return predictor
