"""Several runs as one: votes, means, models of one organ each; predicted, judged and compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg import commands
from distilseg.cli import main
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.files import write_json
from distilseg.inference.slabs import Slabs
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.judge import judge, judge_slices
from distilseg.predict import Predictor
from distilseg.runs import Run, read_rows
from distilseg.students import find_students
from distilseg.training.machine import Machine
from distilseg.training.trained import trained
from distilseg.views import Views, fused, is_fused, load_segmenter, load_views, members

from .training.small import of_seed, small_experiment, small_study

CPU = Machine(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three seeds on one small study, hardly trained so that they differ."""
    folder = tmp_path_factory.mktemp("views")
    study = small_study(folder / "scans")
    for seed in range(3):
        experiment = of_seed(small_experiment(study, "supervised", steps=12), seed)
        trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")
    return folder


@pytest.fixture
def views(world: Path) -> list[Path]:
    return sorted(path.parent for path in (world / "runs").rglob("best.safetensors"))


def label_maps(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: read_scan(path).array for path in sorted(folder.glob("*.nii.gz"))}


def scans(world: Path) -> Path:
    return world / "scans" / "imagesTr"


def test_a_vote_is_of_the_label_maps_that_each_run_writes(
    world: Path, views: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for n, view in enumerate(views):
        commands.predict(view, scans(world), tmp_path / str(n))
    assert (
        main(["predict", ",".join(map(str, views)), str(scans(world)), str(tmp_path / "out"), "--fuse=vote"])
        == 0
    )
    assert "6 written" in capsys.readouterr().out
    alone = [label_maps(tmp_path / str(n)) for n in range(3)]
    together = label_maps(tmp_path / "out")
    assert len(together) == 6
    differing = 0
    for name, voted in together.items():
        a, b, c = (of_view[name] for of_view in alone)
        differing += int((a != b).sum())
        assert np.array_equal(voted[a == b], a[a == b])
        assert np.array_equal(voted[a == c], a[a == c])
        assert np.array_equal(voted[b == c], b[b == c])
        third = (a != b) & (a != c) & (b != c)
        assert all(
            v in (x, y, z) for v, x, y, z in zip(voted[third], a[third], b[third], c[third], strict=True)
        )
    assert differing > 100
    written, scan = (read_scan(place / sorted(together)[0]) for place in (tmp_path / "out", scans(world)))
    np.testing.assert_array_equal(written.geometry.affine, scan.geometry.affine)


def test_judged_as_one_and_compared(
    world: Path,
    views: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(world / "runs", tmp_path / "runs")
    moved = [tmp_path / view.relative_to(world) for view in views]
    for view in moved:
        judge(Run(view), device="cpu")
    named = ",".join(map(str, moved))
    assert main(["evaluate", named, "--fuse", "vote", "--also", "slice_similarity", "--device", "cpu"]) == 0
    (whole,) = (Run(path) for path in moved[0].parent.glob("fused-vote-*"))
    told = "".join(capsys.readouterr().out.split())
    assert "inter-slicedistanceoverallcasesasonevector:" in told
    assert f"writtento{whole.metrics}" in told
    assert is_fused(whole)
    assert [member.folder.resolve() for member in members(whole)] == [view.resolve() for view in moved]

    # Its label maps are the vote's, its metrics those of its label maps.
    commands.predict(moved, scans(world), tmp_path / "out")
    voted, kept = label_maps(tmp_path / "out"), label_maps(whole.predictions)
    assert len(kept) == 2
    assert all(np.array_equal(voted[name], labels) for name, labels in kept.items())
    rows = read_rows(whole.metrics)
    assert {"dice", "hd95", "slice_similarity"} <= {row["metric"] for row in rows}
    again = commands.predict(whole.folder, scans(world), tmp_path / "again")
    assert len(again.written) == 6
    repeated = label_maps(tmp_path / "again")
    assert all(np.array_equal(repeated[name], labels) for name, labels in voted.items())

    # Its cost is that of all, its name tells what it is.
    of_one, of_all = (run.read(run.cost) for run in (Run(moved[0]), whole))
    assert of_all["parameters"] == 3 * of_one["parameters"]
    assert of_all["multiply_accumulates"] == 3 * of_one["multiply_accumulates"]
    steps = [run.read(run.status)["steps"] for run in (Run(moved[0]), whole)]
    assert steps[1] == 3 * steps[0]
    comparison = commands.compare([moved[0], whole.folder])
    assert {c.name for c in comparison.contenders} == {"supervised", "supervised (fused=vote of 3)"}
    commands.report([moved[0], whole.folder], tmp_path / "report.html")

    # It is no student of its own, is found again, and its slices can be judged.
    assert {student.run.folder for student in find_students(tmp_path / "runs")} == set(moved)
    assert fused(moved[::-1], "vote").folder.name == whole.folder.name
    assert judge_slices(whole, device="cpu")
    assert fused(moved, "mean").folder != whole.folder
    assert fused(moved[:2], "vote").folder.name != whole.folder.name


def test_a_fused_run_may_move_with_its_runs(world: Path, views: list[Path], tmp_path: Path) -> None:
    shutil.copytree(world / "runs", tmp_path / "runs")
    whole = fused([tmp_path / view.relative_to(world) for view in views], "mean")
    inside = whole.folder.relative_to(tmp_path)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    found = load_segmenter(Run(tmp_path / "elsewhere" / Path(*inside.parts[1:])), device="cpu")
    assert isinstance(found, Views)
    assert found.how == "mean"
    assert len(found.predictors) == 3


# By hand: networks that say what they were told.


class Says(nn.Module):
    """Logits of classes (or regions) along the last axis of the image, whatever the image."""

    def __init__(self, logits_KN: list[list[float]]) -> None:
        super().__init__()
        self.logits_KN = torch.tensor(logits_KN)

    def forward(self, image: Tensor) -> Tensor:
        k, n = self.logits_KN.shape
        return self.logits_KN.view(1, k, 1, 1, n).expand(len(image), k, *image.shape[2:4], n).clone()


LINE = Scan(
    np.arange(64, dtype=np.float32).reshape(4, 4, 4), Geometry((4, 4, 4), np.eye(4)), Path("line.nii")
)


def plan(labels: dict[int, str], **told: Any) -> Plan:
    return Plan(
        dataset="toy",
        modalities=("MR",),
        labels=labels,
        spacing_mm=(1, 1, 1),
        normalisation={"MR": Normalisation(kind="none")},
        patch=(4, 4, 4),
        strides=((1, 1, 1), (2, 2, 2)),
        **told,
    )


def says(logits_KN: list[list[float]], of: Plan, answers: str = "classes") -> Predictor:
    return Predictor(Says(logits_KN), of, SlidingWindow((4, 4, 4)), torch.device("cpu"), answers)


def line(views: Views) -> list[int]:
    labels = views.segment({"MR": LINE}, case="a")
    assert labels.shape == (4, 4, 4)
    assert (labels == labels[:1, :1]).all()
    return labels[0, 0].tolist()  # type: ignore[no-any-return]


BLOB = {0: "background", 7: "blob"}
# Logits of the blob against 0. Votes: 3, 2, 1, 1; mean probabilities: 0.73, 0.42, 0.60, 0.28.
THREE = [[1.0, 0.5, 5.0, 1.0], [1.0, 0.5, -0.1, -3.0], [1.0, -5.0, -0.6, -3.0]]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"how": "vote"}, [7, 7, 0, 0]),
        ({"how": "mean"}, [7, 0, 7, 0]),
        ({"how": "threshold"}, [7, 0, 7, 0]),
        ({"how": "threshold", "threshold": 0.25}, [7, 7, 7, 7]),
        ({"how": "threshold", "threshold": 0.65}, [7, 0, 0, 0]),
    ],
)
@pytest.mark.parametrize("answers", ["classes", "regions"])
def test_ways_to_fuse(how: dict[str, Any], expected: list[int], answers: str) -> None:
    of = plan(BLOB) if answers == "classes" else plan(BLOB, regions={"blob": (7,)})
    logits = [[view] if answers == "regions" else [[0.0] * 4, view] for view in THREE]
    views = Views(tuple(says(each, of, answers) for each in logits), of, **how)
    assert line(views) == expected


