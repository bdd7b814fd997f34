"""What a field says of itself holds for every value, wherever it comes from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from distilseg.errors import UserError
from distilseg.training.budget import Budget
from distilseg.training.experiment import Optimisation, Sampling, Validation
from distilseg.training.machine import Machine


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (Sampling, {"batch_size": 0}, r"batch_size is 0; give a whole number of at least 1"),
        (Sampling, {"batch_size": "4"}, r"batch_size is '4'; give a whole number of at least 1"),
        (Sampling, {"batch_size": None}, r"batch_size is None; give a whole number"),
        (Sampling, {"workers": -1}, r"workers is -1; .* of at least 0"),
        (Sampling, {"foreground_fraction": 1.5}, r"foreground_fraction is 1\.5; give a number from 0 to 1"),
        (Sampling, {"flip_axes": "01"}, r"flip_axes is '01'; give whole numbers"),
        (Sampling, {"augmentation": "lihgt"}, r"unknown augmentation 'lihgt'; did you mean 'light'"),
        (Optimisation, {"schedule": "cosin"}, r"unknown schedule 'cosin'; did you mean 'cosine'"),
        (Optimisation, {"weight_decay": math.nan}, r"weight_decay is nan; give a number of at least 0"),
        (Optimisation, {"plateau_patience": 0}, r"plateau_patience is 0"),
        (Optimisation, {"plateau_factor": 1.5}, r"the plateau's factor is 1\.5"),
        (Validation, {"validations": 0}, r"validations is 0"),
        (Budget, {"steps": "ten"}, r"steps is 'ten'; give a whole number$"),
        (Machine, {"nodes": 0}, r"nodes is 0"),
        (Machine, {"device": "gpu"}, r"unknown device 'gpu'.*known: auto, cpu, cuda, mps"),
    ],
)
def test_what_does_not_fit_is_refused(kind: type, value: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        kind(**value)


def test_what_fits_is_kept_as_it_is() -> None:
    """Whole numbers may stand for numbers and NumPy's for Python's; None where nothing is meant."""
    sampling = Sampling(np.int64(3), foreground_fraction=1, flip_axes=None)
    assert (sampling.batch_size, sampling.foreground_fraction) == (3, 1)
    assert isinstance(sampling.foreground_fraction, int)  # so that a run keeps its name
    assert Optimisation(clip=None, learning_rate=np.float32(1)).clip is None
    assert Budget(steps=1, minutes=2).minutes == 2
