"""Entries follow contents, appear whole or not at all, and may be made by several processes at once."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from distilseg.data.case import Case, Dataset, Source
from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.planning.plan import Plan
from distilseg.data.preparing.cache import (
    FOREGROUND_VOXELS,
    CachedCase,
    cache_cases,
    open_case,
    sample_foreground,
)
from distilseg.disk import SPARE_BYTES
from distilseg.errors import UserError

PLAN = Plan(
    dataset="made up",
    modalities=("MR",),
    labels={0: "background", 1: "one", 5: "five"},
    spacing_mm=(1.0, 1.0, 2.0),
    normalisation={"MR": Normalisation(kind="zscore")},
    patch=(8, 8, 8),
    strides=((1, 1, 1), (2, 2, 2)),
)


def write_scan(path: Path, array: np.ndarray) -> None:
    import nibabel

    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, np.diag([-1.0, 1.0, 1.0, 1.0])), path)


def write_dataset(folder: Path, n: int = 3) -> Dataset:
    rng = np.random.default_rng(0)
    cases = []
    for index in range(n):
        image, label = folder / f"c{index}.nii.gz", folder / f"c{index}_label.nii.gz"
        write_scan(image, rng.integers(0, 900, (10, 11, 12)).astype(np.int16))
        write_scan(label, rng.choice([0, 1, 5], (10, 11, 12)).astype(np.uint8))
        cases.append(Case(f"c{index}", {"MR": Source(image)}, label))
    return Dataset("made up", folder, "none", ("MR",), PLAN.labels, tuple(cases))


def entries(folder: Path) -> set[str]:
    return {place.name for place in folder.iterdir() if place.is_dir()}


def same(a: CachedCase, b: CachedCase) -> bool:
    return (
        np.array_equal(a.image, b.image)
        and np.array_equal(a.label, b.label)
        and a.grid == b.grid
        and a.foreground.keys() == b.foreground.keys()
        and all(np.array_equal(a.foreground[k], b.foreground[k]) for k in a.foreground)
    )


def test_a_case_is_made_once_and_mapped(tmp_path):
    dataset = write_dataset(tmp_path / "data")
    seen: list[tuple[int, int]] = []
    cases = cache_cases(
        dataset, ["c2", "c0"], PLAN, folder=tmp_path / "cache", progress=lambda *at: seen.append(at)
    )
    assert list(cases) == ["c2", "c0"]
    assert seen == [(1, 2), (2, 2)]
    case = cases["c0"]
    assert isinstance(case.image, np.memmap)
    assert case.image.mode == "r"
    assert case.image.shape == (1, 10, 11, 6)
    assert case.spacing_mm == (1.0, 1.0, 2.0)
    assert abs(float(case.image.mean())) < 1e-5
    assert case.disk_bytes > case.image.nbytes + case.label.nbytes
    for index, voxels in case.foreground.items():
        assert (case.label[tuple(voxels.T)] == index).all()
        assert len(voxels) == (case.label == index).sum()

    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").glob("*/*")}
    again = cache_cases(dataset, ["c0", "c2"], PLAN, folder=tmp_path / "cache")
    assert same(again["c0"], case)
    assert times == {file: file.stat().st_mtime_ns for file in (tmp_path / "cache").glob("*/*")}


def test_the_name_follows_contents_and_plan_and_nothing_else(tmp_path):
    dataset, cache = write_dataset(tmp_path / "data", 1), tmp_path / "cache"
    cache_cases(dataset, ["c0"], PLAN, folder=cache)
    first = entries(cache)
    assert len(first) == 1

    # Another place, another time, another name, another patch: the same entry.
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    moved = Case("other", {"MR": Source(tmp_path / "moved/c0.nii.gz")}, tmp_path / "moved/c0_label.nii.gz")
    elsewhere = Dataset("moved", tmp_path, "none", ("MR",), PLAN.labels, (moved,))
    found = cache_cases(elsewhere, ["other"], PLAN.model_copy(update={"patch": (16, 16, 16)}), folder=cache)
    assert entries(cache) == first
    assert found["other"].id == "other"

    # Another plan, another label map, another channel, no label: other entries.
    cache_cases(dataset, ["c0"], PLAN.model_copy(update={"crop": "nonzero"}), folder=cache)
    assert len(entries(cache)) == 2
    write_scan(tmp_path / "data/c0_label.nii.gz", np.ones((10, 11, 12), np.uint8))
    changed = cache_cases(dataset, ["c0"], PLAN, folder=cache)
    assert len(entries(cache)) == 3
    assert (changed["c0"].label == 1).all()
    unlabelled = Dataset(
        "u", tmp_path, "none", ("MR",), PLAN.labels, (), (Case("c0", dataset.cases[0].images),)
    )
    assert cache_cases(unlabelled, ["c0"], PLAN, folder=cache)["c0"].label is None
    assert len(entries(cache)) == 4


def test_known_files_are_not_hashed_again_but_changed_ones_are(tmp_path, monkeypatch):
    dataset, cache = write_dataset(tmp_path / "data", 2), tmp_path / "cache"
    cache_cases(dataset, ["c0", "c1"], PLAN, folder=cache)
    import hashlib

    hashed = []
    real = hashlib.file_digest
    monkeypatch.setattr(
        hashlib, "file_digest", lambda file, kind: hashed.append(Path(file.name).name) or real(file, kind)
    )
    cache_cases(dataset, ["c0", "c1"], PLAN, folder=cache)
    assert hashed == []
    os.utime(tmp_path / "data/c1.nii.gz", ns=(1, 1))
    cache_cases(dataset, ["c0", "c1"], PLAN, folder=cache)
    assert hashed == ["c1.nii.gz"]
    (cache / "digests.json").write_text("{ torn")
    cache_cases(dataset, ["c0"], PLAN, folder=cache)
    assert sorted(hashed[1:]) == ["c0.nii.gz", "c0_label.nii.gz"]


def test_the_voxels_beside_a_mhd_header_count(tmp_path):
    import SimpleITK as sitk

    path = tmp_path / "scan.mhd"
    case = Case("c", {"MR": Source(path)})
    dataset = Dataset("d", tmp_path, "none", ("MR",), PLAN.labels, (), (case,))
    for seed in (0, 1):
        array = np.random.default_rng(seed).integers(0, 9, (6, 6, 6)).astype(np.int16)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
        os.utime(tmp_path / "scan.raw", ns=(seed, seed))
        cache_cases(dataset, ["c"], PLAN, folder=tmp_path / "cache")
    assert len(entries(tmp_path / "cache")) == 2


def test_every_slice_that_a_header_lists_counts(tmp_path):
    path = tmp_path / "scan.mhd"
    path.write_text(
        "NDims = 3\nDimSize = 6 6 6\nElementType = MET_UCHAR\nElementDataFile = LIST\n"
        + "".join(f"{n}.raw\n" for n in range(6))
    )
    case = Case("c", {"MR": Source(path)})
    dataset = Dataset("d", tmp_path, "none", ("MR",), PLAN.labels, (), (case,))
    for seed in (0, 1):
        for n in range(6):
            values = np.random.default_rng([seed * (n == 5), n]).integers(0, 9, 36).astype(np.uint8)
            (tmp_path / f"{n}.raw").write_bytes(values.tobytes())
            os.utime(tmp_path / f"{n}.raw", ns=(seed, seed))
        cache_cases(dataset, ["c"], PLAN, folder=tmp_path / "cache")
    assert len(entries(tmp_path / "cache")) == 2


FILL = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_cache import PLAN, write_dataset, cache_cases
import distilseg.data.preparing.cache as cache, numpy as np, os, signal
dataset = write_dataset(Path(sys.argv[2]), 6)
if sys.argv[4] == "die":
    save, left = np.save, [4]
    def dying(path, array):
        left[0] -= 1
        if not left[0]:
            Path(path).write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        save(path, array)
    cache.np.save = dying
while time.time() < float(sys.argv[5]):
    pass
cache_cases(dataset, [case.id for case in dataset.cases], PLAN, folder=Path(sys.argv[3]), workers=2)
print("filled")
"""


