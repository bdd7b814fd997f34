"""Students as bundles of MONAI: what is written, that MONAI and our reader answer as the run, refusals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from distilseg.data.planning.normalisation import Normalisation
from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Scan
from distilseg.errors import UserError
from distilseg.export.monai_bundle import write_bundle
from distilseg.networks.build import builders, names
from distilseg.networks.monai import __file__ as of_monai
from distilseg.teachers.monai_bundle.painting import painted_values, painting
from distilseg.teachers.opening import open_teacher
from distilseg.teachers.teacher import TeacherOptions

from .handed_on import FEET_FIRST, LPS, RAS, by_run, by_teacher, plan_of, scans_at, student_of

NETWORK: dict[str, Any] = {"filters": [4, 6, 8]}
UNET: dict[str, Any] = {"filters": [4, 6, 8]}
REGIONS: dict[str, Any] = {
    "labels": {0: "background", 1: "edema", 2: "core", 4: "enhancing"},
    "regions": {"whole": (1, 2, 4), "inner": (2, 4), "active": (4,)},
}
PLANS: dict[str, dict[str, Any]] = {
    "window": {
        "normalisation": {"CT": Normalisation(kind="window_zscore", low=-1, high=2, mean=0.3, std=0.8)}
    },
    "zscore": {"normalisation": {"CT": Normalisation(kind="zscore")}},
    "nonzero": {"normalisation": {"CT": Normalisation(kind="zscore_nonzero")}},
    "range of nonzero": {"normalisation": {"CT": Normalisation(kind="range_zscore_nonzero", low=-1, high=2)}},
    "minmax": {"normalisation": {"CT": Normalisation(kind="minmax")}},
    "percentile": {"normalisation": {"CT": Normalisation(kind="percentile")}},
    "none": {"normalisation": {"CT": Normalisation(kind="none")}},
    "modalities alike": {"modalities": ("T1", "T2")},
    "modalities apart": {
        "modalities": ("MR", "CT", "PET"),
        "normalisation": {
            "MR": Normalisation(kind="zscore"),
            "CT": Normalisation(kind="range", low=-1, high=1),
            "PET": Normalisation(kind="none"),
        },
    },
    "gaps": {"labels": {0: "air", 2: "liver", 7: "tumour"}},
    "another orientation": {"orientation": "LSA"},
    "slices": {"patch": (16, 16, 1), "strides": ((1, 1, 1), (2, 2, 1))},
    "coronal slices": {"patch": (16, 1, 16), "strides": ((1, 1, 1), (2, 1, 2))},
}


@pytest.mark.parametrize("axes", [RAS, LPS, FEET_FIRST], ids=["RAS", "LPS", "feet first"])
@pytest.mark.parametrize("name", PLANS)
def test_every_plan_gives_the_same_labels_in_monai_and_read_back(
    name: str, axes: np.ndarray, tmp_path: Path
) -> None:
    plan = plan_of(**PLANS[name])
    student = student_of(plan, "unet", UNET)
    scans = scans_at(tmp_path, plan, axes=axes, hole=True)
    write_bundle(student, folder := _made(tmp_path), 3)
    teacher = open_teacher(folder, TeacherOptions(device="cpu"))
    answer = teacher.answer(scans, case="case")
    logits, labels = by_run(student, scans)
    assert len(np.unique(labels)) > 1
    np.testing.assert_allclose(by_teacher(answer), logits, atol=1e-3)
    assert (teacher.labels(answer, scans) != labels).mean() < 1e-3
    assert (by_monai(folder, scans) != labels).mean() < 1e-3
    assert teacher.modalities == plan.modalities
    assert [(head.name, *head.values) for head in teacher.heads] == [
        (name, value) for value, name in plan.labels.items()
    ]


def test_regions_are_painted_as_the_run_paints_them(tmp_path: Path) -> None:
    plan = plan_of(**REGIONS)
    student = student_of(plan, "unet", UNET, answers="regions")
    scans = scans_at(tmp_path, plan)
    write_bundle(student, folder := _made(tmp_path), 3)
    teacher = open_teacher(folder, TeacherOptions(device="cpu"))
    _, labels = by_run(student, scans)
    assert len(np.unique(labels)) > 2
    assert (teacher.labels(teacher.answer(scans, case="case"), scans) != labels).mean() < 1e-3
    assert (by_monai(folder, scans) != labels).mean() < 1e-3
    assert teacher.activation == "sigmoid"
    assert [(head.name, head.values) for head in teacher.heads] == [
        ("whole", (1,)),
        ("inner", (2,)),
        ("active", (4,)),
    ]


def test_a_crop_and_another_spacing_read_back_as_monai_runs_them(tmp_path: Path) -> None:
    """Negative intensities are no air, and what was cut off is background."""
    plan = plan_of(crop="nonzero", spacing_mm=(1.0, 1.0, 1.0))
    student = student_of(plan, "unet", UNET)
    scans = scans_at(tmp_path, plan, shape=(24, 20, 14), spacing_mm=(0.9, 1.0, 1.3))
    scans["CT"].array[:3] = scans["CT"].array[:, -2:] = 0
    scans["CT"].array[3, 0, 0] = -2
    stored = tmp_path / "case_0000.nii.gz"
    _save(stored, scans["CT"])
    scans = {"CT": read_scan(stored)}
    write_bundle(student, folder := _made(tmp_path), 3)
    teacher = open_teacher(folder, TeacherOptions(device="cpu"))
    theirs = teacher.labels(teacher.answer(scans, case="case"), scans)
    np.testing.assert_array_equal(theirs, by_monai(folder, scans))
    assert not theirs[:3].any()
    _, labels = by_run(student, scans)
    assert (theirs != labels).mean() < 0.2  # noise, on grids that are a third of a voxel apart


def test_several_windows_and_a_scan_smaller_than_one(tmp_path: Path) -> None:
    plan = plan_of()
    student = student_of(plan, "unet", UNET, inferer={"blend": "constant"})
    scans = scans_at(tmp_path, plan, shape=(20, 12, 24))
    write_bundle(student, folder := _made(tmp_path), 3)
    _, labels = by_run(student, scans)
    assert (by_monai(folder, scans) != labels).mean() < 1e-3


@pytest.mark.parametrize("name", sorted(builders(Path(of_monai))))
def test_every_network_of_monais_reads_back_to_the_same_logits(name: str, tmp_path: Path) -> None:
    patch = (64, 64, 32) if name in ("ahnet", "swin_unetr") else (32, 16, 16)
    small = {"hidden": 24, "mlp": 32, "heads": 4, "feature_size": 4} if name == "unetr" else {}
    plan = plan_of(patch=patch, strides=((1, 1, 1), (2, 2, 2), (2, 2, 2), (2, 2, 2), (2, 2, 2)))
    if name in ("dynunet", "unet", "attention_unet"):
        small = {"filters": [4, 6, 8]}
    student = student_of(plan, name, small)
    scans = scans_at(tmp_path, plan, shape=patch)
    write_bundle(student, folder := _made(tmp_path), 3)
    answer = open_teacher(folder, TeacherOptions(device="cpu")).answer(scans, case="case")
    logits, _ = by_run(student, scans)
    np.testing.assert_allclose(by_teacher(answer), logits, atol=1e-3 * np.abs(logits).max())


def test_what_a_bundle_holds(tmp_path: Path) -> None:
    plan = plan_of(modalities=("MR", "PET"), labels={0: "air", 2: "liver", 7: "tumour"})
    student = student_of(plan, "dynunet", NETWORK, inferer={"stride": [8, 4, 16], "mirror": True})
    written = write_bundle(student, folder := _made(tmp_path), 12)
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()) == [
        "LICENSE",
        "configs/inference.json",
        "configs/metadata.json",
        "models/model.pt",
    ]
    assert "CC-BY 4.0" in (folder / "LICENSE").read_text()
    told = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]
    assert told["inputs"]["image"]["channel_def"] == {"0": "MR", "1": "PET"}
    assert told["inputs"]["image"]["spatial_shape"] == [16, 16, 16]
    assert told["inputs"]["image"]["spacing_mm"] == [1.0, 1.5, 2.0]
    assert told["outputs"]["pred"]["channel_def"] == {"0": "air", "1": "liver", "2": "tumour"}
    config = json.loads((folder / "configs" / "inference.json").read_text())
    assert config["network_def"]["_target_"] == "DynUNet"
    assert config["inferer"]["overlap"] == [0.5, 0.75, 0.0]
    assert "mirrored" in " ".join(written.differs)
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    assert state.keys() == student.network.state_dict().keys()


def test_names_of_others_are_no_expressions(tmp_path: Path) -> None:
    """MONAI's parser evaluates text that begins with $, and follows @ and %."""
    plan = plan_of(labels={0: "background", 1: "$print('ran')", 2: "%/etc/hostname::a"})
    write_bundle(student_of(plan, "dynunet", NETWORK), folder := _made(tmp_path), 3)
    for text in _texts(json.loads((folder / "configs" / "metadata.json").read_text())):
        assert text[:1] not in ("$", "@", "%")


