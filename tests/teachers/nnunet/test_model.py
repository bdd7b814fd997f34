"""What nnU-Net's files can say, model by model: old plans, cascades, regions, norms, folders, zips."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distilseg.errors import UserError
from distilseg.networks.build import build
from distilseg.networks.nnunet_blocks import without_duplicates
from distilseg.runtime.nnunet.prepare import prepare
from distilseg.teachers.nnunet import open_as_teacher, recognises
from distilseg.teachers.nnunet.model import NnUNetTeacher
from distilseg.teachers.teacher import Head, TeacherOptions

from .small import DATASET, changed, plain, plans_with, scan_of, spec_of, with_duplicates, write_model

CASE = {"CT": scan_of()}


def opened(path: Path, **options: Any) -> NnUNetTeacher:
    """The teacher at `path`, on the CPU."""
    assert recognises(path)
    teacher = open_as_teacher(path, TeacherOptions(device="cpu", **options))
    assert isinstance(teacher, NnUNetTeacher)
    return teacher


def test_what_a_user_may_point_at(tmp_path: Path) -> None:
    """Model folder, dataset folder, results, fold, checkpoint, zip: the same answer."""
    folder = write_model(tmp_path / "nnUNet_results", folds=("0", "1"))
    exported = tmp_path / "exported.zip"
    with zipfile.ZipFile(exported, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(tmp_path / "nnUNet_results"))
    both = opened(folder).answer(CASE, case="a").logits
    for path in (folder.parent, folder.parent.parent, exported):
        teacher = opened(path)
        assert teacher.folds == ("0", "1")
        assert np.array_equal(teacher.answer(CASE, case="a").logits, both), path
        assert teacher.digest == opened(folder).digest
        assert teacher.name == f"Dataset701_Small/{folder.name}"
    renamed = tmp_path / "renamed.zip"
    with zipfile.ZipFile(renamed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, Path("mine") / file.relative_to(folder))
    assert opened(renamed).digest == opened(folder).digest
    one = opened(folder, folds=("1",)).answer(CASE, case="a").logits
    for path in (folder / "fold_1", folder / "fold_1" / "checkpoint_final.pth"):
        assert np.array_equal(opened(path).answer(CASE, case="a").logits, one), path
    lone = tmp_path / "mine.pth"
    shutil.copy(folder / "fold_1" / "checkpoint_final.pth", lone)
    assert np.array_equal(opened(lone).answer(CASE, case="a").logits, one)
    other = opened(folder, folds=("0",)).answer(CASE, case="a").logits
    assert np.allclose(both, (one + other) / 2, atol=1e-5)


def test_fold_all_only_where_there_are_no_others(tmp_path: Path) -> None:
    folder = write_model(tmp_path, folds=("0", "all"))
    assert opened(folder).folds == ("0",)
    assert opened(folder, folds=("all",)).folds == ("all",)
    shutil.rmtree(folder / "fold_0")
    assert opened(folder).folds == ("all",)


def test_another_checkpoint(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    shutil.copy(folder / "fold_0" / "checkpoint_final.pth", folder / "fold_0" / "checkpoint_best.pth")
    assert opened(folder, checkpoint="checkpoint_best.pth").folds == ("0",)


def test_an_unknown_trainer_whose_weights_fit(tmp_path: Path) -> None:
    teacher = opened(write_model(tmp_path, trainer="nnUNetTrainerOfMyOwn"))
    assert teacher.provenance.trainer == "nnUNetTrainerOfMyOwn"
    assert (teacher.provenance.licence, teacher.provenance.reference) == ("CC-BY 4.0", "somebody et al.")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod."])
def test_weights_of_a_wrapped_network(prefix: str, tmp_path: Path) -> None:
    bare = opened(write_model(tmp_path / "bare")).answer(CASE, case="a").logits
    wrapped = opened(write_model(tmp_path / "wrapped", prefix=prefix)).answer(CASE, case="a").logits
    assert np.array_equal(bare, wrapped)


def test_weights_in_other_precisions(tmp_path: Path) -> None:
    bare = opened(write_model(tmp_path / "bare")).answer(CASE, case="a").logits
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        folder = write_model(
            tmp_path / str(kind), change=lambda w, kind=kind: {name: one.to(kind) for name, one in w.items()}
        )
        found = opened(folder).answer(CASE, case="a").logits
        assert np.allclose(bare, found, atol=1e-6 if kind == torch.float64 else 0.3)


def old_form(entry: dict[str, Any], kind: str = "PlainConvUNet") -> dict[str, Any]:
    """A configuration as nnU-Net 2.0 to 2.2 wrote it."""
    arguments = entry["architecture"]["arch_kwargs"]
    old = {key: value for key, value in entry.items() if key != "architecture"}
    return {
        **old,
        "UNet_class_name": kind,
        "UNet_base_num_features": 4,
        "unet_max_num_features": 8,
        "n_conv_per_stage_encoder": arguments.get("n_conv_per_stage") or arguments["n_blocks_per_stage"],
        "n_conv_per_stage_decoder": arguments["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [1, 1, 1],
        "pool_op_kernel_sizes": arguments["strides"],
        "conv_kernel_sizes": arguments["kernel_sizes"],
    }


def residual(**arguments: Any) -> dict[str, Any]:
    """A configuration with nnU-Net's residual encoder."""
    entry = plain()
    old = entry["architecture"]["arch_kwargs"]
    del old["n_conv_per_stage"]
    entry["architecture"]["network_class_name"] = "somewhere.residual_unet.ResidualEncoderUNet"
    entry["architecture"]["arch_kwargs"] = {**old, "n_blocks_per_stage": [1, 2], **arguments}
    return entry