def fill(tmp_path: Path, own: str, how: str, start: float) -> subprocess.Popen[str]:
    places = [str(Path(__file__).parent), str(tmp_path / own), str(tmp_path / "cache")]
    return subprocess.Popen(
        [sys.executable, "-c", FILL, *places, how, str(start)], stdout=subprocess.PIPE, text=True
    )


def test_processes_share_a_cache_and_a_killed_one_leaves_nothing_half(tmp_path):
    dying = fill(tmp_path, "a", "die", 0)
    dying.communicate(timeout=60)
    assert dying.returncode == -signal.SIGKILL
    left = [place for place in (tmp_path / "cache").iterdir() if place.name.startswith(".writing-")]
    assert left, "it should have been killed while writing"
    whole = entries(tmp_path / "cache") - {place.name for place in left}
    for name in whole:
        open_case("any", tmp_path / "cache" / name)

    start = time.time() + 4
    both = [fill(tmp_path, own, "live", start) for own in ("b", "c")]
    for process in both:
        assert process.communicate(timeout=90)[0] == "filled\n"
    dataset = write_dataset(tmp_path / "d", 6)
    ids = [case.id for case in dataset.cases]
    shared = cache_cases(dataset, ids, PLAN, folder=tmp_path / "cache")
    alone = cache_cases(dataset, ids, PLAN, folder=tmp_path / "alone")
    assert all(same(shared[id], alone[id]) for id in ids)
    assert len(entries(tmp_path / "alone")) == 6
    assert entries(tmp_path / "cache") - {place.name for place in left} == entries(tmp_path / "alone")
    known = json.loads((tmp_path / "cache/digests.json").read_text())
    assert str(tmp_path / "d/c0.nii.gz") in known

    # What the dead left is swept after a day, not before: its writer might live.
    assert all(place.exists() for place in left)
    for place in left:
        os.utime(place, (1, 1))
    cache_cases(dataset, ids[:1], PLAN, folder=tmp_path / "cache")
    assert not any(place.exists() for place in left)


