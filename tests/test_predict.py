from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from distilseg.data.case import Source
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan, save_plan
from distilseg.data.scans.reading import read_geometry, read_scan, write_array
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.files import write_json
from distilseg.inference.sliding_window import SlidingWindow
from distilseg.networks.build import NetworkSpec, build
from distilseg.networks.checkpoint import save_weights
from distilseg.predict import Predictor, load_predictor, predict_files
from distilseg.runtime import pipeline

# A rotation by 20 degrees about one axis and 10 about another: oblique, yet its orientation is clear.
TILT = np.array([[0.94, -0.34, 0], [0.34, 0.94, 0], [0, 0, 1]]) @ np.array(
    [[1, 0, 0], [0, 0.985, -0.174], [0, 0.174, 0.985]]
)


class Threshold(nn.Module):
    """Class 1 where the first modality exceeds one half."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([0.5 - image[:, :1], image[:, :1] - 0.5], 1)


class RightHalf(nn.Module):
    """Class 1 in the half that the first axis runs to: right, if the plan's orientation is kept."""

    def forward(self, image: Tensor) -> Tensor:
        n = image.shape[2]
        ramp = (torch.arange(n) - (n - 1) / 2).view(1, 1, -1, 1, 1).expand(len(image), 1, *image.shape[2:])
        return torch.cat([-ramp, ramp], 1)


def plan(
    spacing_mm: Sequence[float] = (1, 2, 3), modalities: Sequence[str] = ("MR",), value: int = 1
) -> Plan:
    return Plan(
        dataset="toy",
        modalities=tuple(modalities),
        labels={0: "background", value: "blob"},
        spacing_mm=tuple(spacing_mm),
        normalisation={name: Normalisation(kind="none") for name in modalities},
        patch=(16, 16, 16),
        strides=((1, 1, 1), (2, 2, 2)),
    )


def predictor(network: nn.Module | None = None, **options: Any) -> Predictor:
    return Predictor(
        network or Threshold(), plan(**options), SlidingWindow((16, 16, 16)), torch.device("cpu")
    )


def scan(
    order: Sequence[int] = (0, 1, 2),
    signs: Sequence[int] = (1, 1, 1),
    spacing_mm: Sequence[float] = (1, 2, 3),
    tilt: np.ndarray = TILT,
    shape: Sequence[int] = (14, 11, 9),
    seed: int = 0,
) -> Scan:
    """Noise in [0, 1); voxel axis a runs along the (tilted) world axis order[a], times signs[a]."""
    noise = np.random.default_rng(seed).random(tuple(shape[axis] for axis in order)).astype(np.float32)
    affine = np.eye(4)
    for a, axis in enumerate(order):
        affine[:3, a] = tilt[:, axis] * signs[a] * spacing_mm[axis]
    affine[:3, 3] = (-40, 25, 7)
    return Scan(noise, Geometry(noise.shape, affine), Path("toy.nii.gz"))


def write(path: Path, like: Scan) -> Path:
    write_array(path, like.array, like)
    return path


ORIENTATIONS = list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
def test_structures_come_back_where_they_are(order: Sequence[int], signs: Sequence[int]) -> None:
    """All 48 orientations, oblique; the plan has the scan's spacing, so not one voxel may differ."""
    given = scan(order, signs)
    labels = predictor(value=7).segment({"MR": given}, case="a")
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, np.where(given.array > 0.5, 7, 0))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS[::5])
def test_the_network_sees_the_orientation_of_the_plan(order: Sequence[int], signs: Sequence[int]) -> None:
    given = scan(order, signs, tilt=np.eye(3))
    labels = predictor(RightHalf()).segment({"MR": given}, case="a")
    world_mm = np.argwhere(np.ones(labels.shape)) @ given.geometry.affine[:3, :3].T
    right = world_mm[:, 0].reshape(labels.shape)
    assert labels.mean() == 0.5
    assert right[labels == 1].min() > right[labels == 0].max()


def test_other_spacings_are_inverted() -> None:
    """A ball of 12 mm radius, worked on at half the resolution, comes back within half a voxel."""
    given = scan(spacing_mm=(1, 1, 1), shape=(40, 36, 32), order=(2, 0, 1), signs=(-1, 1, -1))
    centre = (np.array(given.array.shape) - 1) / 2
    distance = np.linalg.norm(np.indices(given.array.shape).T - centre, axis=-1).T
    soft = (1 / (1 + np.exp(distance - 12))).astype(np.float32)
    labels = predictor(spacing_mm=(2, 2, 2)).segment({"MR": Scan(soft, given.geometry, given.path)}, case="a")
    assert labels[distance < 11.5].all()
    assert not labels[distance > 12.5].any()