@pytest.mark.parametrize("kind", ["PlainConvUNet", "ResidualEncoderUNet"])
def test_plans_of_the_old_form(kind: str) -> None:
    entry = plain() if kind == "PlainConvUNet" else residual()
    new = spec_of(plans_with(a=entry), "a", DATASET)
    assert spec_of(plans_with(a=old_form(entry, kind)), "a", DATASET) == new
    assert new.name == {"PlainConvUNet": "plain_conv_unet"}.get(kind, "residual_encoder_unet")


def test_one_number_for_all_levels() -> None:
    entry = plain()
    short = {"kernel_sizes": 3, "strides": 2, "n_conv_per_stage": 1, "n_conv_per_stage_decoder": 1}
    arguments = {**entry["architecture"]["arch_kwargs"], **short}
    again = {**entry, "architecture": {**entry["architecture"], "arch_kwargs": arguments}}
    states = [build(spec_of(plans_with(a=e), "a", DATASET)).state_dict() for e in (entry, again)]
    assert {k: v.shape for k, v in states[0].items()} == {k: v.shape for k, v in states[1].items()}


def test_a_residual_encoder_with_bottlenecks(tmp_path: Path) -> None:
    """Names as nnU-Net's: three convolutions in a block, the skip behind its pooling."""
    entry = residual(
        block="dynamic_network_architectures.building_blocks.residual.BottleneckD",
        bottleneck_channels=[2, 3],
        stem_channels=5,
    )
    plans = plans_with(a=entry)
    names = {n: tuple(w.shape) for n, w in build(spec_of(plans, "a", DATASET)).state_dict().items()}
    assert names["encoder.stem.convs.0.conv.weight"] == (5, 1, 3, 3, 3)
    assert names["encoder.stages.0.blocks.0.conv1.conv.weight"] == (2, 5, 1, 1, 1)
    assert names["encoder.stages.1.blocks.0.conv2.conv.weight"] == (3, 3, 3, 3, 3)
    assert names["encoder.stages.1.blocks.0.conv3.norm.weight"] == (8,)
    assert names["encoder.stages.0.blocks.0.skip.0.conv.weight"] == (4, 5, 1, 1, 1)
    assert names["encoder.stages.1.blocks.0.skip.1.conv.weight"] == (8, 4, 1, 1, 1)
    assert "encoder.stages.1.blocks.0.skip.1.conv.bias" not in names
    assert not any(name.startswith("encoder.stages.1.blocks.1.skip") for name in names)
    teacher = opened(write_model(tmp_path, "a", plans=plans))
    assert teacher.provenance.network.startswith("ResidualEncoderUNet, ")
    assert np.isfinite(teacher.answer(CASE, case="a").logits).all()


def test_the_nonlinearity_first(tmp_path: Path) -> None:
    entry = plain()
    entry["architecture"]["arch_kwargs"]["nonlin_first"] = True
    network = build(spec_of(plans_with(a=entry), "a", DATASET))
    block = network.encoder.stages[0][0].convs[0]  # type: ignore[index, union-attr]
    image = torch.randn(1, 1, 8, 8, 8)
    expected = block.norm(torch.nn.functional.leaky_relu(block.conv(image), 0.01))  # type: ignore[operator]
    assert torch.allclose(block(image), expected)  # type: ignore[operator]
    assert (block(image) < -0.5).any()  # type: ignore[operator]  # a norm comes last


