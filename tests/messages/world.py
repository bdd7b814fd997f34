"""A small world with one thing wrong in each corner: datasets, plans, splits, runs, scans, own files."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from distilseg.cli import main
from distilseg.data.phantom.volumes import write_phantom

TILTED = np.array([[1, 0, 0, 0], [0, 1, 0.5, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
TINY = ["--network-option", "filters=[4,8,8]", "--precision", "32-true", "--validations", "1"]


def make_world(folder: Path) -> Path:
    """Everything that the catalogue names, below `folder`."""
    write_phantom(folder / "good", cases=8, shape=(20, 20, 20), spacing_mm=(1, 1, 1), modalities=("MR",))
    write_phantom(
        folder / "two",
        cases=5,
        shape=(20, 20, 20),
        spacing_mm=(1, 1, 1),
        modalities=("CT", "MR"),
        layout="nnunet",
    )
    _edit(folder / "two" / "dataset.json", name="Two")
    for name in ("plan", "plan_two"):
        data = folder / ("two" if name.endswith("two") else "good")
        _done("plan", data, "--patch", "16,16,16", "--levels", "3", "--out", folder / f"{name}.json")
    for data, plan in (("good", "plan"), ("two", "plan_two")):
        _done(
            *(
                "train",
                "supervised",
                "--data",
                folder / data,
                "--plan",
                folder / f"{plan}.json",
                "--steps",
                "1",
            ),
            *("--runs", folder / "runs" / data, "--cache", folder / "cache", *TINY),
        )
        (run,) = (folder / "runs" / data).glob("*/*")
        run.rename(folder / f"run_{data}")
    _datasets(folder)
    _plans(folder)
    _splits(folder)
    _runs(folder)
    _scans(folder)
    _own_files(folder)
    return folder


def _done(*words: object) -> None:
    assert main([str(word) for word in words]) == 0, words


def _datasets(folder: Path) -> None:
    (folder / "nothing").mkdir()
    (folder / "outer").mkdir()
    shutil.copytree(folder / "good", folder / "outer" / "inner")
    _copy(folder, "bad_json", lambda d: _write(d / "dataset.json", '{"training": [}'))
    _copy(folder, "no_labels", lambda d: _edit(d / "dataset.json", labels={}))
    _copy(folder, "no_background", lambda d: _edit(d / "dataset.json", labels={"1": "liver"}))
    _copy(folder, "no_cases", lambda d: _edit(d / "dataset.json", training=[]))
    _copy(folder, "few_cases", lambda d: _edit(d / "dataset.json", training=_described(d)["training"][:2]))
    _copy(folder, "missing_file", lambda d: (d / "imagesTr" / "phantom_003.nii.gz").unlink())
    _copy(folder, "truncated", lambda d: _cut(d / "imagesTr" / "phantom_003.nii.gz"))
    _copy(folder, "wrong_value", lambda d: _relabel(d, lambda label: np.where(label == 1, 9, label)))
    _copy(folder, "fractional", lambda d: _relabel(d, lambda label: label * 0.5, np.float32))
    _copy(folder, "other_shape", lambda d: _relabel(d, lambda label: label[:-3]))
    _copy(folder, "not_finite", _with_nan)
    _copy(folder, "two_sizes", lambda d: _header(d, lambda h: h["pixdim"].__setitem__(slice(1, 4), 2)))
    _copy(folder, "tilted", lambda d: _header(d, lambda h: h.set_sform(TILTED, 1)))
    _copy(folder, "in_other_unit", lambda d: _header(d, lambda h: h.set_sform(np.diag([1e3] * 3 + [1]), 1)))
    _copy(folder, "promises", lambda d: _header(d, lambda h: h["dim"].__setitem__(slice(1, 4), 2000)))
    _copy(folder, "name_of_a_path", lambda d: _edit(d / "dataset.json", name="../elsewhere"))
    labels = {"0": "background", "1": "left", "2": "left"}
    _copy(folder, "classes_of_one_name", lambda d: _edit(d / "dataset.json", labels=labels))
    _copy(folder, "key_twice", lambda d: _write(d / "dataset.json", '{"name": "a", "name": "b"}'))
    for table, names in {"case_of_a_path": ("../up", "b"), "case_twice": ("phantom_000",) * 2}.items():
        files = [f"good/{part}/phantom_00{{}}.nii.gz" for part in ("imagesTr", "labelsTr")]
        lines = [",".join([name, *(file.format(n) for file in files)]) for n, name in enumerate(names)]
        _write(folder / f"{table}.csv", "\n".join(["case,image:MR,label", *lines]))
    one = "good/imagesTr/phantom_000.nii.gz,good/labelsTr/phantom_000.nii.gz"
    _write(folder / "file_twice.csv", f"case,image:MR,label\na,{one}\nb,{one}")
    _write(folder / "patient_twice.csv", f"case,image:MR,label,patient\na,{one},P1\nb,{one},p1")


def _plans(folder: Path) -> None:
    plan = json.loads((folder / "plan.json").read_text())
    wrong: dict[str, dict[str, Any]] = {
        "typo": {"pach": [16, 16, 16]},
        "indivisible": {"patch": [18, 16, 16]},
        "bottleneck": {"patch": [4, 16, 16]},
        "too_large": {"patch": [64, 16, 16]},
        "other_modality": {"modalities": ["CT"], "normalisation": {"CT": {"kind": "zscore"}}},
        "negative": {"spacing_mm": [1, -1, 1]},
    }
    for name, changes in wrong.items():
        (folder / f"plan_{name}.json").write_text(json.dumps(plan | changes))
    (folder / "plan_broken.json").write_text("{")


def _splits(folder: Path) -> None:
    ids = [f"phantom_{n:03d}" for n in range(8)]
    splits = {
        "stranger": {"train": ids[:4], "validation": ["nobody"], "test": ids[5:]},
        "overlap": {"train": ids[:4], "validation": ids[3:5], "test": ids[5:]},
        "no_train": {"train": [], "validation": ids[:2], "test": ids[5:]},
        "no_validation": {"train": ids[:5], "validation": [], "test": ids[5:]},
    }
    for name, split in splits.items():
        (folder / f"split_{name}.json").write_text(json.dumps(split))


def _runs(folder: Path) -> None:
    for name in ("unfinished", "unjudged", "damaged", "untrained", "moved"):
        shutil.copytree(folder / "run_good", folder / name)
    for name in ("status.json", "metrics.csv", "evaluation.json"):
        (folder / "unfinished" / name).unlink()
    (folder / "unjudged" / "metrics.csv").unlink()
    _cut(folder / "damaged" / "best.safetensors")
    (folder / "untrained" / "best.safetensors").unlink()
    (folder / "untrained" / "status.json").unlink()
    about = json.loads((folder / "moved" / "experiment.json").read_text())
    about["dataset"]["folder"] = str(folder / "elsewhere")
    (folder / "moved" / "experiment.json").write_text(json.dumps(about))
    (folder / "moved" / "evaluation.json").unlink()


def _scans(folder: Path) -> None:
    scans = folder / "scans"
    scans.mkdir()
    rng = np.random.default_rng(0)
    for name, shape in {"flat": (20, 20), "film": (20, 20, 20, 3), "sound": (20, 20, 20)}.items():
        nibabel.save(nibabel.Nifti1Image(rng.random(shape, np.float32), np.eye(4)), scans / f"{name}.nii.gz")
    shutil.copy(scans / "sound.nii.gz", scans / "cut.nii.gz")
    _cut(scans / "cut.nii.gz")
    (scans / "text.nii.gz").write_text("this is no image")
    (folder / "a_file").write_text("in the way")
    for name in ("long", "twins"):
        (folder / name).mkdir()
        shutil.copy(scans / "sound.nii.gz", folder / name / "sound.nii.gz")
    shutil.copy(scans / "sound.nii.gz", folder / "long" / f"{'x' * 194}.nii.gz")
    nibabel.save(nibabel.load(scans / "sound.nii.gz"), folder / "twins" / "sound.nii")
    for name, values in {"references": 20, "smaller": 16}.items():
        (folder / name).mkdir()
        label = np.ones((values,) * 3, np.uint8)
        nibabel.save(nibabel.Nifti1Image(label, np.eye(4)), folder / name / "case_1.nii.gz")
    for name, affine in {"shifted": np.diag([1, 1, 1, 1]) + np.eye(4, k=3) * 5, "renamed": np.eye(4)}.items():
        (folder / name).mkdir()
        file = "case_1.nii.gz" if name == "shifted" else "other_1.nii.gz"
        nibabel.save(nibabel.Nifti1Image(np.ones((20,) * 3, np.uint8), affine), folder / name / file)


def _own_files(folder: Path) -> None:
    _write(folder / "not_python.py", "def broken(:\n")
    _write(folder / "empty.py", '"""Nothing in here."""\n')
    _write(
        folder / "my_method.py",
        "from distilseg.distillation.method import Method, Role\n"
        "from distilseg.functional.segmentation import dice_cross_entropy\n\n\n"
        "class Careless(Method):\n"
        "    roles = {'student': Role()}\n"
        "    paper_weights = {'seg': 1.0}\n\n"
        "    def terms(self, outputs, batch):\n"
        "        return {'seg': outputs['student'].logits.square().mean((1, 2, 3, 4))}\n",
    )
    _write(
        folder / "my_network.py",
        "from torch import nn\n\n\n"
        "def flat(in_channels, classes, patch, *, width=4):\n"
        "    return nn.Conv2d(in_channels, classes, 1)\n",
    )


def _copy(folder: Path, name: str, spoil: Callable[[Path], object]) -> None:
    shutil.copytree(folder / "good", folder / name)
    _edit(folder / name / "dataset.json", name=name)
    spoil(folder / name)


def _described(dataset: Path) -> dict[str, Any]:
    about: dict[str, Any] = json.loads((dataset / "dataset.json").read_text())
    return about


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _write(path: Path, text: str) -> None:
    path.write_text(text)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _relabel(dataset: Path, change: Callable[[Any], Any], dtype: Any = np.uint8) -> None:
    path = dataset / "labelsTr" / "phantom_003.nii.gz"
    image = nibabel.load(path)
    changed = change(np.asarray(image.dataobj)).astype(dtype)
    nibabel.save(nibabel.Nifti1Image(changed, image.affine), path)


def _header(dataset: Path, change: Callable[[Any], object]) -> None:
    """Another header before the same voxels."""
    path = dataset / "imagesTr" / "phantom_003.nii.gz"
    content = gzip.decompress(path.read_bytes())
    header = nibabel.Nifti1Header(content[:348], check=False)
    change(header)
    path.write_bytes(gzip.compress(header.binaryblock + content[348:]))


def _with_nan(dataset: Path) -> None:
    path = dataset / "imagesTr" / "phantom_003.nii.gz"
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj, np.float32).copy()
    voxels[0, 0, 0] = np.nan
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine), path)