def test_a_case_travels_to_a_worker_as_a_path(tmp_path):
    dataset = write_dataset(tmp_path / "data", 1)
    case = cache_cases(dataset, ["c0"], PLAN, folder=tmp_path / "cache")["c0"]
    packed = pickle.dumps(case)
    assert len(packed) < 1000
    assert same(pickle.loads(packed), case)


def test_the_foreground_sample_is_bounded_and_the_same_every_time():
    label = np.zeros((40, 40, 40), np.uint8)
    label[5:35] = 3
    label[0, 0, :7] = 200
    sample = sample_foreground(label)
    assert list(sample) == [3, 200]
    assert len(sample[3]) == FOREGROUND_VOXELS
    assert len(np.unique(sample[3], axis=0)) == FOREGROUND_VOXELS
    assert (label[tuple(sample[3].T)] == 3).all()
    # Spread over the whole class, not its beginning.
    assert np.allclose(sample[3].mean(axis=0), (19.5, 19.5, 19.5), atol=0.5)
    assert sample[200].tolist() == [[0, 0, k] for k in range(7)]
    assert all(np.array_equal(sample[k], sample_foreground(label)[k]) for k in sample)
    assert sample_foreground(np.zeros((4, 4, 4), np.uint8)) == {}


def test_errors_name_the_case(tmp_path):
    dataset, cache = write_dataset(tmp_path / "data"), tmp_path / "cache"
    write_scan(tmp_path / "data/c1_label.nii.gz", np.full((10, 11, 12), 2, np.uint8))
    with pytest.raises(UserError, match="case c1: the label holds 2"):
        cache_cases(dataset, ["c0", "c1"], PLAN, folder=cache)
    (tmp_path / "data/c1.nii.gz").write_bytes(b"no image")
    with pytest.raises(UserError, match="case c1"):
        cache_cases(dataset, ["c1"], PLAN, folder=cache)
    (tmp_path / "data/c1.nii.gz").unlink()
    with pytest.raises(UserError, match=r"case c1: .*c1\.nii\.gz"):
        cache_cases(dataset, ["c1"], PLAN, folder=cache)
    with pytest.raises(UserError, match="unknown case in made up 'c9'"):
        cache_cases(dataset, ["c9"], PLAN, folder=cache)


def test_cases_that_the_disk_will_not_hold_are_refused_after_the_first_of_them(tmp_path, monkeypatch):
    """Not after the last that fits; and what was found made takes no room of the others."""
    dataset = write_dataset(tmp_path / "data", 12)
    of_one = next(iter(cache_cases(dataset, ["c0"], PLAN, folder=tmp_path / "cache").values())).disk_bytes
    free = SPARE_BYTES + 5 * of_one
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**12, 0, free))
    ids = [case.id for case in dataset.cases]
    with pytest.raises(
        UserError,
        match=r"7 cases more to prepare take about .* MB left, of which 268 MB stay free",
    ):
        cache_cases(dataset, ids, PLAN, folder=tmp_path / "cache", workers=1)
    assert len(entries(tmp_path / "cache")) < len(ids)
    assert len(cache_cases(dataset, ids[:10], PLAN, folder=tmp_path / "cache", workers=1)) == 10