def test_regions_are_voted_upon_one_by_one() -> None:
    labels = {0: "background", 1: "edema", 2: "core"}
    of = plan(labels, regions={"whole": (1, 2), "core": (2,)})
    views = [
        [[3.0, 3.0, -3.0, 3.0], [3.0, -3.0, -3.0, 3.0]],
        [[3.0, 3.0, 3.0, -3.0], [3.0, -3.0, -3.0, -3.0]],
        [[3.0, -3.0, -3.0, 3.0], [-3.0, 3.0, -3.0, 3.0]],
    ]
    assert line(Views(tuple(says(view, of, "regions") for view in views), of)) == [2, 1, 0, 2]


def test_each_voxel_takes_the_most_confident_organ() -> None:
    """Two models of one organ each, one of them in two views; the labels keep their values."""
    artery, vein = plan({0: "background", 5: "artery"}), plan({0: "background", 3: "vein"})
    models = (
        says([[0.0] * 4, [2.0, 1.0, -1.0, -1.0]], artery),
        says([[0.0] * 4, [1.0, 3.0, -1.0, 2.0]], vein),
        says([[0.0] * 4, [1.0, 3.0, -1.0, -3.0]], vein),
    )
    together = plan({0: "background", 3: "vein", 5: "artery"})
    assert line(Views(models, together, "organs")) == [5, 3, 0, 0]
    assert line(Views(models, together, "organs", threshold=0.45)) == [5, 3, 0, 3]


