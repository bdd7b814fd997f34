"""A plan's windows from training to the artefact: networks are shown them, scans prepared as without."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from distilseg.commands import export, predict
from distilseg.data.planning.normalisation import Normalisation
from distilseg.errors import UserError
from distilseg.recipes import find
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study
from distilseg.training.trained import trained

from .small import CPU, NETWORK, small_study

HU = {"low": -1000.0, "high": 400.0}
AS_SHOWN = (0.6, 1.0)  # of -160 to 400 in that range


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    made = small_study(tmp_path_factory.mktemp("windows") / "scans", modalities=("PET", "CT"))
    scaled = {"PET": Normalisation(kind="zscore"), "CT": Normalisation(kind="range", **HU)}
    update = {"normalisation": scaled, "tissue_windows": {"CT": ((-160.0, 400.0),)}}
    return replace(made, plan=made.plan.model_copy(update=update))


def windows(experiment: Experiment) -> list[tuple[int, tuple[float, ...]]]:
    return [
        (one[0], tuple(round(end, 6) for end in one[1:]))
        for one in experiment.networks["student"].tissue_windows
    ]


def test_each_network_is_shown_those_of_what_it_sees(study: Study) -> None:
    both = find("supervised")(study, network_options=NETWORK)
    assert windows(both) == [(1, AS_SHOWN)]
    kd_net = find("kd_net")
    ct = kd_net(study, network_options=NETWORK, network="dynunet", student_sees=("CT",))
    assert windows(ct) == [(0, AS_SHOWN)]
    assert ct.control is not None
    assert windows(ct.control) == [(0, AS_SHOWN)]
    teacher = ct.teachers["teacher"]
    assert isinstance(teacher, Experiment)
    assert windows(teacher) == [(1, AS_SHOWN)]
    assert windows(kd_net(study, network="dynunet", network_options=NETWORK, student_sees=("PET",))) == []
    slim = find("teach_former_control")(study, student_sees=("CT",))
    assert windows(slim) == [(0, AS_SHOWN)]


def test_a_network_for_any_scans_refuses_windows(study: Study) -> None:
    """Each of its channels is a scan that may be missing."""
    with pytest.raises(UserError, match="u_hved is shown any of the scans, and a tissue window is of one"):
        study.network("u_hved")


def test_from_training_to_label_maps_without_torch(study: Study, tmp_path: Path) -> None:
    made = find("kd_net_control")(study, network="dynunet", network_options=NETWORK, student_sees=("CT",))
    made = made.with_settings(Budget(steps=3), validations=1)
    run = trained(made, runs=tmp_path / "runs", machine=CPU, cache=tmp_path / "cache")
    case = study.dataset.case(study.split.test[0])
    scan = nibabel.load(case.images["CT"].path)
    nibabel.save(nibabel.Nifti1Image(scan.dataobj[..., 1], scan.affine), tmp_path / "one.nii.gz")
    export(run, "onnx", out=tmp_path / "student")  # compares label maps, and refuses beyond its tolerance
    maps = {}
    for name, of in (("run", run.folder), ("artefact", tmp_path / "student")):
        predict(of, tmp_path / "one.nii.gz", tmp_path / name / "one.nii.gz", device="cpu")
        maps[name] = np.asarray(nibabel.load(tmp_path / name / "one.nii.gz").dataobj)
    assert (maps["run"] == maps["artefact"]).mean() > 0.999
    told = (tmp_path / "student" / "README.md").read_text()
    assert "CT by range, CT from -160 to 400 once more" in " ".join(told.split())
    plan = run.plan.read_text()
    for windows in ("[[0, 50]]", "[]"):
        changed = json.loads(plan) | {"tissue_windows": {"CT": json.loads(windows)}}
        run.plan.write_text(json.dumps(changed))
        with pytest.raises(UserError, match=r"trained with other tissue windows .* restore the plan"):
            predict(run.folder, tmp_path / "one.nii.gz", tmp_path / "two.nii.gz", device="cpu")
    run.plan.write_text(plan)
    for to in ("nnunet", "monai-bundle"):
        with pytest.raises(UserError, match="channels of the tissue windows of its plan"):
            export(run, to, out=tmp_path / to)