def test_batch_norm_shows_in_the_weights(tmp_path: Path) -> None:
    """nnU-Net's trainer with batch norm leaves the plans as they were."""
    entry = plain()
    told = changed({"e": entry}, "e/architecture/arch_kwargs/norm_op", "torch.nn.BatchNorm3d")["e"]
    other = with_duplicates(spec_of(plans_with(a=told), "a", DATASET))
    folder = write_model(tmp_path, "a", plans=plans_with(a=entry), change=lambda weights: other)
    teacher = opened(folder)
    assert teacher.network.options["norm"] == "batch"
    assert teacher.answer(CASE, case="a").logits.shape[0] == 3


def test_duplicates_are_dropped() -> None:
    spec = spec_of(plans_with(a=plain()), "a", DATASET)
    assert set(without_duplicates(with_duplicates(spec))) == set(build(spec).state_dict())


def test_two_dimensions_and_a_single_slice(tmp_path: Path) -> None:
    plans = changed(plans_with(a=plain(2)), "transpose_forward", [2, 0, 1])
    teacher = opened(write_model(tmp_path, "a", plans=plans, mirrored=(0, 1)))
    scan = scan_of((9, 10, 11), (1.0, 2.0, 1.0))
    answer = teacher.answer({"CT": scan}, case="a")
    # Slices are taken along z y x moved by [2, 0, 1]: x comes first, and keeps its spacing.
    assert answer.placement.order == (0, 2, 1)
    assert answer.logits.shape == (3, 8, 11, 18)
    assert teacher.labels(answer, {"CT": scan}).shape == (9, 10, 11)
    assert teacher.summary()["patch"] == [None, 8, 8]
    single = scan_of((9, 10, 1))
    assert teacher.labels(teacher.answer({"CT": single}, case="a"), {"CT": single}).shape == (9, 10, 1)


def test_an_odd_patch_larger_than_the_scan(tmp_path: Path) -> None:
    entry = plain(patch_size=[15, 8, 20])
    entry["architecture"]["arch_kwargs"]["strides"] = [[1, 1, 1], [1, 2, 2]]
    teacher = opened(write_model(tmp_path, "a", plans=plans_with(a=entry)))
    answer = teacher.answer(CASE, case="a")
    assert answer.logits.shape[1:] == answer.placement.shape == (10, 10, 11)


REGIONS = {
    **DATASET,
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "rim": 3, "ignore": 4},
    "regions_class_order": [1, 2, 3],
}


def test_regions_in_their_own_order(tmp_path: Path) -> None:
    teacher = opened(write_model(tmp_path, dataset=REGIONS))
    assert teacher.activation == "sigmoid"
    assert teacher.heads == (Head("whole", (1, 2, 3)), Head("core", (2, 3)), Head("rim", (3,)))
    answer = teacher.answer(CASE, case="a")
    probabilities, labels = teacher.probabilities(answer, CASE), teacher.labels(answer, CASE)
    expected = np.zeros(labels.shape, np.uint8)
    for head, value in zip(probabilities, (1, 2, 3), strict=True):
        expected[head > 0.5] = value
    assert np.array_equal(labels, expected)
    assert (probabilities[:, 0] == 0).all()  # outside of the box no region holds
    assert teacher.summary()["ignore_label"] == 4


def test_an_ignored_label_has_no_head(tmp_path: Path) -> None:
    dataset = {**DATASET, "labels": {"background": 0, "tumour": 2, "liver": 1, "ignore": 3}}
    teacher = opened(write_model(tmp_path, dataset=dataset))
    assert [head.name for head in teacher.heads] == ["background", "liver", "tumour"]
    assert teacher.described.ignore == 3