def test_networks_of_slabs_along_each_axis() -> None:
    """What the views see differs, the volume that comes out does not."""

    class Bright(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.cat([30 - image, image - 30], 1)

    of = plan(BLOB)
    network = Bright()
    views = tuple(
        Predictor(
            network,
            of.model_copy(update={"patch": tuple(3 if n == axis else 4 for n in range(3))}),
            Slabs(tuple(3 if n == axis else 4 for n in range(3)), axis, divisor=4),
            torch.device("cpu"),
        )
        for axis in range(3)
    )
    for how in ("vote", "mean"):
        labels = Views(views, of, how).segment({"MR": LINE}, case="a")
        assert np.array_equal(labels == 7, LINE.array > 30)


def edited(run: Path, **changes: Any) -> Path:
    """A copy of a run with another plan, beside it."""
    copy = run.parent / f"{run.name}-edited"
    shutil.copytree(run, copy)
    write_json(copy / "plan.json", {**Run(copy).read(copy / "plan.json"), **changes})
    return copy


def test_runs_that_do_not_go_together(world: Path, views: list[Path], tmp_path: Path) -> None:
    shutil.copytree(world / "runs", tmp_path / "runs")
    a, b, c = (tmp_path / view.relative_to(world) for view in views)
    with pytest.raises(UserError, match="two different runs or more"):
        load_views([a, a])
    with pytest.raises(UserError, match="unknown way to fuse 'votes'"):
        load_views([a, b], "votes")
    with pytest.raises(UserError, match=r"differ in spacing_mm: \[1.0, 1.0, 1.0\] and \[2.0, 1.0, 1.0\]"):
        load_views([a, edited(b, spacing_mm=[2.0, 1.0, 1.0])])
    other = edited(c, labels={"0": "background", "1": "liver", "2": "heart"})
    with pytest.raises(UserError, match="differ in labels"):
        fused([a, other])
    with pytest.raises(UserError, match="tells 5 structures apart"):
        fused([a, b], "organs")
    with pytest.raises(UserError, match="--fuse mean is for several runs"):
        commands.predict(a, scans(world), tmp_path / "out", fuse="mean")
    with pytest.raises(UserError, match="--fuse mean is for several runs"):
        commands.evaluate(a, fuse="mean")
    with pytest.raises(UserError, match="several runs are judged as one"):
        commands.evaluate([a, b], modalities=["MR"])
    whole = fused([a, b])
    with pytest.raises(UserError, match="has no trained weights of its own"):
        fused([a, whole.folder])
    write_json(
        b / "split.json", {"train": ["phantom_004", "phantom_005"], "validation": [], "test": ["phantom_000"]}
    )
    with pytest.raises(UserError, match="no case is a test case of all"):
        fused([a, b], "mean")


def test_cases_that_shaped_any_run_are_no_test_cases(world: Path, views: list[Path], tmp_path: Path) -> None:
    shutil.copytree(world / "runs", tmp_path / "runs")
    a, b, _ = (tmp_path / view.relative_to(world) for view in views)
    split = Run(a).read(a / "split.json")
    first, second = split["test"]
    changed = {"train": split["train"], "validation": [*split["validation"], first], "test": [second]}
    write_json(b / "split.json", changed)
    whole = fused([a, b])
    assert whole.read(whole.split) == changed
