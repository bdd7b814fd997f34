"""What cannot be opened ends in one sentence that names it, and says what to do."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distilseg.errors import UserError
from distilseg.teachers.nnunet import open_as_teacher, recognises
from distilseg.teachers.teacher import TeacherOptions

from .small import DATASET, changed, plain, plans_with, spec_of, with_duplicates, write_model
from .test_model import cascade


def refused(path: Path, words: str, **options: Any) -> None:
    """`path` looks like nnU-Net's, and is refused in one line that matches `words`."""
    assert recognises(path)
    with pytest.raises(UserError, match=words) as caught:
        open_as_teacher(path, TeacherOptions(device="cpu", **options))
    assert "\n" not in str(caught.value)
    assert caught.value.fix


def _edited(folder: Path, file: str, path: str, value: Any) -> Path:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(changed(content, path, value)))
    return folder


ENTRY = "configurations/3d_fullres"
NETWORK = f"{ENTRY}/architecture"

PLANS: dict[str, tuple[str, Any, str]] = {
    "unknown normalisation": (
        f"{ENTRY}/normalization_schemes",
        ["MyNorm"],
        r"unknown normalisation in .*plans\.json: configuration 3d_fullres 'MyNorm'; .*ZScore.*answer",
    ),
    "no normalisation": (f"{ENTRY}/normalization_schemes", ..., r"names no normalization_schemes"),
    "unknown resampling": (
        f"{ENTRY}/resampling_fn_data",
        "resample_my_way",
        r"unknown resampling .*'resample_my_way'; .*resample_data_or_seg_to_shape.*answers",
    ),
    "unknown option of resampling": (
        f"{ENTRY}/resampling_fn_data_kwargs",
        {"ordr": 3},
        r"unknown option of resample_data_or_seg_to_shape .*'ordr'; did you mean 'order'",
    ),
    "impossible order": (
        f"{ENTRY}/resampling_fn_data_kwargs",
        {"order": 9},
        r"has the orders 9 and 0; a spline has 0 to 5",
    ),
    "unknown preprocessor": (
        f"{ENTRY}/preprocessor_name",
        "MyPreprocessor",
        r"is prepared by 'MyPreprocessor', .*answers",
    ),
    "unknown network": (
        f"{NETWORK}/network_class_name",
        "somewhere.UMambaBot",
        r"unknown network in .*plans\.json 'UMambaBot'; .*known: PlainConvUNet, ResidualEncoderUNet.*answers",
    ),
    "a name that would be imported": (
        f"{NETWORK}/arch_kwargs/nonlin",
        "os.system",
        r"unknown nonlinearity in .* 'os\.system'; .*LeakyReLU",
    ),
    "unknown norm": (
        f"{NETWORK}/arch_kwargs/norm_op",
        "torch.nn.GroupNorm",
        r"unknown norm in .*GroupNorm.*InstanceNorm3d",
    ),
    "a network of other axes": (
        f"{NETWORK}/arch_kwargs/conv_op",
        "torch.nn.Conv2d",
        r"the network has torch\.nn\.Conv2d, the patch 3 axes",
    ),
    "unknown option of the network": (
        f"{NETWORK}/arch_kwargs/squeeze_excitation",
        True,
        r"PlainConvUNet has the option 'squeeze_excitation', which is not known",
    ),
    "a number missing": (
        f"{NETWORK}/arch_kwargs/features_per_stage",
        [4],
        r"features_per_stage is \[4\], a number above 0 for each of 2 levels",
    ),
    "no network": (NETWORK, ..., r"plans\.json names no network"),
    "no patch": (f"{ENTRY}/patch_size", ..., r"patch_size is None, a list of numbers was expected"),
    "a spacing of zero": (f"{ENTRY}/spacing", [0.0, 1.0, 1.0], r"the spacing \[0\.0, 1\.0, 1\.0\]"),
    "axes moved to nowhere": ("transpose_forward", [0, 0, 1], r"transpose_forward \[0, 0, 1\] is no order"),
    "configurations in a circle": (
        "configurations",
        {"3d_fullres": {"inherits_from": "b"}, "b": {"inherits_from": "3d_fullres"}},
        r"inherit from one another in a circle: 3d_fullres -> b -> 3d_fullres",
    ),
    "a configuration that is not there": (
        "configurations",
        {"2d": plain(2)},
        r"unknown configuration of .*plans\.json '3d_fullres'; known: 2d",
    ),
    "no configurations": ("configurations", ..., r"holds no configurations"),
    "unknown labels": ("label_manager", "MyLabelManager", r"names the label manager 'MyLabelManager'"),
    "unknown reader": (
        "image_reader_writer",
        "MyReader",
        r"read by MyReader, which is not nnU-Net's own.*--teacher-orientation",
    ),
    "another network": (
        f"{NETWORK}/arch_kwargs/features_per_stage",
        [4, 6],
        r"was trained with nnUNetTrainer, whose network is not the plans' PlainConvUNet: the first"
        r" weight that differs is encoder\.stages\.1\.0\.convs\.0\.conv\.weight, 8 x 4 x 3 x 3 x 3 in the"
        r" file and 6 x 4 x 3 x 3 x 3 by the plans; give the plans and the checkpoint of one training",
    ),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str, tmp_path: Path) -> None:
    path, value, words = PLANS[name]
    refused(_edited(write_model(tmp_path), "plans.json", path, value), words)


