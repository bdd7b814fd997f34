"""Recorded teachers: the same training where recording changes nothing, found again, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.data.sampling.augment import apply_geometry, draw
from distilseg.data.sampling.augmentation import Augmentation, Chance
from distilseg.data.sampling.batches import batches
from distilseg.data.sampling.maps import CaseMap, open_map
from distilseg.data.sampling.slices import sliced
from distilseg.recipes import find
from distilseg.runs import Run, read_rows
from distilseg.training.budget import Budget
from distilseg.training.cases import make_sampler, prepare
from distilseg.training.experiment import Experiment, Finished, Study
from distilseg.training.machine import Machine
from distilseg.training.objective import Objective
from distilseg.training.recorded import choose
from distilseg.training.trained import trained

from .small import NETWORK, small_study

CPU = Machine(device="cpu", precision="32-true")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Phantoms as large as the patch: a patch is the whole case, at voxel 0."""
    study = small_study(tmp_path_factory.mktemp("scans"), cases=5)
    return replace(study, plan=study.plan.model_copy(update={"patch": (20, 20, 20)}))


def kd(study: Study, how: str, *, steps: int = 4, **settings: Any) -> Experiment:
    experiment = find("kd_net")(study, network_options=NETWORK, teacher_outputs=how)
    return experiment.with_settings(Budget(steps=steps), validations=1, **settings)


def make(experiment: Experiment, folder: Path) -> Run:
    return trained(experiment, runs=folder / "runs", machine=CPU, cache=folder / "cache")


@pytest.mark.parametrize("axis", [None, 0, 2])
def test_equals_a_live_teacher_where_nothing_is_augmented(
    study: Study, tmp_path: Path, axis: int | None
) -> None:
    """Of volumes, and of slices across an axis with 2D networks.

    The student stays as it began: a step would turn half precision into another student.
    """
    if axis is not None:
        coarse = tuple(3.0 if n == axis else 1.0 for n in range(3))
        plan = sliced(study.plan.model_copy(update={"spacing_mm": coarse}))
        study = replace(study, plan=plan.model_copy(update={"spacing_mm": (1.0, 1.0, 1.0), "batch_size": 2}))
    teacher = make(kd(study, "live").teachers["teacher"], tmp_path)
    trained_before = {"teacher": Finished(teacher.folder)}
    still: dict[str, Any] = {"augmentation": "none", "learning_rate": 1e-9}
    live, recorded = (
        make(replace(kd(study, how, **still), teachers=trained_before), tmp_path)
        for how in ("live", "recorded")
    )
    rows = zip(read_rows(live.losses), read_rows(recorded.losses), strict=True)
    for a, b in rows:
        for term in ("seg", "soft_labels", "latent"):
            assert float(b[term]) == pytest.approx(float(a[term]), rel=1e-3)  # half precision
    assert recorded.read(recorded.experiment)["machine"]["teacher_outputs"]["recorded"] is True
    assert live.name != recorded.name


def test_flips_move_the_recorded_maps_with_the_image(study: Study, tmp_path: Path) -> None:
    """Augmented, a batch's maps are those of the clean batch moved by the same draw."""
    prepared = prepare(kd(study, "recorded"), tmp_path / "cache")
    sampler = make_sampler(kd(study, "recorded"), prepared)
    maps: dict[str, dict[str, CaseMap]] = {}
    for id, case in prepared.items():
        np.save(tmp_path / f"{id}.npy", np.array(case.image).astype(np.float16))
        maps[id] = {"teacher/logits": open_map(tmp_path / f"{id}.npy", (1, 1, 1))}
    flips = Augmentation(flip=0.5)
    for step in range(3):
        (batch,) = batches(sampler, flips, batch_size=2, first_step=step, steps=1, maps=maps)
        torch.testing.assert_close(batch.maps["teacher/logits"].float(), batch.image, rtol=1e-3, atol=1e-3)


def test_a_coarse_map_is_turned_as_the_fine_one_is() -> None:
    turned = draw(Augmentation(flip=0.5, rotate90=1.0, rotate_degrees=Chance(1.0, -10, 10)), 0, [0, 1], 3)
    coarse = torch.randn(2, 3, 5, 5, 5)
    fine = coarse.repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    moved = apply_geometry(fine, turned, "bilinear")
    pooled = torch.nn.functional.avg_pool3d(moved, 4)
    direct = apply_geometry(coarse, replace(turned, spacing_mm=(4.0, 4.0, 4.0)), "bilinear")
    assert torch.corrcoef(torch.stack([pooled.flatten(), direct.flatten()]))[0, 1] > 0.9


def test_recordings_are_found_again_and_whole(study: Study, tmp_path: Path) -> None:
    make(kd(study, "recorded"), tmp_path)
    entries = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache" / "teachers").rglob("*.npy")}
    assert len(entries) == 2 * len(study.split.train)  # logits and bottleneck of each training case
    make(kd(study, "recorded", steps=5, learning_rate=1e-3), tmp_path / "other")  # another teacher: its own
    make(replace(kd(study, "recorded"), recipe="kd_again"), tmp_path)
    assert entries == {p: p.stat().st_mtime_ns for p in (tmp_path / "cache" / "teachers").rglob("*.npy")}
    assert not list((tmp_path / "cache" / "teachers").glob(".writing-*"))


def test_who_needs_less_of_a_teacher_finds_it_recorded(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soft labels alone need no bottleneck: the logits recorded beside one serve."""
    make(kd(study, "recorded", steps=1), tmp_path)
    monkeypatch.setattr("distilseg.training.recorded.stitched", None)  # recording would fail
    soft = find("kd_net")(study, network_options=NETWORK, teacher_outputs="recorded", alpha=0.0)
    run = make(soft.with_settings(Budget(steps=1), validations=1), tmp_path)
    assert run.read(run.experiment)["machine"]["teacher_outputs"]["recorded"]


def test_a_recorded_teacher_needs_no_memory(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[set[str]] = []
    original = Objective.__init__

    def watched(self: Objective, method: Any, networks: Any, recorded: Any = ()) -> None:
        held.append(set(networks))
        original(self, method, networks, recorded)

    monkeypatch.setattr(Objective, "__init__", watched)
    make(kd(study, "recorded", steps=1), tmp_path)
    make(kd(study, "live", steps=1), tmp_path)
    assert held[-2:] == [{"student"}, {"student", "teacher"}]


def test_the_choice_counts_passes(study: Study, tmp_path: Path) -> None:
    prepared = prepare(kd(study, "auto"), tmp_path / "cache")
    cases = list(prepared.values())
    arguments = (cases, (16, 16, 16), (4, 4, 4))
    assert choose("live", *arguments, Budget(steps=1), 10, 2) == (False, "as asked")
    # 20 voxels with windows of 16 at steps of 8: 2 windows an axis, 8 a case.
    few, why = choose("auto", *arguments, Budget(steps=2), 10, 2)
    many, _ = choose("auto", *arguments, Budget(epochs=100), 10, 2)
    assert (few, many) == (False, True)
    assert why == f"{8 * len(cases)} passes of the teacher to record, 4 to run it at every step"
    assert choose("auto", *arguments, Budget(minutes=1), 10, 2)[0]
