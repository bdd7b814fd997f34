"""Several artefacts as one: voxel by voxel what the runs as one give in torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg import scratch
from distilseg.data.planning.plan import Plan
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.inference import fusion
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.predict import Predictor
from distilseg.runtime import fusing, views
from distilseg.runtime.inferers import make_inferer
from distilseg.runtime.predictor import ArtefactPredictor
from distilseg.runtime.views import ArtefactViews
from distilseg.views import Views

from ..test_views import plan

ORGANS = {0: "background", 4: "liver", 9: "spleen"}
WAYS: list[dict[str, Any]] = [
    {"how": "vote"},
    {"how": "mean"},
    {"how": "threshold", "threshold": 0.55},
]


class Random(nn.Module):
    """One convolution of random weights, so that views disagree in many places."""

    def __init__(self, channels: int, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Conv3d(1, channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return 3 * self.layer(image)  # type: ignore[no-any-return]


def both(of: Plan, channels: int, seed: int, answers: str) -> tuple[Predictor, ArtefactPredictor]:
    """A network in torch, and as an artefact would run it."""
    network = Random(channels, seed).eval()

    def run(windows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return network(torch.from_numpy(windows)).numpy()

    inferer = make_inferer({"kind": "sliding_window", "patch": [4, 4, 4]})
    return (
        Predictor(network, of, SlidingWindow((4, 4, 4)), torch.device("cpu"), answers),
        ArtefactPredictor(run, of, inferer, answers, threads=1),
    )


def scan(spacing_mm: tuple[float, ...]) -> Scan:
    """Resampled to 1 mm where the spacing is another."""
    array = np.random.default_rng(0).normal(size=(12, 11, 10)).astype(np.float32)
    return Scan(array, Geometry(array.shape, np.diag([*spacing_mm, 1.0])), Path("scan.nii"))


def same(in_torch: Views, artefacts: ArtefactViews, spacing_mm: tuple[float, ...]) -> np.ndarray:
    """The label map of both, which must be the same but for roundings."""
    seen = {"MR": scan(spacing_mm)}
    expected, found = (one.segment(seen, case="a") for one in (in_torch, artefacts))
    assert found.dtype == expected.dtype
    assert (found != expected).mean() < 2e-3
    prepared = artefacts.prepare(seen, case="a")
    logits = artefacts.logits(prepared.image)
    before = logits.copy()
    np.testing.assert_array_equal(artefacts.labels(logits, prepared.grid), found)
    np.testing.assert_array_equal(logits, before)  # the label export leaves them as they are
    with pytest.MonkeyPatch.context() as patched:  # one view after the other, their sum on the disk
        patched.setattr(views, "IN_STEP", 0)
        patched.setattr(scratch, "IN_MEMORY", 0)
        patched.setattr(views, "MOST_ANSWERED", 4 * 3 * 12 * 12 * 3)  # and read again in several blocks
        np.testing.assert_array_equal(artefacts.segment(seen, case="a"), found)
    np.testing.assert_allclose(logits, in_torch.logits(prepared.image).numpy(), rtol=1e-3, atol=1e-4)
    return found


@pytest.mark.parametrize("spacing_mm", [(1, 1, 1), (0.8, 1.3, 1.0)])
@pytest.mark.parametrize("answers", ["classes", "regions"])
@pytest.mark.parametrize("how", WAYS, ids=lambda way: way["how"])
def test_the_same_as_in_torch(how: dict[str, Any], answers: str, spacing_mm: tuple[float, ...]) -> None:
    regions = {"whole": (4, 9), "core": (9,)} if answers == "regions" else {}
    of = plan(ORGANS, regions=regions)
    pairs = [both(of, len(regions) or 3, seed, answers) for seed in range(3)]
    in_torch = Views(tuple(one for one, _ in pairs), of, **how)
    artefacts = ArtefactViews(tuple(other for _, other in pairs), of, **how)
    assert len(np.unique(same(in_torch, artefacts, spacing_mm))) == 3


def test_organs_as_in_torch() -> None:
    liver, spleen = (plan({0: "background", value: ORGANS[value]}) for value in (4, 9))
    pairs = [both(of, 2, seed, "classes") for seed, of in enumerate((liver, spleen, spleen))]
    told: dict[str, Any] = {"how": "organs", "threshold": 0.3}
    in_torch = Views(tuple(one for one, _ in pairs), plan(ORGANS), **told)
    artefacts = ArtefactViews(tuple(other for _, other in pairs), plan(ORGANS), **told)
    assert len(np.unique(same(in_torch, artefacts, (1, 1, 2)))) == 3


@pytest.mark.parametrize("shape", [(9, 8, 7), (5, 8, 6)])
def test_votes_on_a_finer_grid_as_in_torch(shape: tuple[int, ...]) -> None:
    """Ties are many: of four classes two views choose at random."""
    random = np.random.default_rng(0)
    maps = [random.integers(0, 4, (9, 8, 7)).astype(np.uint8) for _ in range(2)]
    mean = random.dirichlet(np.ones(4), shape).transpose(3, 0, 1, 2).astype(np.float32)
    expected = fusion.vote([torch.from_numpy(one) for one in maps], torch.from_numpy(mean.copy())).numpy()
    np.testing.assert_array_equal(fusing.vote(maps, mean), expected)


def test_whoever_agrees_is_not_asked_again() -> None:
    of = plan(ORGANS)
    _, one = both(of, 3, 0, "classes")
    together = ArtefactViews((one, replace(one)), of)
    seen = {"MR": scan((1, 1, 1))}
    np.testing.assert_array_equal(together.segment(seen, case="a"), one.segment(seen, case="a"))


@pytest.mark.parametrize("answers", ["classes", "regions"])
@pytest.mark.parametrize("how", WAYS, ids=lambda way: way["how"])
def test_views_that_are_cut_in_other_ways(how: dict[str, Any], answers: str) -> None:
    """Slices along each axis have no block in common: the labels are those of all logits at once."""
    regions = {"whole": (4, 9), "core": (9,)} if answers == "regions" else {}
    of = plan(ORGANS, regions=regions)
    pairs = [both(of, len(regions) or 3, seed, answers)[1] for seed in range(3)]
    activation = "sigmoid" if answers == "regions" else "softmax"
    slabs = {"kind": "slabs", "patch": [4, 4, 4], "divisor": 4, "activation": activation}
    cuts = [{**slabs, "axis": axis} for axis in range(3)]
    told = [replace(one, inferer=make_inferer(cut)) for one, cut in zip(pairs, cuts, strict=True)]
    together, seen = ArtefactViews(tuple(told), of, **how), {"MR": scan((0.8, 1.3, 1.0))}
    prepared = together.prepare(seen, case="a")
    expected = together.labels(together.logits(prepared.image), prepared.grid)
    assert len(np.unique(expected)) == 3
    np.testing.assert_array_equal(together.segment(seen, case="a"), expected)