DESCRIPTIONS: dict[str, tuple[str, Any, str]] = {
    "no labels": ("labels", ..., r"dataset\.json names no labels; it needs \"labels\""),
    "no background": ("labels", {"liver": 1, "tumour": 2}, r"have no background of value 0"),
    "labels with gaps": ("labels", {"background": 0, "a": 2, "b": 5}, r"values are 0, 2, 5; .* no gaps"),
    "a label that is no number": ("labels/liver", "one", r"the label liver has the value 'one'"),
    "regions without an order": ("labels/liver", [1, 2], r"2 regions and the regions_class_order None"),
    "other classes": (
        "labels",
        {"background": 0, "liver": 1},
        r"answers 3 classes, dataset\.json names 2; .*belong together",
    ),
    "no channels": ("channel_names", ..., r"names the channels None"),
    "other channels": (
        "channel_names",
        {"0": "CT", "1": "PET"},
        r"normalises 1 channels, dataset\.json names 2 \(CT, PET\); .*belong together",
    ),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions(name: str, tmp_path: Path) -> None:
    path, value, words = DESCRIPTIONS[name]
    refused(_edited(write_model(tmp_path), "dataset.json", path, value), words)


def test_channels_of_the_network(tmp_path: Path) -> None:
    refused(write_model(tmp_path, inputs=2), r"takes 2 channels, plans and dataset\.json make 1; .*together")


def test_a_network_of_somebodys_own(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path,
        trainer="nnUNetTrainerUMambaBot",
        change=lambda weights: {**weights, "mamba.A_log": torch.ones(3)},
    )
    refused(
        folder,
        r"nnUNetTrainerUMambaBot, whose network is not the plans' PlainConvUNet: .* mamba\.A_log, 3"
        r" in the file and none by the plans",
    )


def test_a_second_fold_of_another_training(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "a", folds=("0", "1"))
    plans = changed(
        plans_with(a=plain()), "configurations/a/architecture/arch_kwargs/features_per_stage", [4, 6]
    )
    other = write_model(tmp_path / "b", "a", plans=plans, folds=("1",))
    for file, words in (
        (other, "is of the configuration a, fold 0 of 3d_fullres"),
        (None, "the first weight that differs"),
    ):
        if file is None:
            plans = changed(
                plans_with(**{"3d_fullres": plain()}), f"{NETWORK}/arch_kwargs/features_per_stage", [4, 6]
            )
            file = write_model(tmp_path / "c", plans=plans, folds=("1",))
        shutil.copy(file / "fold_1" / "checkpoint_final.pth", folder / "fold_1" / "checkpoint_final.pth")
        refused(folder, f"fold_1.checkpoint_final.* {words}")


def test_weights_that_diverged(tmp_path: Path) -> None:
    folder = write_model(
        tmp_path,
        change=lambda weights: {
            name: one * float("nan") if "seg_layers.0.bias" in name else one for name, one in weights.items()
        },
    )
    teacher = open_as_teacher(folder, TeacherOptions(device="cpu"))
    from .test_model import CASE

    with pytest.raises(UserError, match=r"seg_layers\.0\.bias of fold 0 holds NaN .*--folds"):
        teacher.answer(CASE, case="a")


def test_folds_and_checkpoints(tmp_path: Path) -> None:
    folder = write_model(tmp_path, folds=("0", "2"))
    refused(folder, r"has no checkpoint_final\.pth in fold_1; it has the folds 0, 2", folds=("0", "1"))
    refused(folder / "fold_2" / "checkpoint_final.pth", r"of one fold, 2; asked for 0", folds=("0",))
    for fold in ("fold_0", "fold_2"):
        (folder / fold / "checkpoint_final.pth").rename(folder / fold / "checkpoint_best.pth")
    refused(folder, r"no checkpoint_final\.pth, but checkpoint_best\.pth; give that file itself")
    for fold in ("fold_0", "fold_2"):
        shutil.rmtree(folder / fold)
    refused(folder, r"holds no checkpoint_final\.pth in any fold; train it, or copy its folds too")


def test_several_configurations(tmp_path: Path) -> None:
    plans = plans_with(**{"2d": plain(2), "3d_fullres": plain()})
    write_model(tmp_path, "2d", plans=plans, mirrored=(0, 1))
    dataset = write_model(tmp_path, "3d_fullres", plans=plans).parent
    refused(
        dataset,
        r"holds 2 models: nnUNetTrainer__nnUNetPlans__2d, nnUNetTrainer__nnUNetPlans__3d_fullres;"
        r" choose one: --configuration NAME",
    )
    refused(dataset, r"holds no configuration '3d'; there are .*__2d, .*__3d_fullres", configuration="3d")
    best = {"best_model_or_ensemble": {"selected_model_or_models": [{"configuration": "2d"}]}}
    (dataset / "inference_information.json").write_text(json.dumps(best))
    refused(dataset, r"choose one.*nnU-Net found best: 2d")
    chosen = open_as_teacher(dataset, TeacherOptions(configuration="2d", device="cpu"))
    assert chosen.summary()["configuration"] == "2d"  # type: ignore[attr-defined]
    other = dataset / "nnUNetTrainer__nnUNetPlans__2d"
    refused(other, r"is of the configuration 2d, asked for 3d_fullres", configuration="3d_fullres")


def test_a_cascade_without_its_first_stage(tmp_path: Path) -> None:
    folder = cascade(tmp_path)
    alone = tmp_path / "alone"
    shutil.copytree(folder, alone)
    refused(alone, r"second stage of a cascade; its first, 3d_lowres, is not beside it")
    shutil.rmtree(folder.parent / "nnUNetTrainer__nnUNetPlans__3d_lowres")
    refused(folder, r"its first, nnUNetTrainer__nnUNetPlans__3d_lowres, is not in .*copy that folder")


def test_half_a_download(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    file = folder / "fold_0" / "checkpoint_final.pth"
    file.write_bytes(file.read_bytes()[:-1000])
    refused(folder, r"fold_0/checkpoint_final\.pth is not whole \(half a download\?\).*download or copy")
    (folder / "plans.json").write_text('{"configurations": {"3d_')
    shutil.copy(write_model(tmp_path / "b") / "fold_0" / "checkpoint_final.pth", file)
    refused(folder, r"plans\.json is not valid JSON \(.*line 1")


def test_a_checkpoint_that_would_run_something(tmp_path: Path) -> None:
    folder = write_model(tmp_path, change=lambda weights: {**weights, "x": torch.nn.Linear(1, 1)})
    refused(folder, r"asks for torch\.nn\.modules\.linear\.Linear, .*nothing was run")


def test_other_checkpoints(tmp_path: Path) -> None:
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    refused(tmp_path / "a.pth", r"holds no nnU-Net v2 model \(.*but state_dict\)")
    folder = write_model(tmp_path, mirrored=(0, 5))
    refused(folder, r"mirrors the axes \(0, 5\), which are none")


def test_version_1(tmp_path: Path) -> None:
    task = tmp_path / "3d_fullres" / "Task004_Hippocampus" / "nnUNetTrainerV2__nnUNetPlansv2.1"
    (task / "fold_0").mkdir(parents=True)
    (task / "plans.pkl").write_bytes(b"")
    (task / "fold_0" / "model_final_checkpoint.model").write_bytes(b"")
    for path in (task, task.parent, task / "fold_0", task / "fold_0" / "model_final_checkpoint.model"):
        refused(path, r"is a model of nnU-Net v1, .*give the folder of its answers")


def test_what_is_no_model_at_all(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "dataset.json").write_text(json.dumps(DATASET))
    assert not recognises(tmp_path)
    with pytest.raises(UserError, match=r"holds no nnU-Net v2 model .*not of nnUNet_raw"):
        open_as_teacher(tmp_path, TeacherOptions())


def test_answers_of_nnunet_are_no_model(tmp_path: Path) -> None:
    """Beside the label maps that it predicts, nnU-Net writes the plans too."""
    for file in ("plans.json", "dataset.json", "case.nii.gz", "predict_from_raw_data_args.json"):
        (tmp_path / file).write_text("{}")
    assert not recognises(tmp_path)
    (tmp_path / "case.nii.gz").unlink()
    assert not recognises(tmp_path)
    (tmp_path / "predict_from_raw_data_args.json").unlink()
    refused(tmp_path, "holds no checkpoint_final.pth in any fold")


def _zip(path: Path, write: Callable[[zipfile.ZipFile], None]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        write(archive)
    return path


@pytest.mark.parametrize("member", ["../../outside/plans.json", "/etc/plans.json", "a\\..\\..\\b"])
def test_a_zip_that_reaches_out(member: str, tmp_path: Path) -> None:
    def write(archive: zipfile.ZipFile) -> None:
        archive.writestr("Dataset701_Small/a__b__c/fold_0/checkpoint_final.pth", "x")
        archive.writestr(member, "{}")

    refused(_zip(tmp_path / "a.zip", write), r"a member that would lie outside of it: ")


def test_other_zips(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "results")

    def write(archive: zipfile.ZipFile) -> None:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(tmp_path / "results"))

    whole = _zip(tmp_path / "whole.zip", write)
    half = tmp_path / "half.zip"
    half.write_bytes(whole.read_bytes()[:-100])
    refused(half, r"half\.zip is not whole \(half a download\?\)")
    loud = whole.rename(tmp_path / "WHOLE.ZIP")
    assert recognises(loud)
    assert open_as_teacher(loud, TeacherOptions(device="cpu")).name == f"Dataset701_Small/{folder.name}"

    def bomb(archive: zipfile.ZipFile) -> None:
        archive.writestr("Dataset701_Small/a__b__c/fold_0/checkpoint_final.pth", bytes(2**24))

    refused(_zip(tmp_path / "bomb.zip", bomb), r"unpacks to 16,777,216 bytes from")
    assert not recognises(_zip(tmp_path / "other.zip", lambda archive: archive.writestr("a.txt", "x")))


def test_options(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    refused(folder, r"windows cannot stand 0\.0 of a patch apart", step=0.0)
    refused(folder, r"orientation 'RAX' names no three axes", orientation="RAX")
    refused(
        folder, r"nnU-Net models have no option 'card'; leave it out; known: ", card=tmp_path / "card.json"
    )


def test_duplicates_alone_are_no_network(tmp_path: Path) -> None:
    spec = spec_of(plans_with(a=plain()), "a", DATASET)
    only = {n: w for n, w in with_duplicates(spec).items() if n.startswith("decoder.encoder.")}
    refused(write_model(tmp_path, change=lambda weights: only), r"none in the file")


STRANGE = (None, [], {}, "x", -1, 0, 10**12, float("nan"), [[]], [None], ["x", {}], True)


def _paths(value: Any, above: str = "") -> list[str]:
    found = []
    for key, inner in value.items():
        found.append(above + key)
        if isinstance(inner, dict):
            found += _paths(inner, f"{above}{key}/")
    return found


@pytest.mark.parametrize("file", ["plans.json", "dataset.json"])
def test_descriptions_of_any_kind_of_nonsense(file: str, tmp_path: Path) -> None:
    """Every entry replaced by strange values: opened all the same, or refused in one line."""
    folder = write_model(tmp_path)
    content = json.loads((folder / file).read_text())
    refusals = 0
    for path in _paths(content):
        for value in STRANGE:
            (folder / file).write_text(json.dumps(changed(content, path, value)))
            try:
                open_as_teacher(folder, TeacherOptions(device="cpu"))
            except UserError as error:
                refusals += 1
                said = str(error)
            else:
                said = ""
            assert "\n" not in said, (path, value, said)
    assert refusals > 100 if file == "plans.json" else refusals > 20