def test_label_values_above_255_take_two_bytes() -> None:
    given = scan()
    labels = predictor(value=300).segment({"MR": given}, case="a")
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == {0, 300}


@pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".nrrd", ".mha"])
@pytest.mark.parametrize(("order", "signs"), [((0, 1, 2), (1, 1, 1)), ((2, 0, 1), (-1, 1, -1))])
def test_files_keep_their_type_and_space(
    tmp_path: Path, ending: str, order: Sequence[int], signs: Sequence[int]
) -> None:
    given = scan(order, signs)
    file = write(tmp_path / f"case{ending}", given)
    summary = predict_files(predictor(), file, tmp_path / "out")
    assert summary.written == {"case": tmp_path / "out" / f"case{ending}"}
    label_map, image = read_scan(summary.written["case"]), read_scan(file)
    assert label_map.array.dtype == np.uint8
    np.testing.assert_array_equal(label_map.array, given.array > 0.5)
    np.testing.assert_allclose(label_map.geometry.affine, image.geometry.affine, atol=1e-6)


def test_one_broken_scan_among_good_ones(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    for name in "abde":
        write(scans / f"{name}.nii.gz", scan(seed=ord(name)))
    (scans / "c.nii.gz").write_bytes((scans / "a.nii.gz").read_bytes()[:200])
    nan = scan(seed=5)
    nan.array[3, 3, 3] = np.nan
    write(scans / "f.nii.gz", nan)
    seen: list[tuple[int, int]] = []
    summary = predict_files(
        predictor(), scans, tmp_path / "out", progress=lambda done, of: seen.append((done, of))
    )
    assert sorted(summary.written) == ["a", "b", "d", "e"]
    assert all(path.is_file() for path in summary.written.values())
    assert sorted(summary.refused) == ["c", "f"]
    assert "c.nii.gz" in summary.refused["c"]
    assert "the model expects one 3D scan a case: MR" in summary.refused["c"]
    assert summary.refused["f"].startswith("case f: MR holds voxels that are NaN")
    assert not any("\n" in line for line in summary.refused.values())
    assert seen == [(n, 6) for n in range(1, 7)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{n}.nii.gz" for n in "abde"]


def test_label_maps_that_exist_are_kept(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / "scans" / f"{name}.nrrd", scan())
    kept = tmp_path / "out" / "a.nrrd"
    kept.parent.mkdir()
    kept.write_text("mine")
    summary = predict_files(predictor(), tmp_path / "scans", tmp_path / "out")
    assert (summary.skipped, list(summary.written)) == ({"a": kept}, ["b"])
    assert kept.read_text() == "mine"
    again = predict_files(predictor(), tmp_path / "scans", tmp_path / "out", overwrite=True)
    assert sorted(again.written) == ["a", "b"]
    assert read_scan(kept).array.any()


def test_one_file_to_one_file(tmp_path: Path) -> None:
    file = write(tmp_path / "x_0000.nii.gz", scan())
    out = tmp_path / "deep" / "labels.nrrd"
    assert predict_files(predictor(), file, out).written == {"x": out}
    assert read_geometry(out).shape == scan().array.shape
    write(tmp_path / "y.nii.gz", scan())
    with pytest.raises(UserError, match=r"2 cases do not fit into the one file .*; name a folder"):
        predict_files(predictor(), tmp_path, out)


def test_scans_are_never_overwritten(tmp_path: Path) -> None:
    file = write(tmp_path / "x.nii.gz", scan())
    before = file.read_bytes()
    with pytest.raises(UserError, match="would replace the scan"):
        predict_files(predictor(), tmp_path, tmp_path, overwrite=True)
    assert file.read_bytes() == before


def test_label_maps_of_the_dataset_are_never_overwritten(tmp_path: Path) -> None:
    data = write_phantom(tmp_path / "data", cases=1, shape=(20, 20, 20), modalities=("MR",))
    (label,) = (data / "labelsTr").iterdir()
    before = label.read_bytes()
    with pytest.raises(UserError, match=r"would replace the label map .*labelsTr"):
        predict_files(predictor(), data, data / "labelsTr", overwrite=True)
    assert label.read_bytes() == before


def test_scans_of_one_name_are_told_apart(tmp_path: Path) -> None:
    files = [write(tmp_path / folder / "x.nii.gz", scan()) for folder in "ab"]
    summary = predict_files(predictor(), files, tmp_path / "out")
    assert list(summary.written) == ["x"]
    assert summary.refused[str(files[1])] == (
        f"the case name 'x' stands twice, for {files[0]} and {files[1]}; give each a name of its own"
    )


class Second(nn.Module):
    """Class 1 where the second modality exceeds one half."""

    def forward(self, image: Tensor) -> Tensor:
        return torch.cat([0.5 - image[:, 1:2], image[:, 1:2] - 0.5], 1)


def test_several_modalities_by_suffix_channel_or_dataset(tmp_path: Path) -> None:
    pair = [scan(seed=1), scan(seed=2)]
    for number, one in enumerate(pair):
        write(tmp_path / "scans" / f"p_{number:04d}.nii.gz", one)
    stacked = np.stack([one.array for one in pair], -1)
    import nibabel as nib

    nib.save(nib.Nifti1Image(stacked, pair[0].geometry.affine), tmp_path / "scans" / "q.nii.gz")
    two = predictor(Second(), modalities=("CT", "PET"))
    summary = predict_files(two, tmp_path / "scans", tmp_path / "out")
    assert sorted(summary.written) == ["p", "q"]
    for path in summary.written.values():
        np.testing.assert_array_equal(read_scan(path).array, pair[1].array > 0.5)

    table = tmp_path / "cases.csv"  # columns in another order, and a modality too many
    table.write_text(
        "case,image:PET,image:CT,image:MR,label\nr,scans/p_0001.nii.gz,scans/p_0000.nii.gz,scans/p_0000.nii.gz,\n"
    )
    of_table = predict_files(two, table, tmp_path / "out")
    np.testing.assert_array_equal(read_scan(of_table.written["r"]).array, pair[1].array > 0.5)


@pytest.mark.parametrize(
    ("array", "modalities", "message"),
    [
        (
            np.zeros((4, 5), np.float32),
            ("MR",),
            "is a single slice [4, 5, 1], the model sees 16 x 16 x 16 voxels",
        ),
        (np.zeros((4, 5, 6, 2), np.float32), ("MR",), "is 4D [4, 5, 6, 2], a 3D array was expected"),
        (np.zeros((4, 5, 6), np.float32), ("CT", "PET"), "holds one 3D image"),
    ],
)
def test_scans_of_other_dimension_are_refused(
    tmp_path: Path, array: np.ndarray, modalities: Sequence[str], message: str
) -> None:
    import nibabel as nib

    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii.gz")
    why = predict_files(predictor(modalities=modalities), tmp_path / "a.nii.gz", tmp_path / "out").refused[
        "a"
    ]
    assert message in why
    assert f"a case: {', '.join(modalities)}" in why


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "there is no scan or folder"),
        ("empty", "no scan in"),
        ("notes.txt", "is no scan that can be read"),
    ],
)
def test_inputs_without_scans_are_refused(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=message):
        predict_files(predictor(), tmp_path / name, tmp_path / "out")


