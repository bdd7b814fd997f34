"""Decisions on known measurements, and one refusal for each plan that cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilseg.data.case import Dataset
from distilseg.data.formats import read_dataset
from distilseg.data.planning.decide import is_ct, make_plan
from distilseg.data.planning.fingerprint import CaseMeasures, Fingerprint, Intensities, measure
from distilseg.data.planning.levels import level_strides, patch_size, to_multiples
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan, check_plan, load_plan, save_plan
from distilseg.errors import UserError

CT = Intensities(percentile_00_5=-99, median=32, percentile_99_5=127, mean=29.35217, std=48.8244)
MR = Intensities(percentile_00_5=0, median=400, percentile_99_5=9e5, mean=2e4, std=6e4)


def measured(
    shapes: list[tuple[int, ...]],
    spacings: list[tuple[float, ...]] | None = None,
    *,
    nonzero: float = 1.0,
    **intensities: Intensities,
) -> tuple[Dataset, Fingerprint]:
    intensities = intensities or {"MRI": MR}
    cases = tuple(
        CaseMeasures(
            id=f"case_{i}",
            orientation="RAS",
            shape=shape,
            nonzero_shape=tuple(round(n * nonzero) for n in shape),
            spacing_mm=spacings[i] if spacings else (1, 1, 1),
            voxels={0: 100, 1: 5},
            range=dict.fromkeys(intensities, (0, 1)),
        )
        for i, shape in enumerate(shapes)
    )
    dataset = Dataset("Set", Path("set"), "msd", tuple(intensities), {0: "background", 1: "organ"}, ())
    return dataset, Fingerprint(dataset="Set", cases=cases, intensities=intensities)


HIPPOCAMPUS = measured([(31, 40, 24), (35, 50, 36), (43, 59, 47)])


def test_hippocampus_like() -> None:
    plan = make_plan(*HIPPOCAMPUS)
    assert plan.patch == (32, 48, 32)
    assert plan.strides == ((1, 1, 1), *[(2, 2, 2)] * 4)
    assert plan.total_stride == (16, 16, 16)
    assert plan.spacing_mm == (1, 1, 1)
    assert plan.normalisation == {"MRI": Normalisation(kind="zscore")}
    assert (plan.crop, plan.orientation, plan.interpolation, plan.batch_size) == ("none", "RAS", "linear", 2)
    assert set(plan.reasons) == {"spacing_mm", "crop", "normalisation", "patch", "strides"}
    assert plan.classes == ("background", "organ")


def test_ct_takes_window_and_scale_from_the_set() -> None:
    plan = make_plan(*measured([(64, 64, 64)], CT=CT, PET=MR))
    assert plan.normalisation["CT"] == Normalisation(
        kind="window_zscore", low=-99, high=127, mean=29.3522, std=48.8244
    )
    assert plan.normalisation["PET"].kind == "zscore"
    flat = make_plan(*measured([(64, 64, 64)], CT=CT.model_copy(update={"std": 0.0})))
    assert flat.normalisation["CT"].kind == "zscore"


def test_tissue_windows_are_told_as_networks_see_them() -> None:
    shapes = [(64, 64, 64)]
    plan = make_plan(*measured(shapes, CT=CT, PET=MR), tissue_windows={"CT": [(-20, 80), (0, 40)]})
    assert plan.tissue_windows == {"CT": ((-20, 80), (0, 40))}
    assert plan.reasons["tissue_windows"] == "given"
    mean, std = plan.normalisation["CT"].mean, plan.normalisation["CT"].std
    first, second = plan.network_tissue_windows()
    assert first == (0, (-20 - mean) / std, (80 - mean) / std)
    assert plan.network_tissue_windows(("PET", "CT"))[1] == (1, *second[1:])
    assert plan.seeing(["PET"]).tissue_windows == {}
    without = make_plan(*measured(shapes, CT=CT))
    assert without.tissue_windows == {}
    assert "tissue_windows" not in without.model_dump()  # runs of before there were any keep their names
    scaled = make_plan(
        *measured(shapes, CT=CT), normalisation="range:0:100", tissue_windows={"CT": [(25, 50)]}
    )
    assert scaled.network_tissue_windows() == ((0, 0.25, 0.5),)


@pytest.mark.parametrize(
    ("normalisation", "windows", "message"),
    [
        (None, [(-1000, -400)], r"CT from -1000 to -400 .* cut off below -99 and above 127"),
        ("range:-175:250", [(250, 400)], r"cut off below -175 and above 250 .*=range:LOW:HIGH"),
        ("range:-175:250", [(-1e30, 1e38)], r"would be the same everywhere"),
        (None, [(-1e308, 1e308)], r"cannot be computed in single precision"),
        (None, [(0, 1e-320)], r"cannot be computed in single precision"),
        ("none", [(0, 1e-42)], r"cannot be computed in single precision"),
        (None, [(0, 40), (0, 40)], r"CT has one window twice"),
    ],
)
def test_a_tissue_window_that_shows_nothing_is_refused(
    normalisation: str | None, windows: list[tuple[float, float]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(
            *measured([(64, 64, 64)], CT=CT), normalisation=normalisation, tissue_windows={"CT": windows}
        )


def test_a_tissue_window_may_reach_beyond_what_is_cut_off() -> None:
    told = {"CT": [(-160.0, 60.0), (100.0, 1000.0)]}
    assert make_plan(*measured([(64, 64, 64)], CT=CT), tissue_windows=told).tissue_windows["CT"]


@pytest.mark.parametrize("name", ["CT", "ct", "CT_portal", "low-dose CT", "CTA"])
def test_names_of_ct(name: str) -> None:
    assert is_ct(name)


@pytest.mark.parametrize("name", ["MRI", "PET", "OCT", "FLAIR", "T1", "contrast", "PT", ""])
def test_names_of_others(name: str) -> None:
    assert not is_ct(name)


def test_spacing_of_an_anisotropic_set() -> None:
    spacings = [(1.0, 1.0, float(z)) for z in (2, 4, 5, 5, 5)]
    dataset, fingerprint = measured([(100, 100, 20)] * 5, spacings)
    plan = make_plan(dataset, fingerprint)
    assert plan.spacing_mm == (1, 1, pytest.approx(np.percentile([2, 4, 5, 5, 5], 10)))
    nearly = measured([(100, 100, 20)] * 5, [(1, 1, 2.9)] * 5)
    assert make_plan(*nearly).spacing_mm == (1, 1, 2.9)


def test_a_coarse_axis_is_pooled_later() -> None:
    plan = make_plan(*measured([(128, 128, 32)], [(1, 1, 4)]))
    assert plan.strides == ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 2))
    assert plan.patch == (64, 64, 16)


def test_a_single_slice_is_never_pooled() -> None:
    plan = make_plan(*measured([(64, 64, 1)]))
    assert plan.patch == (64, 64, 1)
    assert plan.total_stride == (16, 16, 1)


def test_orientation_permutes_everything() -> None:
    dataset, fingerprint = measured([(30, 60, 90)], [(1, 1.5, 2)])
    ras, sar = make_plan(dataset, fingerprint), make_plan(dataset, fingerprint, orientation="SPL")
    for field in ("spacing_mm", "patch", "total_stride"):
        assert getattr(sar, field) == tuple(getattr(ras, field)[axis] for axis in (2, 1, 0))


def test_mostly_empty_sets_are_cropped() -> None:
    dataset, fingerprint = measured([(100, 100, 100)], nonzero=0.5)
    assert make_plan(dataset, fingerprint).crop == "nonzero"
    assert make_plan(dataset, fingerprint).patch == (48, 48, 48)  # 50 voxels are left of 100
    assert make_plan(dataset, fingerprint, patch_voxels=64**3, crop="none").patch == (64, 64, 64)


@pytest.mark.parametrize(("edge", "patch"), [(64, 64), (72, 64), (76, 48), (300, 48)])
def test_a_patch_that_is_a_small_part_of_a_case_is_smaller_still(edge: int, patch: int) -> None:
    plan = make_plan(*measured([(edge, edge, edge)]))
    assert plan.patch == (patch,) * 3
    assert make_plan(*measured([(edge, edge, edge)]), patch_voxels=64**3).patch == (64, 64, 64)
    assert make_plan(*measured([(100, 100, 100)], nonzero=0.95)).crop == "none"


sizes = st.tuples(*[st.integers(4, 300)] * 3)
lengths = st.tuples(*[st.floats(0.3, 6)] * 3)


@given(shape=sizes, spacing_mm=lengths, levels=st.integers(2, 6))
def test_every_patch_decided_is_one_that_works(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...], levels: int
) -> None:
    median = np.array(shape, float)
    size = patch_size(median, spacing_mm, 64**3)
    strides = level_strides(size, spacing_mm, levels, whole=False)
    total = np.prod(strides, axis=0)
    patch = np.array(to_multiples(size, total, 64**3))
    assert 2 <= len(strides) <= levels
    assert patch.prod() <= 64**3
    assert (patch % total == 0).all()
    assert (patch // total)[total > 1].min() >= 2
    assert (patch <= np.ceil(median / total) * total).all()


@given(shape=sizes, spacing_mm=lengths)
def test_a_patch_is_a_cube_in_mm_cut_to_the_case(
    shape: tuple[int, ...], spacing_mm: tuple[float, ...]
) -> None:
    median = np.array(shape, float)
    size = patch_size(median, spacing_mm, 32**3)
    assert (size <= median).all()
    if median.prod() > 32**3 and size.min() > 1:
        assert size.prod() == pytest.approx(32**3, rel=1e-3)
        extents = (size * spacing_mm)[size < median * 0.9999]
        assert extents.max() == pytest.approx(extents.min(), rel=1e-3)


def test_what_is_given_is_kept() -> None:
    plan = make_plan(
        *measured([(64, 64, 64)], CT=CT, MRI=MR),
        spacing_mm=(2, 2, 2),
        patch=(16, 32, 32),
        batch_size=7,
        normalisation={"MRI": "percentile", "CT": "range:-175:250"},
        levels=3,
        crop="nonzero",
        interpolation="cubic",
        orientation="LPS",
    )
    assert (plan.spacing_mm, plan.patch, plan.batch_size) == ((2, 2, 2), (16, 32, 32), 7)
    assert plan.normalisation["MRI"].kind == "percentile"
    assert plan.normalisation["CT"] == Normalisation(kind="range", low=-175, high=250)
    assert (len(plan.strides), plan.crop, plan.interpolation, plan.orientation) == (
        3,
        "nonzero",
        "cubic",
        "LPS",
    )
    one_for_all = make_plan(*measured([(64, 64, 64)], CT=CT, MRI=MR), normalisation="minmax")
    assert {n.kind for n in one_for_all.normalisation.values()} == {"minmax"}
    own = Normalisation(kind="range", low=0, high=3)
    assert make_plan(*HIPPOCAMPUS, normalisation={"MRI": own}).normalisation["MRI"] == own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"patch": (128, 128, 128)},
            r"no case fills the 128 voxels of axis 0, the largest has 43.*at most 48",
        ),
        ({"patch": (16, 16, 16), "levels": 5}, r"cannot carry 5 levels.*one voxel"),
        ({"levels": 6}, r"cannot carry 6 levels.*use 5 levels"),
        ({"levels": 7}, r"too many"),
        ({"levels": 0}, r"too few"),
        ({"patch": (33, 33, 33)}, r"even axis"),
        ({"patch": (32, 32)}, r"patch \[32, 32\] is no size"),
        ({"patch": (32, 32, -32)}, r"is no size"),
        ({"spacing_mm": (1, 0, 1)}, r"spacing_mm \[1, 0, 1\] is no size"),
        ({"spacing_mm": (1, 1)}, r"three numbers"),
        ({"batch_size": 0}, r"batch_size must be greater than 0, not 0"),
        ({"normalisation": "z-score"}, r"did you mean 'zscore'"),
        ({"normalisation": {"MR": "zscore"}}, r"unknown modality in normalisation 'MR'; did you mean 'MRI'"),
        ({"normalisation": "range"}, r"such as range:-175:250"),
        ({"normalisation": "range:250:-175"}, r"such as range:-175:250"),
        ({"normalisation": "range:a:b"}, r"such as range:-175:250"),
        ({"orientation": "RSX"}, r"names no three axes"),
        ({"interpolation": "nearest"}, r"interpolation must be 'linear' or 'cubic', not 'nearest'"),
        ({"crop": "body"}, r"crop must be 'none', 'nonzero' or 'center'"),
        ({"tissue_windows": {"CT": [(0, 1)]}}, r"unknown modality in tissue_windows 'CT'"),
        ({"tissue_windows": {"MRI": [(0, 1)]}}, r"MRI is scaled by zscore, differently in each image"),
        (
            {"tissue_windows": {"MRI": [(1, 0)]}, "normalisation": "none"},
            r"MRI from 1 to 0; give the lower end first",
        ),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        make_plan(*HIPPOCAMPUS, **options)
    assert "\n" not in str(error.value)


def test_saved_read_and_pleasant(tmp_path: Path) -> None:
    plan = make_plan(*measured([(64, 64, 64)], CT=CT, MRI=MR))
    save_plan(tmp_path / "plan.json", plan)
    assert load_plan(tmp_path / "plan.json") == plan
    lines = (tmp_path / "plan.json").read_text().splitlines()
    assert '  "patch": [64, 64, 64],' in lines
    assert '    "MRI": {"kind": "zscore"}' in lines
    assert '  "strides": [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2], [2, 2, 2]],' in lines


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("spacing_mm", [1, -1, 1], r"plan\.json: spacing_mm\.1 must be greater than 0, not -1"),
        ("spacing_mm", [1, 1], r"spacing_mm \[1\.0, 1\.0\] has 2 axes"),
        ("spacing_mm", "fine", r"spacing_mm must be a valid tuple, not 'fine'"),
        ("patch", [32, 48.5, 32], r"patch\.1 must be a valid integer"),
        ("patch", [40, 48, 32], r"axis 0 has 40 voxels, no multiple.*use 32 voxels"),
        ("patch", [16, 48, 32], r"bottleneck of one voxel on axis 0"),
        ("patch", [32, 48, 64], r"no case fills the 64 voxels of axis 2"),
        ("batch_size", "two", r"batch_size must be a valid integer"),
        ("orientation", "UVW", r"names no three axes"),
        ("strides", [[2, 2, 2], [2, 2, 2]], r"level 0 is \[2, 2, 2\]"),
        ("strides", [[1, 1, 1], [2, 2]], r"level 1 has 2 axes"),
        ("strides", [[1, 1, 1]], r"single level"),
        ("labels", {"1": "organ"}, r"need the background 0"),
        ("labels", {"zero": "background"}, r"labels\.zero"),
        ("normalisation", {}, r"modality 'MRI' has no normalisation"),
        ("normalisation", {"MRI": {"kind": "none"}, "T2": {"kind": "none"}}, r"unknown modality .* 'T2'"),
        ("normalisation", {"MRI": {"kind": "zcore"}}, r"normalisation\.MRI\.kind must be 'window_zscore', "),
        ("normalisation", {"MRI": {"kind": "range"}}, r"normalisation\.MRI: kind range needs low, high"),
        ("normalisation", {"MRI": {"kind": "range", "low": 2, "high": 1}}, r"low 2 must be below high 1"),
        ("normalisation", {"MRI": {"kind": "none", "lo": 2}}, r"normalisation\.MRI\.lo is unknown"),
        ("pach", [32, 32, 32], r"the field pach is unknown \(known: dataset, modalities"),
        ("modalities", ["T1"], r"no normalisation|unknown modality"),
    ],
)
def test_nonsense_edits_are_refused_in_one_line(
    tmp_path: Path, field: str, value: object, message: str
) -> None:
    path = tmp_path / "plan.json"
    save_plan(path, make_plan(*HIPPOCAMPUS))
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(UserError, match=message) as error:
        load_plan(path, HIPPOCAMPUS[1])
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)
    assert "pydantic" not in str(error.value)


def test_what_is_no_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no plan at"):
        load_plan(tmp_path / "none.json")
    for text, message in [
        ("{", r"not valid JSON \(line 1"),
        ("[]", r"the plan must be"),
        ("{}", r"is missing"),
    ]:
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(UserError, match=message):
            load_plan(tmp_path / "plan.json")


def test_a_plan_of_another_dataset_is_refused() -> None:
    plan = make_plan(*HIPPOCAMPUS)
    with pytest.raises(UserError, match=r"for the modalities MRI, dataset Set has CT"):
        check_plan(plan, measured([(64, 64, 64)], CT=CT)[1])


def test_preprocessing_holds_what_changes_voxels_and_no_more() -> None:
    plan = make_plan(*HIPPOCAMPUS)
    same = {
        "batch_size": 9,
        "patch": (16, 16, 16),
        "reasons": {},
        "dataset": "other",
        "labels": {0: "b", 1: "x"},
    }
    assert plan.model_copy(update=same).preprocessing() == plan.preprocessing()
    changes: list[dict[str, Any]] = [
        {"spacing_mm": (2.0, 1.0, 1.0)},
        {"orientation": "LPS"},
        {"interpolation": "cubic"},
        {"crop": "nonzero"},
        {"normalisation": {"MRI": Normalisation(kind="minmax")}},
        {"labels": {0: "background", 2: "organ"}},
    ]
    for change in changes:
        assert plan.model_copy(update=change).preprocessing() != plan.preprocessing()
    json.dumps(plan.preprocessing())


def test_a_plan_cannot_be_changed() -> None:
    plan: Plan = make_plan(*HIPPOCAMPUS)
    with pytest.raises(AttributeError):
        plan.batch_size = 3


@pytest.mark.real_data
def test_real_sets(real_data: Path) -> None:
    hippocampus = read_dataset(real_data / "Task04_Hippocampus")
    plan = make_plan(hippocampus, measure(hippocampus))
    assert plan.patch == (32, 48, 32)
    assert plan.normalisation["MRI"].kind == "zscore"
    sarcoma = read_dataset(real_data / "Dataset090_SoftTissueSarcoma")
    plan = make_plan(sarcoma, measure(sarcoma))
    assert [plan.normalisation[m].kind for m in ("CT", "PET", "MR_T1")] == [
        "window_zscore",
        "zscore",
        "zscore",
    ]
    assert plan.spacing_mm == pytest.approx((1.953, 1.953, 3.27), abs=1e-3)
    assert plan.patch == (64, 64, 48)


def test_two_classes_or_regions_of_one_name_are_refused() -> None:
    plan = make_plan(*HIPPOCAMPUS)
    twice = plan.model_copy(update={"labels": {0: "background", 1: "kidney", 2: "Kidney"}})
    with pytest.raises(UserError, match=r"'kidney' \(the value 1\) and 'Kidney' \(the value 2\) differ"):
        check_plan(twice)
    three = {0: "background", 1: "core", 2: "edema"}
    regions = {"tumour": (1, 2), "Tumour": (1,)}
    with pytest.raises(UserError, match=r"region names 'tumour' \(the values \[1, 2\]\) and 'Tumour'"):
        check_plan(plan.model_copy(update={"labels": three, "regions": regions}))
