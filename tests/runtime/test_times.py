from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.preparing.preprocess import preprocess
from distilseg.data.scans.reading import write_array
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.runtime.pipeline import asked_at_once, predict_files
from distilseg.runtime.times import STAGES, StageTimes

STAGE_S = 0.1


class Slow:
    """A segmenter whose stages all take as long."""

    plan = Plan(
        dataset="toy",
        modalities=("MR",),
        labels={0: "background", 1: "blob"},
        spacing_mm=(1, 1, 1),
        normalisation={"MR": Normalisation(kind="none")},
        patch=(16, 16, 16),
        strides=((1, 1, 1), (2, 2, 2)),
    )

    def prepare(self, scans: Any, *, case: str) -> Any:
        time.sleep(STAGE_S)
        return preprocess(scans, None, self.plan, case=case)

    def ask(self, prepared: Any, *, case: str, times: StageTimes | None = None) -> Any:
        return asked_at_once(self, prepared, case=case, times=times)

    def logits(self, image: Any, *, case: str = "") -> Any:
        time.sleep(STAGE_S)
        return image

    def labels(self, logits: Any, grid: Any) -> Any:
        time.sleep(STAGE_S)
        return np.zeros(grid.original_shape, np.uint8)

    def segment(self, scans: Any, *, case: str) -> Any:
        raise AssertionError("the stages are called one by one")


def test_stages_are_summed_over_cases_and_overlap(tmp_path: Path) -> None:
    cases = 4
    for n in range(cases):
        path = tmp_path / "scans" / f"scan{n}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        array = np.ones((16, 16, 16), np.float32)
        write_array(path, array, Scan(array, Geometry(array.shape, np.eye(4)), path))
    times = predict_files(Slow(), tmp_path / "scans", tmp_path / "out").times
    assert tuple(times.seconds) == STAGES
    for stage in ("preparing", "network", "label export"):
        assert times.seconds[stage] >= cases * STAGE_S
    assert times.seconds["reading"] > 0
    assert times.seconds["writing"] > 0
    assert (cases + 2) * STAGE_S <= times.total_s < sum(times.seconds.values())
    assert times.told().startswith(f"{times.total_s:.2f} s: reading ")


def test_what_fails_is_timed_too() -> None:
    times = StageTimes()
    with pytest.raises(ZeroDivisionError), times.of("writing"):
        print(1 / 0)
    assert times.seconds["writing"] > 0
    assert times.seconds["network"] == 0
