"""Plans for a budget: what is chosen and why, by a model that counts as prediction does, and for real."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distilseg.cli import main
from distilseg.commands import plan as plan_command
from distilseg.commands._plan import within_budget
from distilseg.data.case import Case, Dataset
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.decide import make_plan
from distilseg.data.planning.fingerprint import Fingerprint, measure
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan, load_plan
from distilseg.errors import UserError
from distilseg.export.candidates import NETWORKS, OVERLAPS, drafts, worth
from distilseg.export.cost_model import CaseCost, Line, NetworkCost, cut, fitted, peak_bytes, seconds
from distilseg.export.cost_probe import Machine, Measured, WindowCost, engine_here, student_spec
from distilseg.export.within_budget import Limits, WithinBudget, limits_of, plan_within
from distilseg.networks.build import build
from distilseg.recipes import find
from distilseg.runtime.inferers import make_inferer, planned_inferer

from ..training.small import small_study

SHAPES = {"whole": (40, 40, 40), "anisotropic": (48, 40, 16)}


def a_plan(patch: tuple[int, ...], overlap: float = 0.25, network: str = "student_tiny") -> Plan:
    return Plan(
        dataset="phantom",
        modalities=("CT", "PET"),
        labels={0: "background", 1: "one", 2: "two"},
        spacing_mm=(1.0, 1.0, 1.0),
        normalisation={name: Normalisation(kind="zscore") for name in ("CT", "PET")},
        patch=patch,
        strides=((1, 1, 1), (2, 2, 2)),
        network=network,
        overlap=overlap,
    )


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(*[st.integers(3, 30)] * 3),
    patch=st.tuples(*[st.sampled_from([1, 4, 8, 14])] * 3).filter(lambda patch: patch.count(1) <= 1),
    overlap=st.sampled_from([0.0, *OVERLAPS]),
)
def test_windows_are_counted_as_prediction_cuts_them(
    shape: tuple[int, ...], patch: tuple[int, ...], overlap: float
) -> None:
    plan, shown = a_plan(patch, overlap), []

    def network(windows: Any) -> Any:
        shown.append(len(windows))
        return np.zeros((len(windows), 3, *windows.shape[2:]), np.float32)

    make_inferer(planned_inferer(plan))(np.zeros((2, *shape), np.float32), network)
    how = cut(plan, shape)
    assert (how.windows, how.at_once) == (sum(shown), max(shown))
    planes = 1 if plan.slice_axis is None else shape[plan.slice_axis]
    assert how.blended == (how.windows > planes)


def test_a_line_is_found_again_and_never_falls() -> None:
    line = fitted([(x, 0.2 + 0.5 * x) for x in (0.1, 1.0, 7.0)])
    assert (line.start, line.slope) == pytest.approx((0.2, 0.5))
    assert fitted([(2.0, 3.0)])(2.0) == pytest.approx(3.0)
    falling = fitted([(1.0, 3.0), (2.0, 2.0)])
    assert falling.start >= 0
    assert falling(2.0) >= falling(1.0)


NETWORK = NetworkCost(Line(0.001, 0.01), Line(0.002, 0.02), 1e8, Line(1e6, 1e7))


@pytest.mark.parametrize("patch", [(16, 16, 16), (16, 16, 1)])
def test_more_windows_more_overlap_and_larger_cases_cost_more(patch: tuple[int, ...]) -> None:
    def cost(overlap: float, size: int) -> tuple[float, float]:
        case = CaseCost({"reading": 0.5, "writing": 0.25}, (size, size, 20), 1000, 2000)
        plan = a_plan(patch, overlap)
        return seconds(plan, 0.1, NETWORK, case), peak_bytes(plan, 0.1, NETWORK, case)

    by_overlap = [cost(overlap, 60) for overlap in (0.0, 0.125, 0.25, 0.5)]
    assert by_overlap == sorted(by_overlap)
    assert by_overlap[0][0] < by_overlap[-1][0]
    by_size = [cost(0.25, size) for size in (16, 20, 40, 80)]
    for one, larger in itertools.pairwise(by_size):
        assert one[0] < larger[0]
        assert one[1] < larger[1]


def test_seconds_and_memory_by_hand() -> None:
    plan, case = a_plan((16, 16, 16)), CaseCost({"reading": 0.5}, (28, 16, 16), 1000, 2000)
    # two windows, each 0.002 + 0.02 * 0.1 s
    assert seconds(plan, 0.1, NETWORK, case) == pytest.approx(0.5 + 2 * 0.004)
    # image and two windows of 2 modalities, logits of 3 classes, 4 bytes each
    arrays = 4 * (2 * (28 * 256 + 2 * 4096) + 3 * 28 * 256)
    assert peak_bytes(plan, 0.1, NETWORK, case) == 1e8 + 1e6 + 1e7 * 0.2 + 1000 + arrays + 2000


class Stub(Machine):
    """A machine on which everything costs what its size says."""

    def __init__(self) -> None:
        super().__init__("openvino", Path("nowhere"))

    def gmac(self, plan: Plan) -> float:
        return math.prod(plan.patch) / 1e6 * (1 + 2 * NETWORKS[::-1].index(plan.network or ""))

    def windows(self, plan: Plan) -> WindowCost:
        s, n = self.gmac(plan), 4
        return WindowCost(s, 1.2 * s, 10**8, ((1, int(1e8 * s)), (n, int(1e8 * s * n))))

    def beside(self, plan: Plan, cases: Sequence[Case]) -> list[CaseCost]:
        by_hand = dict.fromkeys(("reading", "preparing", "label export", "writing"), 0.0001)
        shape = [round(40 / mm) for mm in plan.spacing_mm]
        return [CaseCost(by_hand, tuple(shape), 10**5, 10**6) for _ in cases]

    def end_to_end(self, plan: Plan, cases: Sequence[Case]) -> list[Measured]:
        return [Measured({"network": 1.0}, 10**8) for _ in cases]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Dataset, Fingerprint]]:
    found = {}
    for name, shape in SHAPES.items():
        folder = tmp_path_factory.mktemp(name)
        spacing = (1.0, 1.0, 4.0) if name == "anisotropic" else (1.0, 1.0, 1.0)
        write_phantom(folder, cases=3, shape=shape, spacing_mm=spacing, modalities=("CT", "PET"))
        dataset = read_dataset(folder)
        found[name] = dataset, measure(dataset)
    return found


def chosen(world: tuple[Dataset, Fingerprint], limits: Limits, **options: Any) -> WithinBudget:
    return plan_within(*world, limits, Stub(), **options)


def test_a_smaller_budget_never_buys_a_dearer_plan(world: dict[str, tuple[Dataset, Fingerprint]]) -> None:
    for name in ("seconds", "bytes"):
        roomy = chosen(world["whole"], Limits(10.0, 1e12)).chosen
        assert (roomy.plan.network, roomy.plan.overlap) == ("student_base", OVERLAPS[0])
        spent, networks = [], []
        highest = roomy.median_s if name == "seconds" else roomy.peak_bytes
        for share in np.linspace(1.0, 0.02, 40).tolist():
            try:
                one = chosen(world["whole"], replace(Limits(10.0, 1e12), **{name: highest * share})).chosen
            except UserError:
                break
            spent.append(one.median_s if name == "seconds" else one.peak_bytes)
            networks.append((one.plan.spacing_mm[0], NETWORKS.index(str(one.plan.network))))
            assert spent[-1] <= highest * share
        assert spent == sorted(spent, reverse=True)
        assert networks == sorted(networks)
        assert len(set(networks)) > 2


def test_a_coarser_spacing_is_the_last_resort_and_at_most_twice_as_coarse(
    world: dict[str, tuple[Dataset, Fingerprint]],
) -> None:
    found = chosen(world["whole"], Limits(0.02))
    assert found.plan.spacing_mm[0] > 1
    finer = [one for one in found.considered if one.plan.spacing_mm[0] < found.plan.spacing_mm[0]]
    assert finer
    assert not any(one.fits(found.limits) for one in finer)
    assert "nothing finer fits" in found.plan.reasons["spacing_mm"]
    with pytest.raises(
        UserError, match=r"up to 2 times the planned spacing: the cheapest, student_tiny at 2x2x2"
    ):
        chosen(world["whole"], Limits(1e-3))
    with pytest.raises(UserError, match=r"on this machine: the cheapest, student_tiny at 1x1x1 mm"):
        chosen(world["whole"], Limits(1e-3), spacing_mm=(1.0, 1.0, 1.0))


def test_a_coarse_axis_is_not_made_coarser(world: dict[str, tuple[Dataset, Fingerprint]]) -> None:
    found = chosen(world["anisotropic"], Limits(0.01))
    assert found.plan.spacing_mm[0] > 1
    assert found.plan.spacing_mm[2] == 4


def test_the_budget_that_would_do_does(world: dict[str, tuple[Dataset, Fingerprint]]) -> None:
    with pytest.raises(UserError) as refused:
        chosen(world["whole"], Limits(1e-6, 1e6))
    words = refused.value.fix.split()
    found = chosen(world["whole"], limits_of(float(words[2]), words[4]))
    assert found.chosen.plan.network == "student_tiny"


@pytest.mark.parametrize("slices", [False, True])
@pytest.mark.parametrize("name", list(SHAPES))
def test_every_candidate_is_taken_by_its_network(
    world: dict[str, tuple[Dataset, Fingerprint]], name: str, slices: bool
) -> None:
    plan = make_plan(*world[name], slices=slices)
    found = drafts(plan, world[name][1], keep_patch=False)
    assert {draft.network for draft in found} == set(NETWORKS)
    assert {draft.overlap for draft in found} == set(OVERLAPS)
    assert len({draft.patch for draft in found}) > 1
    for draft in found:
        build(student_spec(draft))
        assert draft.slice_axis == plan.slice_axis
    assert min(worth(draft, plan.patch) for draft in found) == (0, False, 0)


def test_what_is_given_is_kept(world: dict[str, tuple[Dataset, Fingerprint]]) -> None:
    found = chosen(world["whole"], Limits(10.0), patch=(16, 16, 16), spacing_mm=(2.0, 2.0, 2.0))
    assert {one.plan.patch for one in found.considered} == {(16, 16, 16)}
    assert {one.plan.spacing_mm for one in found.considered} == {(2.0, 2.0, 2.0)}
    with pytest.raises(
        UserError, match=r"no student takes the plan's patch of 16x16x16 voxels with 2 levels"
    ):
        chosen(world["whole"], Limits(10.0), patch=(16, 16, 16), levels=2)


def test_a_system_that_tells_no_memory_takes_no_budget_of_it(
    world: dict[str, tuple[Dataset, Fingerprint]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Stub, "windows", lambda self, plan: WindowCost(0.1, 0.1, 0, ((1, 1), (4, 1))))
    with pytest.raises(UserError, match=r"does not tell what memory .* leave out --max-memory"):
        chosen(world["whole"], Limits(10.0, 1e9))
    assert chosen(world["whole"], Limits(10.0)).plan.network == "student_base"


def test_what_a_budget_leaves_to_windows_is_in_the_plan(
    world: dict[str, tuple[Dataset, Fingerprint]],
) -> None:
    found = chosen(world["whole"], Limits(10.0, 1e9))
    beside = found.chosen.peak_bytes - found.chosen.activation_bytes
    assert found.plan.window_bytes == pytest.approx(1e9 - beside, abs=1)
    assert found.plan.window_bytes > found.chosen.activation_bytes > 0
    assert "1 GB leave" in found.plan.reasons["window_bytes"]
    assert chosen(world["whole"], Limits(10.0)).plan.window_bytes is None
    assert chosen(world["whole"], Limits(10.0, 1e9), slices=True).plan.window_bytes is None
    assert "window_bytes" not in make_plan(*world["whole"]).model_dump(mode="json")


def test_sizes_of_memory() -> None:
    sizes = {
        "800MB": 8e8,
        "1GB": 1e9,
        "1GiB": 2**30,
        "1.5 gb": 1.5e9,
        ".5TB": 5e11,
        "512kib": 2**19,
        1e9: 1e9,
    }
    assert {text: limits_of(None, text).bytes for text in sizes} == sizes
    for wrong in ("1XB", "-1GB", "GB", "0MB", "nan", ""):
        with pytest.raises(UserError, match=r"is no size of memory; write it as 800MB, 1GB or 1GiB"):
            limits_of(None, wrong)
    for none in (0, -1, math.inf, math.nan):
        with pytest.raises(UserError, match=r"give --max-seconds above 0"):
            limits_of(none, None)


def test_training_takes_what_the_plan_recommends(tmp_path: Path) -> None:
    study = small_study(tmp_path)
    before = find("supervised")(study)
    assert "network" not in study.plan.model_dump(mode="json")
    assert before.inferer["overlap"] == 0.25
    study = replace(study, plan=study.plan.model_copy(update={"network": "student_tiny", "overlap": 0.5}))
    for recipe in ("supervised", "dual_self_distillation", "dsd_basic", "dsd_ds", "dsd_t1", "dsd_reversed"):
        experiment = find(recipe)(study)
        assert experiment.networks["student"].name == "student_tiny"
        assert experiment.inferer["overlap"] == 0.5
        if experiment.control is not None:
            assert experiment.control.networks == experiment.networks
    assert find("supervised")(study, network="unet").networks["student"].name == "unet"
    named = find("supervised")(study, network_options={"filters": [4, 8, 8]})
    assert named.networks["student"].name == "dynunet"
    assert find("kd_net_teacher")(study).networks["student"].name == "kd_net"
    assert find("dsd_paper_hippocampus")(study).networks["student"].name == "dynunet"
    assert study.plan.preprocessing() == before.study.plan.preprocessing()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept")


def test_a_budget_for_real(
    world: dict[str, tuple[Dataset, Fingerprint]], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = world["whole"][0]
    told: list[tuple[int, int]] = []
    options: dict[str, Any] = {"max_seconds": 60.0, "max_memory": "4GB", "cache": kept, "patch": (32, 32, 32)}
    found = within_budget(dataset, progress=lambda *at: told.append(at), **options)
    assert found.plan.network == "student_base"
    assert engine_here() in found.machine
    assert told[-1][0] == told[-1][1] == 5  # three networks, cases beside them, end to end
    median, largest = found.measured
    assert min(median.stages_s.values()) > 0
    assert list(median.stages_s) == ["reading", "preparing", "network", "label export", "writing"]
    assert found.chosen.peak_bytes / largest.peak_bytes == pytest.approx(1, abs=0.4)
    assert 0.05 < found.chosen.largest_s / largest.seconds < 20  # others may be busy at one of the two times

    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("it is measured already"))
    again = within_budget(dataset, **options)
    assert again == found
    with pytest.raises(pytest.fail.Exception, match="measured already"):
        within_budget(dataset, measure_again=True, **options)


def test_slices_in_eager_pytorch(world: dict[str, tuple[Dataset, Fingerprint]], tmp_path: Path) -> None:
    dataset, fingerprint = world["anisotropic"]
    machine = Machine("torch", tmp_path)
    options = {"slices": True, "levels": 3, "spacing_mm": (1.0, 1.0, 4.0)}
    plan = make_plan(dataset, fingerprint, **options).model_copy(
        update={"network": "student_tiny", "overlap": 0.5}
    )
    one = machine.windows(plan)
    assert one.window_s > 0
    assert one.blended_s > 0
    (measured,) = machine.end_to_end(plan, dataset.cases[:1])
    (beside,) = machine.beside(plan, dataset.cases[:1])
    assert beside.working_shape == SHAPES["anisotropic"]
    assert set(beside.stages_s) == set(measured.stages_s) - {"network"}
    assert measured.peak_bytes > one.loaded_bytes


def test_the_command_line(
    world: dict[str, tuple[Dataset, Fingerprint]],
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda name: str(kept))
    out = tmp_path / "plan.json"
    folder = str(world["whole"][0].folder)
    words = ["plan", folder, "--patch", "32,32,32", "--max-seconds", "60", "--max-memory", "4GB"]
    assert main([*words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    for word in ("student_base", "chosen", "predicted", "measured", "seconds, largest case", "memory"):
        assert word in said
    made = load_plan(out)
    assert (made.network, made.overlap) == ("student_base", 0.5)
    assert "network" in json.loads(out.read_text())["reasons"]
    assert plan_command(folder, max_seconds=60, max_memory=4e9, patch=(32, 32, 32)) == made
    assert main(["plan", folder, "--max-memory", "1XB"]) == 2
    assert main(["plan", folder, "--max-seconds", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
