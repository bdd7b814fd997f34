"""An artefact of a MONAI bundle labels as the bundle does; what it cannot do is refused by name."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distilseg.commands import export, predict
from distilseg.data.scans.reading import read_scan
from distilseg.errors import UserError
from distilseg.runtime.artefact import open_artefact
from distilseg.runtime.bundle.predictor import BundlePredictor
from distilseg.runtime.bundle.way import Way
from distilseg.runtime.views import load_shipped
from distilseg.teachers.monai_bundle import open_as_teacher
from distilseg.teachers.monai_bundle.painting import painting
from distilseg.teachers.shipping import shipment_of
from distilseg.teachers.teacher import TeacherOptions

from ...export.test_export import TRAINING, WITHOUT_TRAINING
from ...teachers.bundles import ARGMAX, INVERTED, SOFTMAX, UNET, bundle, inference, metadata
from ...teachers.fixtures import teachers
from ...teachers.test_monai_bundle import ORIENTED, PIPELINES, SIGMOID, STRAIGHT, TURNED, scan_in, spacing
from ..nnunet.shipped import in_torch

CPU = TeacherOptions(device="cpu")


def as_artefact(teacher: Any, **options: Any) -> BundlePredictor:
    """What predicts from an artefact of the teacher, through the words that its preparation.json holds."""
    shipment = shipment_of(teacher)
    way = Way.model_validate_json(shipment.way({"network": "network.onnx"}))
    return BundlePredictor(in_torch(shipment.networks["network"].network), shipment.plan, way, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("affine", [STRAIGHT, TURNED], ids=["straight", "turned"])
@pytest.mark.parametrize("name", PIPELINES)
def test_it_labels_as_the_bundle_does(tmp_path: Path, name: str, affine: np.ndarray) -> None:
    names = ("a", "b", "c") if name == "regions" else ("background", "a", "b")
    teacher = open_as_teacher(bundle(tmp_path / "b", inference(**PIPELINES[name]), metadata(names)), CPU)
    scans = {"MR": read_scan(scan_in(tmp_path, affine))}
    try:
        artefact = as_artefact(teacher)
    except UserError as error:
        assert any(word in str(error) for word in ("whole", "splines", "largest"))  # noqa: PT017
        return
    answer = teacher.answer(scans, case="a")
    prepared = artefact.prepare(scans, case="a")
    assert np.allclose(artefact.logits(prepared.image, case="a"), answer.logits, atol=1e-5)
    expected = teacher.labels(answer, scans)
    labels = artefact.labels(answer.logits, prepared.grid)
    assert np.array_equal(labels, expected)
    assert labels.dtype == expected.dtype


@pytest.mark.filterwarnings("ignore")
def test_mirrored_and_turned_where_that_is_asked_for(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b", inference(preprocessing=[spacing(1.1, 1.1, 2.0)]))
    options = TeacherOptions(device="cpu", mirror=True, orientation="LPS")
    teacher = open_as_teacher(path, options)
    scans = {"MR": read_scan(scan_in(tmp_path, STRAIGHT))}
    artefact = as_artefact(teacher)
    assert artefact.way.mirror
    expected = teacher.labels(teacher.answer(scans, case="a"), scans)
    assert np.array_equal(artefact.segment(scans, case="a"), expected)
    plainly = as_artefact(open_as_teacher(path, CPU))
    image = plainly.prepare(scans, case="a").image
    assert not np.allclose(artefact.logits(image), plainly.logits(image), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_channels_of_their_own_and_regions_painted_over_one_another(tmp_path: Path) -> None:
    """Each channel is scaled in a way of its own; the last region lies over the others."""
    apart = [
        {"_target_": "SplitDimd", "keys": "image", "dim": 0},
        {"_target_": "NormalizeIntensityd", "keys": ["image_0"], "nonzero": True},
        {
            "_target_": "ScaleIntensityRangePercentilesd",
            "keys": "image_1",
            "lower": 5,
            "upper": 90,
            "b_min": 0,
            "b_max": 1,
            "clip": True,
        },
        {"_target_": "ConcatItemsd", "keys": ["image_0", "image_1"], "name": "image"},
    ]
    painted = {"_target_": "Lambdad", "keys": "pred", "func": painting([4, 2, 300])}
    config = inference(
        {**UNET, "in_channels": 2},
        preprocessing=[*apart, ORIENTED, spacing(1.1, 1.1, 2.0)],
        postprocessing=[SIGMOID, INVERTED, painted],
    )
    path = bundle(tmp_path / "b", config, metadata(("whole", "core", "edge"), images=("T1", "T2")))
    teacher = open_as_teacher(path, CPU)
    assert [head.values for head in teacher.heads] == [(4,), (2,), (300,)]
    names = ("T1", "T2")
    for name in names:
        (tmp_path / name).mkdir()
    scans = {name: read_scan(scan_in(tmp_path / name, TURNED)) for name in names}
    artefact = as_artefact(teacher)
    prepared = artefact.prepare(scans, case="a")
    assert np.array_equal(prepared.image, teacher.prepare(scans, case="a").image)
    assert prepared.image[0].min() < -0.5
    assert 0 <= prepared.image[1].min() <= prepared.image[1].max() <= 1
    labels = artefact.segment(scans, case="a")
    answer = teacher.answer(scans, case="a")
    assert np.array_equal(labels, teacher.labels(answer, scans))
    p = teacher.probabilities(answer, scans)
    expected = np.where(p[2] > 0.5, 300, np.where(p[1] > 0.5, 2, np.where(p[0] > 0.5, 4, 0)))
    assert np.array_equal(labels, expected)
    assert ((p > 0.5).sum(0) > 1).any()
    assert len(np.unique(labels)) > 2


LARGEST = {"_target_": "KeepLargestConnectedComponentd", "keys": "pred"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"inferer": {"_target_": "SimpleInferer"}}, "is shown scans whole"),
        (
            {"inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, -1]}},
            "is shown scans whole",
        ),
        ({"preprocessing": [ORIENTED, spacing(1.1, 1.1, 2.0, mode=3)]}, "by splines"),
        ({"postprocessing": [SOFTMAX, INVERTED, ARGMAX, LARGEST]}, "KeepLargestConnectedComponentd"),
    ],
)
def test_what_an_artefact_cannot_do_is_refused_by_name(tmp_path: Path, config: Any, told: str) -> None:
    teacher = open_as_teacher(bundle(tmp_path / "b", inference(**config)), CPU)
    with pytest.raises(UserError, match=told):
        shipment_of(teacher)


FROM_90_TO_5 = {"lower": 90, "upper": 5, "b_min": 0, "b_max": 1}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("transforms", 0, "kind"), "lambda", "lambda"),
        (("transforms", 0, "axcodes"), "RRR", "names no three axes"),
        (("transforms", 0), {"kind": "of_channel", "channel": 1, "by": {"kind": "scale"}}, "no channels"),
        (("transforms", 0), {"kind": "of_channel", "channel": 0, "by": {"kind": "spacing"}}, "spacing"),
        (("transforms", 0), {"kind": "scale_percentiles", **FROM_90_TO_5}, "percentiles from 90 to 5"),
        (("transforms", 1, "pixdim"), [1, 1, float("inf")], "transforms.1"),
        (("windows", "window"), [-1, 16, 16], "fixed size"),
        (("windows", "overlap"), [0.99, 0.99, 1.0], "less than 1"),
        (("post", "steps"), [{"kind": "largest"}], "connected parts"),
        (("post", "steps"), [{"kind": "invert"}], "nothing of nearest"),
        (("network",), "a/../../b", "network"),
        (("paints",), [], "at least 1"),
        (("orientation",), "up", "names no three axes"),
        (("run",), "rm", "Extra"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_absurd_preparations_are_refused(
    tmp_path: Path, path: tuple[Any, ...], value: Any, told: str
) -> None:
    config = inference(preprocessing=[ORIENTED, spacing(1.1, 1.1, 2.0)])
    teacher = open_as_teacher(bundle(tmp_path / "b", config), CPU)
    made = json.loads(shipment_of(teacher).way({"network": "network.onnx"}))
    assert Way.read(json.dumps(made).encode(), Path("preparation.json")).steps
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(UserError, match=told):
        Way.read(json.dumps(made).encode(), Path("preparation.json"))


@pytest.mark.real_data
@pytest.mark.filterwarnings("ignore")
def test_exported_it_labels_as_monai_did_in_a_process_without_torch(tmp_path: Path) -> None:
    inputs = teachers() / "inputs" / "Dataset004_Hippocampus"
    exported = export(teachers() / "monai_bundle_hippocampus", "onnx", out=tmp_path / "model", data=inputs)
    assert exported.parity[0].voxels == 0
    about = open_artefact(tmp_path / "model").about
    assert about.preparation == "monai"
    assert about.made["dataset"]["licence"].startswith("Apache License 2.0")
    assert isinstance(load_shipped(tmp_path / "model"), BundlePredictor)
    program = tmp_path / "without_training.py"
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING | {"yaml"})))
    words = [
        sys.executable,
        str(program),
        "predict",
        str(tmp_path / "model"),
        str(inputs),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    labels = read_scan(tmp_path / "out" / "hippocampus_203.nii.gz").array
    theirs = read_scan(teachers() / "monai_answers" / "hippocampus_203.nii.gz").array
    assert np.mean(labels != theirs) <= 1e-3


@pytest.mark.filterwarnings("ignore")
def test_a_bundle_is_exported_and_predicts(tmp_path: Path) -> None:
    path = bundle(tmp_path / "b", inference(preprocessing=[ORIENTED, spacing(1.1, 1.1, 2.0)]))
    (tmp_path / "scans").mkdir()
    image = scan_in(tmp_path / "scans", STRAIGHT)
    exported = export(path, "openvino", out=tmp_path / "model.zip", data=image)
    assert exported.parity[0].voxels <= exported.parity[0].of_voxels / 1000
    summary = predict(exported.path, image, tmp_path / "out")
    assert len(summary.written) == 1
