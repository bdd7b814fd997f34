"""Studies that choose on validation cases: what is changed, what is kept, what is read."""

from __future__ import annotations

import json
import os
from math import prod
from pathlib import Path

import pytest
from evidence.by_validation import Row, Validated, collect, read
from evidence.dsd_regimes import jobs as regimes
from evidence.training_defaults import jobs as defaults
from evidence.training_defaults.changes import DEFAULT, Bench, Change

from distilseg.data.phantom.volumes import write_phantom
from distilseg.recipes import find
from distilseg.runs import Run, write_rows
from distilseg.training.studies import make_study

from ..training.small import small_study

CHANGES = {
    DEFAULT: Change(),
    "rate": Change({"learning_rate": 0.25}),
    "half": Change(patch=1 / 2),
    "one": Change(plan={"batch_size": 1}),
    "windows": Change(plan={"tissue_windows": {"CT": [(-160, 240)]}}),
}


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    write_phantom(folder / "phantom", cases=4, shape=(32, 32, 32), modalities=("CT",), layout="nnunet")
    return folder


def test_one_thing_is_changed_and_as_many_voxels_are_shown(
    scans: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voxels = 12.0 * 32**3
    monkeypatch.setitem(defaults.BENCHES, "phantom", Bench("phantom", voxels, CHANGES))
    made = {}
    for change in CHANGES:
        job = defaults.Job(
            "supervised", {"network": "student_tiny"}, {"bench": "phantom", "change": change, "seed": 0}
        )
        made[change] = defaults.experiment_of(job, str(scans))
    for experiment in made.values():
        plan = experiment.study.plan
        assert experiment.budget.steps == round(voxels / (prod(plan.patch) * plan.batch_size))
    plain = made[DEFAULT]
    assert plain.optimisation.learning_rate == 5e-3
    assert made["rate"].optimisation.learning_rate == 0.25
    assert 2 * prod(made["half"].study.plan.patch) <= prod(plain.study.plan.patch)
    assert made["one"].study.plan.batch_size == 1
    assert made["windows"].study.plan.tissue_windows == {"CT": ((-160, 240),)}
    assert len(made["windows"].networks["student"].tissue_windows) == 1
    assert plain.networks["student"].tissue_windows == ()
    assert len({experiment.key for experiment in made.values()}) == len(CHANGES)


@pytest.mark.parametrize("bench", defaults.BENCHES)
def test_what_was_chosen_are_the_defaults(bench: str) -> None:
    folder = Path(os.environ.get("DISTILSEG_DATA", "../shared/data"))
    if not (folder / defaults.BENCHES[bench].folder).is_dir():
        pytest.skip("the public scans are neither at $DISTILSEG_DATA nor at ../shared/data")
    job = defaults.Job(
        "supervised", {"network": "student_small"}, {"bench": bench, "change": defaults.CHOSEN, "seed": 0}
    )
    chosen = defaults.experiment_of(job, str(folder))
    plain = find("supervised")(
        make_study(folder / defaults.BENCHES[bench].folder), network="student_small"
    ).with_settings(chosen.budget)
    assert chosen.key == plain.key


def test_every_way_of_a_regime_is_an_experiment_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = small_study(tmp_path / "scans")
    monkeypatch.setitem(regimes.FOLDERS, "phantom", study.dataset.folder.name)
    keys = set()
    for way, (recipe, options) in regimes.WAYS.items():
        job = regimes.Job(recipe, dict(options), {"regime": ["phantom", 8, 0.1], "way": way, "seed": 0})
        keys.add(regimes.experiment_of(job, str(study.dataset.folder.parent)).key)
    assert len(keys) == len(regimes.WAYS)


def finished(folder: Path, seed: int, dice: float) -> None:
    run = Run(folder / f"supervised-{seed}")
    run.folder.mkdir(parents=True)
    run.experiment.write_text(
        json.dumps({"seed": seed, "dataset": {"folder": "/data/phantom"}, "asked": {"way": "plain"}})
    )
    for path in (run.plan, run.split):
        path.write_text("{}")
    run.status.write_text(
        json.dumps({"steps": 8, "seconds": 90.0, "best_step": 6, "best_validation_dice": dice})
    )
    rows = [{"step": step, "mean": dice * step / 6, "liver": dice * step / 6} for step in (4, 6)]
    write_rows(run.validation, rows)


def test_rows_are_read_from_what_was_kept(tmp_path: Path) -> None:
    for seed, dice in enumerate((0.5, 0.75)):
        finished(tmp_path / "runs", seed, dice)
    (tmp_path / "runs" / "supervised-0" / "best.safetensors").write_bytes(b"weights")
    collect(str(tmp_path / "runs"), tmp_path / "results")
    assert not list((tmp_path / "results").rglob("*.safetensors"))
    assert "/data" not in (tmp_path / "results" / "supervised-0" / "experiment.json").read_text()
    (row,) = read(tmp_path / "results", lambda about: about["asked"]["way"], ["plain"]).values()
    assert row.dice == 0.625
    assert row.by_structure() == {"liver": 0.625}
    assert row.runs[1] == Validated(0.75, {"liver": 0.75}, 8, 6, 1.5)
    assert Row({1: row.runs[1]}).less(row) == [0.0]
    with pytest.raises(SystemExit, match="no run of: DSD"):
        read(tmp_path / "results", lambda about: about["asked"]["way"], ["plain", "DSD"])