@pytest.mark.parametrize(
    "how",
    [
        {},  # a spline of order 1 in three axes
        {"resampling_fn_probabilities_kwargs": {"order": 1, "order_z": 0, "force_separate_z": True}},
        {"resampling_fn_probabilities_kwargs": {"order": 3, "order_z": 1, "force_separate_z": True}},
        {"resampling_fn_probabilities": "resample_torch_fornnunet", "resampling_fn_probabilities_kwargs": {}},
    ],
)
def test_labels_are_the_largest_probability(how: dict[str, Any], tmp_path: Path) -> None:
    """Made block by block and slice by slice, they are what the whole probability maps say."""
    teacher = opened(write_model(tmp_path, "a", plans=plans_with(a=plain(spacing=[1.5, 0.8, 1.2], **how))))
    answer = teacher.answer(CASE, case="a")
    probabilities, labels = teacher.probabilities(answer, CASE), teacher.labels(answer, CASE)
    assert answer.logits.shape[1:] == (7, 12, 9)
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    assert (probabilities[0, 0] == 1).all()  # outside of the box the background is certain
    first, second = np.sort(probabilities, 0)[:-3:-1]
    clear = first - second > 1e-4
    assert clear.mean() > 0.95
    assert np.array_equal(labels[clear], probabilities.argmax(0)[clear])
    assert len(np.unique(labels)) > 1


def test_normalisation(tmp_path: Path) -> None:
    """Each scheme against its formula, on the crop."""
    scans = [scan_of(seed=n) for n in range(5)]
    for scan in scans:
        scan.array[4:6, 4:6, 4:6] = 0  # a hole: inside of the body, though it is 0
    schemes = ["CT", "ZScore", "ZScore", "RescaleTo01", "No"]
    plans = plans_with(
        a=plain(
            normalization_schemes=[f"{name}Normalization" for name in schemes],
            use_mask_for_norm=[False, False, True, False, False],
        )
    )
    dataset = {**DATASET, "channel_names": {str(n): f"M{n}" for n in range(5)}}
    teacher = opened(write_model(tmp_path, "a", plans=plans, dataset=dataset))
    found = prepare(scans, teacher.configuration, case="a").image
    crop = [scan.array[1:, :-1].transpose(2, 1, 0).astype(np.float64) for scan in scans]
    body = np.ones(crop[0].shape, bool)
    expected = [
        (crop[0].clip(-50, 150) - 40) / 30,
        (crop[1] - crop[1].mean()) / crop[1].std(),
        (crop[2] - crop[2][body].mean()) / crop[2][body].std(),
        (crop[3] - crop[3].min()) / (crop[3].max() - crop[3].min()),
        crop[4],
    ]
    for scheme, one, other in zip(schemes, found, expected, strict=True):
        assert np.allclose(one, other, atol=1e-4), scheme


def test_masked_normalisation_leaves_what_is_outside(tmp_path: Path) -> None:
    scan = scan_of((14, 14, 14))
    at = np.stack(np.meshgrid(*[np.linspace(-1, 1, 14)] * 3, indexing="ij"))
    outside = (at**2).sum(0) > 1
    scan.array[outside] = 0
    scan.array[6:8, 6:8, 6:8] = 0
    plans = plans_with(a=plain(use_mask_for_norm=[True]))
    teacher = opened(write_model(tmp_path, "a", plans=plans))
    found = prepare([scan], teacher.configuration, case="a").image[0].transpose(2, 1, 0)
    kept = ~outside[1:-1, 1:-1, 1:-1] if found.shape == (12, 12, 12) else ~outside
    values = scan.array[~outside].astype(np.float64)
    assert np.allclose(found[kept], (values - values.mean()) / values.std(), atol=1e-4)
    assert (found[~kept] == 0).all()


def test_a_scan_of_zeros(tmp_path: Path) -> None:
    teacher = opened(write_model(tmp_path))
    scan = scan_of()
    scan.array[:] = 0
    answer = teacher.answer({"CT": scan}, case="a")
    assert answer.placement.shape == (10, 11, 12)
    assert np.isfinite(answer.logits).all()


def cascade(tmp_path: Path, **lowres: Any) -> Path:
    """Two model folders; the second is shown what the first found."""
    plans = plans_with(
        **{
            "3d_lowres": plain(spacing=[1.5] * 3, next_stage="3d_cascade_fullres"),
            "3d_fullres": plain(spacing=[0.9, 1.1, 1.0]),
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        }
    )
    write_model(tmp_path, "3d_lowres", plans=plans, folds=("all",), **lowres)
    return write_model(tmp_path, "3d_cascade_fullres", plans=plans, inputs=3)