REFUSED: dict[str, tuple[dict[str, Any], str, dict[str, Any], str]] = {
    "network": ({}, "plain_conv_unet", {"features": [4, 6, 8]}, "plain_conv_unet with these options is none"),
    "width": ({"patch": (32, 32, 32)}, "vnet", {"width": 8}, "vnet with these options is none of them"),
    "layer": (
        {"patch": (64, 32, 32)},
        "swin_unetr",
        {"merging": "2022"},
        r"swin_unetr has a layer of our own \(downsample\)",
    ),
    "crop": ({"crop": "center", "crop_voxels": (8, 8, 8)}, "dynunet", NETWORK, "cuts out the middle"),
    "normalisation": (
        {"normalisation": {"CT": Normalisation(kind="maximum")}},
        "dynunet",
        NETWORK,
        "CT is scaled by maximum",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_monai_cannot_do_is_refused_by_name(name: str, tmp_path: Path) -> None:
    changed, network, options, cause = REFUSED[name]
    with pytest.raises(UserError, match=cause) as refused:
        write_bundle(student_of(plan_of(**changed), network, options), _made(tmp_path), 3)
    assert "train" in refused.value.fix


def test_no_network_but_monais_says_what_it_was_made_of() -> None:
    assert set(builders(Path(of_monai))) <= set(names())


@pytest.mark.parametrize(
    "expression",
    [
        "$lambda regions: torch.where(regions[0:1] > 0.5, 1, 0) + print(1)",
        "$lambda regions: torch.where(regions[0:2] > 0.5, 1, 0)",
        "$lambda regions: torch.where(regions[0:1] > 0.5, 1, torch.where(regions[1:2] > 0.5, 3, 0))",
        "$lambda regions: torch.where(regions[0:1] > 0.5, 1, 0))",
    ],
)
def test_only_the_very_expression_is_read(expression: str) -> None:
    assert painted_values(painting([2, 1, 4])) == (2, 1, 4)
    assert painted_values(expression) is None


def by_monai(folder: Path, scans: Mapping[str, Scan]) -> np.ndarray:
    """Label values [I J K] of a bundle, by MONAI's own parser."""
    parser = ConfigParser()
    parser.read_config(folder / "configs" / "inference.json")
    parser["device"], parser["output_dir"] = "cpu", str(folder / "eval")
    network = parser.get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(folder / "models" / "model.pt", weights_only=True))
    files = [str(scan.path) for scan in scans.values()]
    data = parser.get_parsed_content("preprocessing")({"image": files if len(files) > 1 else files[0]})
    with torch.inference_mode():
        data["pred"] = parser.get_parsed_content("inferer")(data["image"][None], network)[0]
    parser.get_parsed_content("postprocessing")(data)
    (written,) = (folder / "eval").glob("*_seg.nii.gz")
    return np.asarray(read_scan(written).array)


def _texts(value: Any) -> list[str]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] if isinstance(value, str) else [text for one in inner for text in _texts(one)]


def _save(path: Path, scan: Scan) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(scan.array, scan.geometry.affine), path)


def _made(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    return folder
