"""A model of others as an artefact: compared with itself, predicted without torch, refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.cli import main
from distilseg.commands import cost, export, predict, teacher
from distilseg.data.scans.reading import read_scan, write_array
from distilseg.data.scans.scan import Scan
from distilseg.errors import UserError
from distilseg.export import of_others
from distilseg.runtime.artefact import Description, digest, open_artefact
from distilseg.runtime.nnunet.predictor import NnUNetPredictor
from distilseg.runtime.views import load_shipped
from distilseg.teachers.nnunet.model import NnUNetTeacher, open_path
from distilseg.teachers.teacher import TeacherOptions

from ..teachers.nnunet.small import DATASET, plain, plans_with, scan_of, write_model
from .test_export import TRAINING, WITHOUT_TRAINING, label_maps

PLANS = plans_with(**{"3d_fullres": plain(spacing=[1.4, 0.9, 1.0])})


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scans")
    for n in range(3):
        write(folder / f"case_{n}_0000.nii.gz", scan_of((14, 12, 11), (0.9, 1.1, 2.0), seed=n))
    return folder


def write(path: Path, scan: Scan) -> None:
    write_array(path, scan.array, scan)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("results"), plans=PLANS, folds=("0", "1"))


@pytest.fixture(scope="module")
def shipped(model: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shipped") / "model"
    exported = export(model, "onnx", out=out, data=scans)
    assert (exported.path, exported.of, len(exported.parity)) == (out, "model", 3)
    return out


def test_it_tells_whose_it_is_and_how_near_it_comes(model: Path, shipped: Path) -> None:
    about = open_artefact(shipped).about
    assert (about.preparation, about.engine, about.target) == ("nnunet", "onnx", "onnx")
    assert set(about.files) == {"network.onnx", "plan.json", "preparation.json"}
    assert about.parity["voxels_that_differ"] <= about.parity["of_voxels"] / 1000
    assert (about.parity["cases"], about.parity["tolerance"]) == (3, 1e-3)
    assert about.made["dataset"]["licence"] == "CC-BY 4.0"
    assert about.made["told"]["folds"] == ["0", "1"]
    assert about.made["told"]["mirrored_axes"] == []  # none, though the model allows three
    assert set(about.made["files"]) == set(teacher(model)["files"])
    card = (shipped / "README.md").read_text()
    for told in ("CC-BY 4.0", "somebody et al.", "as nnU-Net v2 does it", "folds: 0, 1", "0.10% allowed"):
        assert told in card
    assert str(model) not in card + (shipped / "artefact.json").read_text()


def test_it_labels_as_the_model_does_in_a_process_without_torch(
    model: Path, shipped: Path, scans: Path, tmp_path: Path
) -> None:
    predict(model, scans, tmp_path / "model", teacher=TeacherOptions(mirror=False, device="cpu"))
    program = tmp_path / "without_training.py"
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING)))
    words = [sys.executable, str(program), "predict", str(shipped), str(scans), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 written" in done.stdout
    expected = label_maps(tmp_path / "model")
    for name, labels in label_maps(tmp_path / "out").items():
        assert np.mean(labels != expected[name]) <= 1e-3
        assert len(np.unique(labels)) > 1
    affines = [read_scan(path).geometry.affine for path in sorted((tmp_path / "out").glob("*.nii.gz"))]
    assert len(affines) == 3
    assert np.array_equal(affines[0], read_scan(scans / "case_0_0000.nii.gz").geometry.affine)


@pytest.mark.parametrize("kind", ["cascade", "slices"])
def test_openvino_and_one_file(kind: str, scans: Path, tmp_path: Path) -> None:
    if kind == "cascade":
        plans = plans_with(
            **{"3d_lowres": plain(spacing=[2.0] * 3), "3d_cascade": plain(previous_stage="3d_lowres")}
        )
        write_model(tmp_path, "3d_lowres", plans=plans)
        folder = write_model(tmp_path, "3d_cascade", plans=plans, inputs=3)
        files = {"network_stage_0.xml", "network_stage_0.bin", "network.xml", "network.bin"}
    else:
        plans = plans_with(**{"2d": plain(2, spacing=[0.9, 0.8])})
        folder = write_model(tmp_path, "2d", plans=plans, mirrored=(0, 1))
        files = {"network.xml", "network.bin"}
    exported = export(
        folder,
        "openvino",
        out=tmp_path / "model.zip",
        data=scans,
        cases=["case_1"],
        teacher=TeacherOptions(mirror=True),
    )
    assert [one.case for one in exported.parity] == ["case_1"]
    artefact = open_artefact(exported.path)
    assert set(artefact.about.files) == files | {"plan.json", "preparation.json"}
    assert artefact.about.made["told"]["mirrored_axes"] != []
    predict(exported.path, scans / "case_1_0000.nii.gz", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["case_1.nii.gz"]


def test_int8_is_judged_by_the_models_own_answers(model: Path, scans: Path, tmp_path: Path) -> None:
    exported = export(
        model,
        "openvino-int8",
        out=tmp_path / "model",
        data=scans,
        max_dice_drop=100,
        even_if_slower=True,
        teacher=TeacherOptions(folds=("0",)),
    )
    about = open_artefact(tmp_path / "model").about
    assert exported.quantised is not None
    assert exported.quantised.even_if_slower
    assert exported.quantised.kept == "int8"
    assert about.quantisation["labelled_by"] == "Dataset701_Small/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert (about.quantisation["cases"], about.quantisation["calibration_cases"]) == (1, 1)
    assert about.target == "openvino-int8"
    assert "agreement" in (tmp_path / "model" / "README.md").read_text()
    predict(tmp_path / "model", scans, tmp_path / "out")
    with pytest.raises(UserError, match="int8 is calibrated on other scans"):
        export(model, "openvino-int8", out=tmp_path / "b", data=scans / "case_0_0000.nii.gz")


def test_totalsegmentators_terms_travel_with_it(scans: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path, dataset_folder="Dataset301_heart_highres_1559subj")
    export(folder, out=tmp_path / "model", data=scans, cases=["case_0"])
    about = open_artefact(tmp_path / "model").about
    assert about.made["kind"] == "TotalSegmentator (heartchambers_highres), nnU-Net v2"
    assert about.made["told"]["orientation"] == "RAS"
    assert "needs a licence" in (tmp_path / "model" / "README.md").read_text()


def test_what_labels_otherwise_is_refused_and_leaves_nothing(
    model: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def otherwise(self: NnUNetTeacher, answer: Any, scans: Any, of: Any = NnUNetTeacher.labels) -> Any:
        labels = of(self, answer, scans).copy()
        labels[0, 0, :5] += 1
        return labels

    monkeypatch.setattr(NnUNetTeacher, "labels", otherwise)
    with pytest.raises(
        UserError, match=r"0\.27% of the voxels of case case_\d have another label, 0\.10% may"
    ):
        export(model, out=tmp_path / "model", data=scans)
    assert list(tmp_path.iterdir()) == []
    exported = export(model, out=tmp_path / "model", data=scans, tolerance=0.01, cases=["case_0"])
    assert exported.parity[0].voxels == 5
    assert "0.271% of the worst case, 1.00% allowed" in (tmp_path / "model" / "README.md").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, r"compared with it on real scans, and none are named; name some with --data"),
        ({"to": "torch"}, r"unknown target of a model of others 'torch'"),
        ({"to": "nnunet"}, r"unknown target of a model of others 'nnunet'"),
        ({"windows": "fitted"}, r"is a model of others, whose windows are its own"),
        ({"window_memory": "500MB"}, r"is a model of others, whose windows are its own"),
        ({"cases": ["case_9"]}, r"unknown case among the scans 'case_9'"),
        ({"out": "."}, r"exists already"),
    ],
)
def test_what_cannot_be_exported_is_told(
    options: dict[str, Any], told: str, model: Path, scans: Path, tmp_path: Path
) -> None:
    asked = {"out": tmp_path / "model", **({"data": scans} if options else {}), **options}
    with pytest.raises(UserError, match=told):
        export(model, **asked)


def test_options_of_models_of_others_are_not_for_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a run of ours"):
        export(tmp_path, teacher=TeacherOptions(mirror=True))


def test_the_command_line(
    model: Path,
    scans: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["export", str(model), "--data", str(scans), "--folds", "1", "--step", "0.7", "--cases", "case_2"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "artefact against model" in said
    out = tmp_path / "Dataset701_Small__nnUNetTrainer__nnUNetPlans__3d_fullres-onnx"
    told = open_artefact(out).about.made["told"]
    assert (told["folds"], told["window_step"]) == (["1"], 0.7)


def test_its_cost_is_measured_like_any_other(shipped: Path, scans: Path) -> None:
    (measured,) = cost(shipped, scans=scans / "case_0_0000.nii.gz").values()
    assert measured["engine"] == "onnx"
    assert measured["seconds_per_case"] > 0


def test_it_is_no_teacher_and_not_fused(shipped: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the model that it was exported from"):
        teacher(shipped)
    other = tmp_path / "other"
    copied(shipped, other)
    with pytest.raises(UserError, match=r"prepares scans in the way of its makers \(nnunet\); name it alone"):
        predict([shipped, other], tmp_path, tmp_path / "out")


def copied(artefact: Path, to: Path, **changed: Any) -> None:
    """A copy whose description is changed; ... leaves a field out."""
    to.mkdir()
    for path in artefact.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    about = json.loads((to / "artefact.json").read_text()) | changed
    about = {name: value for name, value in about.items() if value is not ...}
    (to / "artefact.json").write_text(json.dumps(about))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"preparation": "sam4"}, r"prepared as 'sam4' does it, which is not known here .*newer distilseg"),
        ({"preparation": 3}, r"preparation: Input should be a valid string"),
        ({"preparation": "nnunet", "engine": "torch"}, r"not for torch"),
        ({"fusion": {"how": "mean"}}, r"of one network"),
        ({"preparation": "nnunet\x1b[2J"}, r"nnunet\\x1b"),
    ],
)
def test_a_preparation_that_is_not_known_is_refused_by_name(
    shipped: Path, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    copied(shipped, tmp_path / "a", **changed)
    with pytest.raises(UserError, match=told):
        load_shipped(tmp_path / "a")


def test_without_the_field_it_is_not_ours(shipped: Path, tmp_path: Path) -> None:
    """A plan is there for people; what it says is not what the network was shown."""
    copied(shipped, tmp_path / "a", preparation=...)
    with pytest.raises(UserError, match=r"preparation\.json"):
        load_shipped(tmp_path / "a")


def test_a_preparation_that_was_damaged_is_refused(shipped: Path, tmp_path: Path) -> None:
    copied(shipped, tmp_path / "a")
    path = tmp_path / "a" / "preparation.json"
    words = path.read_text()
    path.write_text(words.replace("0.9", "1.9"))
    with pytest.raises(UserError, match=r"preparation\.json is not what was exported"):
        load_shipped(tmp_path / "a")
    path.write_text(words.replace('"spline"', '"guessed"'))
    files = open_artefact(shipped).about.files | {"preparation.json": digest(path.read_bytes())}
    copied(shipped, tmp_path / "b", files=files)
    (tmp_path / "b" / "preparation.json").write_bytes(path.read_bytes())
    with pytest.raises(UserError, match=r"preparation\.json makes no sense \(stages\.0\.preparation\.image"):
        load_shipped(tmp_path / "b")
    path.unlink()
    with pytest.raises(UserError, match=r"lacks preparation\.json"):
        load_shipped(tmp_path / "a")


def test_a_network_of_other_classes_is_refused(shipped: Path, tmp_path: Path) -> None:
    path = shipped / "preparation.json"
    way = json.loads(path.read_text())
    way["stages"][0]["paints"] = [0, 1, 2, 3]
    content = json.dumps(way).encode()
    copied(shipped, tmp_path / "a", files=open_artefact(shipped).about.files | {path.name: digest(content)})
    (tmp_path / "a" / path.name).write_bytes(content)
    predictor = load_shipped(tmp_path / "a")
    with pytest.raises(UserError, match=r"names 4 classes; export the model"):
        predictor.segment({"CT": scan_of()}, case="a")


def test_artefacts_of_ours_are_written_as_before() -> None:
    """Versions that know no other preparation read them too."""
    about = Description(
        name="a",
        target="onnx",
        engine="onnx",
        network="n.onnx",
        answers="classes",
        inferer={},
        made={},
        files={},
    )
    assert "preparation" not in about.model_dump(mode="json")
    assert about.model_copy(update={"preparation": "nnunet"}).model_dump()["preparation"] == "nnunet"


def test_regions_and_several_modalities(tmp_path: Path) -> None:
    dataset = {
        **DATASET,
        "channel_names": {"0": "CT", "1": "PET"},
        "labels": {"background": 0, "whole": [1, 2], "core": [2]},
        "regions_class_order": [1, 2],
    }
    entry = plain(
        normalization_schemes=["CTNormalization", "ZScoreNormalization"],
        use_mask_for_norm=[False, True],
        spacing=[6.0, 1.0, 1.0],
    )
    folder = write_model(tmp_path, plans=plans_with(**{"3d_fullres": entry}), dataset=dataset)
    scans = tmp_path / "scans"
    scans.mkdir()
    for n in range(2):
        write(scans / f"a_000{n}.nii.gz", scan_of((14, 12, 11), (1.0, 1.0, 5.0), seed=n))
    exported = export(folder, out=tmp_path / "model", data=scans)
    assert exported.parity[0].voxels <= exported.parity[0].of_voxels / 1000
    artefact = open_artefact(tmp_path / "model")
    assert artefact.about.answers == "regions"
    assert artefact.plan.labels == {0: "background", 1: "whole", 2: "core"}
    loaded = load_shipped(artefact)
    assert isinstance(loaded, NnUNetPredictor)
    pair = dict(zip(("CT", "PET"), map(read_scan, sorted(scans.iterdir())), strict=True))
    opened = open_path(folder, TeacherOptions(mirror=False, device="cpu"))
    expected = opened.labels(opened.answer(pair, case="a"), pair)
    assert np.mean(loaded.segment(pair, case="a") != expected) <= 1e-3
    assert of_others.MOST_OTHERWISE == 1e-3