def test_a_cascade(tmp_path: Path) -> None:
    teacher = opened(cascade(tmp_path), folds=("0",))
    before = teacher.previous
    assert before is not None
    assert (before.folds, before.configuration.name) == (("all",), "3d_lowres")
    labels = before.labels(before.answer(CASE, case="a"), CASE)
    shown = prepare(
        list(CASE.values()), teacher.configuration, case="a", first_stage=labels, foreground=(1, 2)
    ).image
    assert len(shown) == 3
    assert set(np.unique(shown[1:])) == {0, 1}
    assert (shown[1:].sum(0) <= 1).all()
    # Without resampling the channels would be the labels themselves; with it, nearly so.
    volume = [(labels[1:, :-1] == value).mean() for value in (1, 2)]
    assert np.allclose([shown[1].mean(), shown[2].mean()], volume, atol=0.05)
    assert max(volume) > 0.05
    found = teacher.answer(CASE, case="a").logits
    assert found.shape == (3, *shown.shape[1:])
    assert teacher.summary()["previous_stage"]["configuration"] == "3d_lowres"
    assert teacher.digest != before.digest


def test_a_cascade_depends_on_its_first_stage(tmp_path: Path) -> None:
    found = []
    for by in (1, -1):
        folder = cascade(
            tmp_path / str(by),
            change=lambda w, by=by: {
                name: one * by if name.startswith("decoder.seg_layers") else one for name, one in w.items()
            },
        )
        found.append(opened(folder).answer(CASE, case="a").logits)
    assert not np.allclose(found[0], found[1], atol=1e-3)


def test_readers_that_reorient(tmp_path: Path) -> None:
    plans = changed(plans_with(a=plain()), "image_reader_writer", "NibabelIOWithReorient")
    teacher = opened(write_model(tmp_path, "a", plans=plans))
    assert teacher.orientation == "RAS"
    assert opened(tmp_path, orientation="LPS").orientation == "LPS"


def test_memory_does_not_grow_with_what_is_restored(tmp_path: Path) -> None:
    """Labels of many classes take the logits, and beside them a few arrays of the scan."""
    import tracemalloc

    from distilseg.runtime.nnunet.preparation import Resampling
    from distilseg.teachers.nnunet.restore import label_map
    from distilseg.teachers.teacher import Placement

    shape, fine = (20, 20, 20), (60, 60, 60)
    placement = Placement(fine, (2, 1, 0), (1.0,) * 3, (3.0,) * 3, shape, ((0, 60),) * 3)
    peaks = {}
    for across in (None, 0):
        for classes in (10, 100):
            logits = np.random.default_rng(0).normal(size=(classes, *shape)).astype(np.float32)
            tracemalloc.start()
            label_map(logits, placement, Resampling("spline", 1), across, "softmax", range(classes))
            peaks[across, classes] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peaks[across, 100] < 2 * peaks[across, 10] + 2**20


@pytest.mark.parametrize(
    ("scans", "words"),
    [
        ({"MR": scan_of()}, r"case a: modality CT is missing; it has MR; the teacher is shown CT"),
        ({}, r"modality CT is missing; it has none"),
    ],
)
def test_scans_it_cannot_take(scans: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=words):
        opened(write_model(tmp_path)).answer(scans, case="a")


def test_scans_that_cannot_be_answered(tmp_path: Path) -> None:
    dataset = {**DATASET, "channel_names": {"0": "CT", "1": "PET"}}
    plans = plans_with(a=plain(normalization_schemes=["ZScoreNormalization", "RGBTo01Normalization"]))
    teacher = opened(write_model(tmp_path, "a", plans=plans, dataset=dataset))
    with pytest.raises(UserError, match=r"case a: .* 12 x 11 x 9 voxels, .* 12 x 11 x 10"):
        teacher.answer({"CT": scan_of(), "PET": scan_of((12, 11, 9), name="b_0001.nii.gz")}, case="a")
    with pytest.raises(UserError, match=r"case a: intensities from .* the teacher takes 0 to 255"):
        teacher.answer({"CT": scan_of(), "PET": scan_of(name="b_0001.nii.gz")}, case="a")
    damaged = scan_of()
    damaged.array[3, 3, 3] = np.nan
    with pytest.raises(UserError, match=r"case a: case_0000\.nii\.gz holds voxels that are NaN or infinite"):
        teacher.answer({"CT": damaged, "PET": scan_of(name="b_0001.nii.gz")}, case="a")
    thin = scan_of((12, 11, 10), (0.04, 1.0, 1.0))
    with pytest.raises(UserError, match=r"case a: .* are too few for a spacing of 1 x 1 x 1 mm"):
        opened(write_model(tmp_path / "b")).answer({"CT": thin}, case="a")