def test_entries_are_mapped_by_one_thread(tmp_path, monkeypatch):
    """NumPy reads a header by Python's parser, which may fail in CPython 3.11 when threads share it."""
    import threading

    from distilseg.data.preparing import cache

    threads = set()
    original = cache.open_case

    def watched(id, folder):
        threads.add(threading.get_ident())
        return original(id, folder)

    monkeypatch.setattr(cache, "open_case", watched)
    cache_cases(
        write_dataset(tmp_path / "data"), ["c0", "c1", "c2"], PLAN, folder=tmp_path / "cache", workers=3
    )
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("left", [0, 300])
@pytest.mark.parametrize("file", ["image.npy", "label.npy", "foreground.npy", "case.json"])
def test_a_damaged_entry_is_made_anew(tmp_path, file, left):
    dataset, cache = write_dataset(tmp_path / "data", 1), tmp_path / "cache"
    sound = cache_cases(dataset, ["c0"], PLAN, folder=cache)["c0"]
    image, place = np.array(sound.image), sound.folder / file
    place.write_bytes(place.read_bytes()[: min(left, place.stat().st_size // 2)])
    with pytest.raises(UserError, match=r"case c0: its cache entry .* is damaged"):
        open_case("c0", sound.folder)
    again = cache_cases(dataset, ["c0"], PLAN, folder=cache)["c0"]
    assert again.folder == sound.folder
    np.testing.assert_array_equal(again.image, image)


SLICES = {  # how a header says that its voxels are 0.raw ... 3.raw
    ".mhd": ["LIST\n0.raw\n1.raw\n2.raw\n3.raw", "%d.raw 0 3 1"],
    ".nrrd": ["LIST\n0.raw\n1.raw\n2.raw\n3.raw", "%d.raw 0 3 1"],
}


@pytest.mark.parametrize(("ending", "voxels"), [(end, how) for end, hows in SLICES.items() for how in hows])
def test_voxels_beside_the_header_name_the_entry(tmp_path, ending, voxels):
    """Another slice is another case, whichever file it lies in."""
    rng = np.random.default_rng(0)
    for n in range(4):
        (tmp_path / f"{n}.raw").write_bytes(rng.integers(1, 99, 64, np.uint8).tobytes())
    header = {
        ".mhd": "ObjectType = Image\nNDims = 3\nDimSize = 8 8 4\nElementType = MET_UCHAR\nElementDataFile = ",
        ".nrrd": "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 8 8 4\nencoding: raw\ndata file: ",
    }[ending]
    path = tmp_path / f"scan{ending}"
    path.write_text(header + voxels + "\n")
    dataset = Dataset(
        "made up", tmp_path, "none", ("MR",), PLAN.labels, (), (Case("c", {"MR": Source(path)}),)
    )
    before = cache_cases(dataset, ["c"], PLAN, folder=tmp_path / "cache")["c"]
    assert cache_cases(dataset, ["c"], PLAN, folder=tmp_path / "cache")["c"].folder == before.folder
    (tmp_path / "2.raw").write_bytes(bytes(range(64)))
    after = cache_cases(dataset, ["c"], PLAN, folder=tmp_path / "cache")["c"]
    assert after.folder != before.folder
    assert not np.array_equal(after.image, before.image)


@pytest.mark.real_data
def test_real_scans(real_data, tmp_path):
    folder = real_data / "Dataset090_SoftTissueSarcoma"
    names = {"CT": "0000", "PET": "0001", "MR": "0002"}
    ids = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "labelsTr").glob("*.nii.gz"))[:2]
    cases = [
        Case(
            id,
            {name: Source(folder / "imagesTr" / f"{id}_{end}.nii.gz") for name, end in names.items()},
            folder / "labelsTr" / f"{id}.nii.gz",
        )
        for id in ids
    ]
    dataset = Dataset("sarcoma", folder, "nnunet", tuple(names), {0: "background", 1: "tumour"}, tuple(cases))
    plan = PLAN.model_copy(
        update={
            "modalities": tuple(names),
            "labels": dict(dataset.labels),
            "spacing_mm": (3.0, 3.0, 3.0),
            "crop": "nonzero",
            "normalisation": {name: Normalisation(kind="zscore") for name in names},
        }
    )
    for case in cache_cases(dataset, ids, plan, folder=tmp_path).values():
        assert case.image.shape == (3, *case.label.shape)
        assert np.allclose(case.spacing_mm, 3, atol=0.1)
        assert np.allclose(np.array(case.image).mean(axis=(1, 2, 3)), 0, atol=1e-3)
        assert set(case.foreground) == {1}
        # The tumour keeps its volume through resampling.
        import nibabel

        stored = nibabel.load(folder / "labelsTr" / f"{case.id}.nii.gz")
        before_mm3 = np.asarray(stored.dataobj).astype(bool).sum() * np.prod(stored.header.get_zooms()[:3])
        assert (case.label == 1).sum() * np.prod(case.spacing_mm) == pytest.approx(before_mm3, rel=0.03)