# The pipeline.


def test_reading_and_writing_go_on_while_the_network_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 3 is read, and case 1 written, before the network is done with case 2."""
    files = [write(tmp_path / f"{n}.nii.gz", scan(seed=n)) for n in (1, 2, 3)]
    read, written = {n: threading.Event() for n in "123"}, {n: threading.Event() for n in "123"}
    read_scans, write_label_map = pipeline.read_scans, pipeline.write_label_map

    def reading(images: Mapping[str, Source]) -> dict[str, Scan]:
        scans = read_scans(images)
        read[images["MR"].path.name[0]].set()
        return scans

    def writing(path: Path, *arguments: Any) -> None:
        write_label_map(path, *arguments)
        written[path.name[0]].set()

    monkeypatch.setattr(pipeline, "read_scans", reading)
    monkeypatch.setattr(pipeline, "write_label_map", writing)
    passes = itertools.count(1)

    class Patient(Threshold):
        def forward(self, image: Tensor) -> Tensor:
            if next(passes) == 2:
                assert read["3"].wait(10)
                assert written["1"].wait(10)
            return super().forward(image)

    assert len(predict_files(predictor(Patient()), files, tmp_path / "out").written) == 3


def test_few_cases_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [write(tmp_path / f"{n:02d}.nii.gz", scan(seed=n)) for n in range(12)]
    begun, done, most = [0], [0], [0]
    read_scans, write_label_map = pipeline.read_scans, pipeline.write_label_map

    def reading(images: Mapping[str, Source]) -> dict[str, Scan]:
        begun[0] += 1
        most[0] = max(most[0], begun[0] - done[0])
        return read_scans(images)

    def writing(path: Path, *arguments: Any) -> None:
        time.sleep(0.02)  # the slowest stage
        write_label_map(path, *arguments)
        done[0] += 1

    monkeypatch.setattr(pipeline, "read_scans", reading)
    monkeypatch.setattr(pipeline, "write_label_map", writing)
    predict_files(predictor(), files, tmp_path / "out")
    assert done[0] == 12
    assert 2 <= most[0] <= 4


class Failing(nn.Module):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def forward(self, image: Tensor) -> Tensor:
        raise self.error


def _raise(error: BaseException) -> Callable[..., Any]:
    def function(*arguments: Any, **options: Any) -> Any:
        raise error

    return function


@pytest.mark.parametrize("stage", ["read_scans", "network", "write_label_map"])
def test_a_bug_in_any_stage_surfaces_and_hangs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    files = [write(tmp_path / f"{n}.nii.gz", scan(seed=n)) for n in range(5)]
    bug = RuntimeError("a bug")
    if stage != "network":
        monkeypatch.setattr(pipeline, stage, _raise(bug))
    model = predictor(Failing(bug) if stage == "network" else None)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="a bug") as caught:
        predict_files(model, files, tmp_path / "out")
    assert caught.value.__notes__[0] == "while predicting case 0"
    assert threading.active_count() == before


def test_ctrl_c_ends_at_once_and_leaves_whole_files(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.nii.gz", scan(seed=n)) for n in range(5)]
    passes = itertools.count()

    class Interrupted(Threshold):
        def forward(self, image: Tensor) -> Tensor:
            if next(passes) == 2:
                raise KeyboardInterrupt
            return super().forward(image)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        predict_files(predictor(Interrupted()), files, tmp_path / "out")
    assert threading.active_count() == before
    # The second may not have been begun when the third pass was interrupted.
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written in (["0.nii.gz"], ["0.nii.gz", "1.nii.gz"])
    for path in (tmp_path / "out").iterdir():
        assert read_scan(path).array.any()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.nii.gz", scan())
    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(UserError, match=r"out/a\.nii\.gz cannot be written"):
        predict_files(predictor(), file, tmp_path / "out")


def test_answers_that_are_not_numbers_are_refused() -> None:
    class Diverged(Threshold):
        def forward(self, image: Tensor) -> Tensor:
            return super().forward(image) * torch.nan

    with pytest.raises(UserError, match="case a: the network answers with NaN"):
        predictor(Diverged()).segment({"MR": scan()}, case="a")


# Run folders.


def run_folder(folder: Path, about: Plan, classes: int) -> Path:
    torch.manual_seed(0)
    spec = NetworkSpec("unet", len(about.modalities), classes, about.patch, {})
    network = build(spec)
    save_weights(folder / "best.safetensors", network, spec)
    save_plan(folder / "plan.json", about)
    inferer = {"kind": "sliding_window", "patch": list(about.patch), "overlap": 0.25, "blend": "gaussian"}
    write_json(folder / "experiment.json", {"recipe": "supervised", "inferer": inferer})
    return folder


def test_a_run_folder_is_all_that_is_needed(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", plan(), classes=2)
    loaded = load_predictor(run, device="cpu")
    assert loaded.inferer == SlidingWindow((16, 16, 16), 0.25, "gaussian")
    assert not loaded.network.training
    labels = loaded.segment({"MR": scan()}, case="a")
    assert labels.shape == scan().array.shape
    np.testing.assert_array_equal(labels, load_predictor(run, device="cpu").segment({"MR": scan()}, case="a"))

    with pytest.raises(UserError, match=r"has no last\.safetensors"):
        load_predictor(run, weights="last")
    with pytest.raises(UserError, match="did you mean 'best'"):
        load_predictor(run, weights="bets")
    with pytest.raises(UserError, match="unknown device 'cdua'; did you mean 'cuda'"):
        load_predictor(run, device="cdua")
    with pytest.raises(UserError, match="is not a run folder"):
        load_predictor(tmp_path)
    save_plan(run / "plan.json", plan(modalities=("CT", "PET")))
    with pytest.raises(UserError, match=r"takes 1 modalities and tells 2 classes apart, .* names 2 and 2"):
        load_predictor(run)


@pytest.mark.real_data
def test_real_scans_come_back_in_their_own_space_and_type(tmp_path: Path, real_data: Path) -> None:
    images = sorted((real_data / "Task04_Hippocampus" / "imagesTr").glob("hippocampus_*.nii.gz"))[:2]
    about = plan(spacing_mm=(1.2, 1, 1)).model_copy(
        update={"normalisation": {"MR": Normalisation(kind="zscore")}, "patch": (32, 48, 32)}
    )
    model = load_predictor(run_folder(tmp_path / "run", about, classes=2), device="cpu")
    summary = predict_files(model, images, tmp_path / "out")
    assert len(summary.written) == 2
    for image in images:
        given, label_map = read_scan(image), read_scan(tmp_path / "out" / image.name)
        assert label_map.array.shape == given.array.shape
        assert label_map.array.dtype == np.uint8
        np.testing.assert_array_equal(label_map.geometry.affine, given.geometry.affine)
        for code in ("qform_code", "sform_code"):
            assert label_map.header[code] == given.header[code]
        assert int(label_map.header["xyzt_units"]) & 7 == int(given.header["xyzt_units"]) & 7
