"""Windows of an artefact's own: fitted to the scan where network and Dice allow, else those of training."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg.cli import main
from distilseg.commands import cost, export, predict
from distilseg.data.formats import read_dataset
from distilseg.data.planning.splits import load_split
from distilseg.errors import UserError
from distilseg.export import artefact as exporting
from distilseg.export import inference_windows
from distilseg.export.inference_windows import (
    Fitted,
    choose,
    free_multiple,
    gives_the_same,
    options_for,
    within,
)
from distilseg.export.window_search import grown
from distilseg.functional.window_options import FittedWindowsOptions
from distilseg.inference.build import make_inferer
from distilseg.networks.build import NetworkSpec
from distilseg.predict import load_predictor
from distilseg.runs import Run
from distilseg.runtime.artefact import open_artefact
from distilseg.runtime.inferers import Volume
from distilseg.runtime.predictor import ArtefactPredictor, load_artefact
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import small_experiment, small_study
from .test_export import experiment, label_maps

CPU = Machine(device="cpu", precision="32-true")
WINDOW = {"kind": "sliding_window", "patch": [16, 16, 16], "overlap": 0.25, "blend": "gaussian"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("windows")


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    made = small_experiment(small_study(folder / "scans"), "supervised")
    return trained(made, runs=folder / "runs", machine=CPU, cache=folder / "cache")


def allowing(monkeypatch: pytest.MonkeyPatch, drop: float) -> None:
    """What Dice may drop is no option: a network of two steps is good with no windows."""
    monkeypatch.setattr(exporting, "choose", partial(choose, max_dice_drop=drop))


@pytest.fixture(scope="module")
def shipped(run: Run, folder: Path) -> Path:
    with pytest.MonkeyPatch.context() as patched:
        allowing(patched, 100)
        made = export(run, "openvino", out=folder / "shipped", windows="fitted")
    assert made.windows is not None
    assert made.windows.kept == "fitted"
    return made.path


@pytest.mark.parametrize("to", ["onnx", "openvino", "openvino-int8"])
def test_an_artefact_shows_a_small_scan_as_one_window_and_a_large_one_as_few(
    to: str, run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowing(monkeypatch, 100)
    options = {"max_dice_drop": 100, "calibration_cases": 2} if "int8" in to else {}
    made = export(run, to, out=tmp_path / "student", windows="fitted", window_memory="20MB", **options)  # type: ignore[arg-type]
    assert made.windows is not None
    assert (made.windows.kept, made.windows.cases) == ("fitted", 2)
    assert all(parity.within(1e-3) for parity in made.parity)  # the run is shown the same windows
    about = open_artefact(made.path).about
    assert about.inferer["kind"] == "fitted_windows"
    assert about.windows["voxels"] < 1
    predictor, seen = load_artefact(made.path), list[tuple[int, ...]]()

    def watched(windows: np.ndarray) -> np.ndarray:
        seen.append(windows.shape)
        return predictor.network(windows)

    in_torch = replace(load_predictor(run.folder, device="cpu"), inferer=make_inferer(about.inferer))
    for shape in ((20, 20, 20), (9, 20, 13), (60, 50, 70)):
        seen.clear()
        image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        logits = replace(predictor, network=watched).logits(image)
        assert sum(n for n, *_ in seen) == 1 if max(shape) <= 20 else len(seen) > 1
        assert all(math.prod(one[2:]) <= about.inferer["most_voxels"] for one in seen)
        # What was tried is the limit: no window is larger than the scans that told.
        assert all(size <= 24 for one in seen for size in one[2:])
        if "int8" not in to:
            np.testing.assert_allclose(logits, in_torch.logits(image).numpy(), rtol=1e-3, atol=1e-4)
    predict(made.path, folder / "scans", tmp_path / "out", threads=1)
    assert len(label_maps(tmp_path / "out")) == 6


def test_windows_of_training_stay_where_others_lose_dice(
    run: Run,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    allowing(monkeypatch, -100)
    words = ["export", str(run.folder), "--windows", "fitted", "--out", str(tmp_path / "student")]
    assert main(words) == 0
    assert "windows as in training: " in " ".join(capsys.readouterr().out.split())
    about = open_artefact(tmp_path / "student").about
    assert about.inferer == run.read(run.experiment)["inferer"]
    assert about.windows["kept"] == "training"
    assert "- windows as in training: " in (tmp_path / "student" / "README.md").read_text()
    plain = export(run, out=tmp_path / "plain")
    assert plain.windows is None
    for name, path in (("fitted", tmp_path / "student"), ("as-before", plain.path)):
        predict(path, folder / "scans", tmp_path / name, threads=1)
    expected = label_maps(tmp_path / "as-before")
    for name, labels in label_maps(tmp_path / "fitted").items():
        np.testing.assert_array_equal(labels, expected[name])


@pytest.mark.parametrize(
    ("lost_in_tuning", "lost_in_judging", "why"),
    [(0.001, 0.001, ""), (0.003, 0.0, "others lose Dice"), (0.001, 0.003, "drops by 0.30 points")],
)
def test_the_gate_is_dice_on_cases_that_judge(
    lost_in_tuning: float,
    lost_in_judging: float,
    why: str,
    run: Run,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """0.3 points, lost in every window but those of training, are too many; 0.1 are not."""
    split = load_split(run.split, read_dataset(folder / "scans").cases)
    scored: list[str] = []

    def dice(predictor: ArtefactPredictor, _: object, ids: list[str]) -> dict[str, float]:
        scored.extend(ids)
        shown: list[tuple[int, ...]] = []

        def network(windows: Volume) -> Volume:
            shown.append(windows.shape[2:])
            return np.zeros((len(windows), 2, *windows.shape[2:]), np.float32)

        predictor.inferer(np.zeros((1, 20, 20, 20), np.float32), network)
        lost = lost_in_judging if ids[0] in split.test else lost_in_tuning
        return {"one": 0.9 - lost * (shown[0] != (16, 16, 16))}

    monkeypatch.setattr(inference_windows, "dice_scores", dice)
    made = export(run, "openvino", out=tmp_path / "student", windows="fitted")
    assert made.windows is not None
    assert made.windows.kept == ("training" if why else "fitted")
    assert why in made.windows.why
    judged = "others lose" not in why
    assert [scored.count(case) for case in split.test] == [2 * judged] * 2  # each in either way
    assert not set(scored) & set(split.train)


def test_the_card_tells_dice_time_and_memory(shipped: Path) -> None:
    card = (shipped / "README.md").read_text()
    assert "## Windows" in card
    assert "| structure | Dice, windows of training | Dice, fitted windows |" in card
    assert "- windows fitted to each scan, up to " in card
    assert "Both were shown windows fitted to the scans." in card
    assert "of its time" in card


def test_its_cost_is_counted_on_a_window_of_training(shipped: Path, folder: Path) -> None:
    told = cost([shipped], scans=folder / "scans", threads=1)
    (found,) = told.values()
    assert found["counted_on"] == [1, 1, 16, 16, 16]


@pytest.mark.parametrize(
    "change",
    [
        {"most_voxels": 10**12},
        {"most_voxels": -1},
        {"multiple": [0, 4, 4]},
        {"least": [3, 16, 16]},
        {"overlap": [4, 4]},
        {"most": "all"},
        {"windows": [[1, 1, 1]] * 10**4},
    ],
)
def test_a_damaged_field_is_refused(
    change: dict[str, object],
    shipped: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(shipped, damaged)
    about = json.loads((damaged / "artefact.json").read_text())
    about["inferer"] |= change
    (damaged / "artefact.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=rf"^{damaged}: "):
        load_artefact(damaged)
    assert main(["predict", str(damaged), str(folder / "scans"), str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert str(damaged) in line


@pytest.mark.parametrize("kind", ["slices", "slabs"])
def test_slices_and_slabs_are_as_before(kind: str, folder: Path, tmp_path: Path) -> None:
    study = small_study(folder / "scans")
    made = trained(experiment(kind, study), runs=folder / "runs", machine=CPU, cache=folder / "cache")
    exported = export(made, "onnx", out=tmp_path / "student", windows="fitted")
    assert exported.windows is not None
    assert (exported.windows.kept, exported.windows.cases) == ("training", 0)
    assert "over volumes" in exported.windows.why
    assert open_artefact(exported.path).about.inferer["kind"] == kind


def test_an_unknown_kind_of_windows_is_refused(run: Run, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown kind of windows 'fit'; did you mean 'fitted'"):
        export(run, out=tmp_path / "student", windows="fit")


# Which networks take windows of any size.


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(1, 2, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        logits: Tensor = self.layer(image)
        return logits


class Placed(Convolved):
    """With a position table."""

    def __init__(self) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.zeros(16, 16, 16))

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(image + self.position)


class Gridded(Convolved):
    """On a grid of its own."""

    def forward(self, image: Tensor) -> Tensor:
        return super().forward(nn.functional.interpolate(image, (16, 16, 16)))


SPEC = NetworkSpec("student_tiny", 1, 2, (16, 16, 16), {"strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2]]})


def test_a_network_with_a_position_table_or_a_grid_takes_no_others() -> None:
    assert free_multiple(Convolved(), SPEC, WINDOW) == (4, 4, 4)
    assert free_multiple(Placed(), SPEC, WINDOW) == ()
    assert free_multiple(Gridded(), SPEC, WINDOW) == ()
    assert free_multiple(Convolved(), SPEC, {"kind": "slices", "patch": [16, 16]}) == ()


def test_a_graph_that_answers_otherwise_is_found_out() -> None:
    network, options = Convolved().eval(), options_for(WINDOW, (4, 4, 4))

    def graph(windows: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(windows)).detach().numpy()  # type: ignore[no-any-return]

    assert gives_the_same(network, graph, 1, options)
    assert not gives_the_same(network, lambda windows: graph(windows) + 0.1, 1, options)
    assert not gives_the_same(network, lambda windows: graph(windows)[:, :, :8], 1, options)


def test_windows_overlap_as_those_of_training_did() -> None:
    assert options_for(WINDOW, (4, 4, 4)).overlap == (4, 4, 4)
    assert options_for(WINDOW | {"stride": [8, 4, 16]}, (4, 4, 4)).overlap == (8, 12, 0)
    assert options_for(WINDOW | {"mirror": [0, 2]}, (4, 4, 4)).mirror == (0, 2)
    assert options_for(WINDOW, (16, 8, 4)).least == (16, 16, 8)


# How large they may be.


def test_memory_is_a_line() -> None:
    assert within([1000, 4000], [10_000, 40_000], 100_000) == (10_000, pytest.approx(10.0))
    assert within([1000, 4000], [0, 0], 100_000) is None  # the system does not tell
    assert within([1000, 4000], [5000, 5000], 100_000) is None  # too small to be seen


def searched(harm: dict[int, int], shapes: list[tuple[int, ...]]) -> FittedWindowsOptions:
    """`harm`: axis -> extent beyond which a point is lost."""
    free = options_for(WINDOW, (4, 4, 4))
    tried: list[FittedWindowsOptions] = []

    def lost(options: FittedWindowsOptions) -> float:
        tried.append(options)
        reached = [max(options.window(shape).patch[axis] for shape in shapes) for axis in range(3)]
        return float(sum(reached[axis] > most for axis, most in harm.items()))

    found = grown(free, shapes, lost, 0.2)
    assert lost(found) <= 0.2
    assert len(tried) < 15
    return found


def test_windows_grow_where_nothing_is_lost_and_no_farther_than_was_tried() -> None:
    shapes = [(30, 30, 30), (26, 20, 12)]
    assert searched({}, shapes).most == (32, 32, 32)
    assert searched({1: 16}, shapes).most == (32, 16, 32)
    assert searched({1: 24}, shapes).most == (32, 24, 32)  # half as far
    assert searched({0: 16, 1: 16, 2: 16}, shapes).most == (16, 16, 16)
    assert searched({}, [(9, 9, 9)]).least == (8, 8, 8)


def test_what_is_said_where_others_are_refused() -> None:
    (told,) = Fitted("training", "no labelled case is there to judge others by").sentences()
    assert told == "windows as in training: no labelled case is there to judge others by"
