from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference

from distilseg.data.scans import limits
from distilseg.data.scans.reading import read_scan
from distilseg.data.scans.scan import Scan
from distilseg.errors import UserError
from distilseg.runtime.bundle.shown import shown
from distilseg.teachers import monai_bundle
from distilseg.teachers.monai_bundle.post import largest as largest_parts
from distilseg.teachers.restoring import activated, probabilities_of
from distilseg.teachers.teacher import Teacher, TeacherOptions
from tests.data.small_datasets import write
from tests.networks.zoo_unest import zoo_unest
from tests.teachers.bundles import ARGMAX, INVERTED, SOFTMAX, UNET, bundle, by_monai, inference, metadata
from tests.teachers.fixtures import teachers

ORIENTED = {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"}
SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
THRESHOLD = {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5}
# 20 degrees about z, in the order A L S; 1.2 x 0.9 x 2.5 mm
TURNED = np.array(
    [
        [1.2 * np.sin(0.35), -0.9 * np.cos(0.35), 0, 5],
        [1.2 * np.cos(0.35), 0.9 * np.sin(0.35), 0, -20],
        [0, 0, 2.5, 7],
        [0, 0, 0, 1],
    ]
)
STRAIGHT = np.array([[0, -0.9, 0, 5], [1.2, 0, 0, -20], [0, 0, 2.5, 7], [0, 0, 0, 1.0]])


def spacing(*pixdim: float, **more: Any) -> dict[str, Any]:
    return {"_target_": "Spacingd", "keys": "@image_key", "pixdim": list(pixdim), "mode": "bilinear", **more}


def intensity(target: str, **more: Any) -> dict[str, Any]:
    return {"_target_": target, "keys": ["@image_key"], **more}


def scan_in(folder: Path, affine: np.ndarray = STRAIGHT, seed: int = 0, name: str = "scan") -> Path:
    array = np.random.default_rng(seed).integers(-200, 1000, (21, 18, 15)).astype(np.int16)
    array[:3], array[:, -2:] = 0, 0
    return write(folder / f"{name}.nii.gz", array, affine)


def opened(path: Path, **options: Any) -> monai_bundle.BundleTeacher:
    assert monai_bundle.recognises(path)
    return monai_bundle.open_as_teacher(path, TeacherOptions(device="cpu", **options))


def test_the_bundle_of_the_zoo_s_form_answers_as_monai_does() -> None:
    of = teachers()
    scans = {"MR": read_scan(of / "inputs" / "Dataset004_Hippocampus" / "hippocampus_203_0000.nii.gz")}
    teacher = opened(of / "monai_bundle_hippocampus")
    answers = np.load(of / "monai_answers" / "hippocampus_203.npz")
    assert isinstance(teacher, Teacher)
    np.testing.assert_allclose(teacher.prepare(scans, case="a").image, answers["image"], atol=1e-5)
    answer = teacher.answer(scans, case="a")
    np.testing.assert_allclose(answer.logits, answers["logits"], atol=1e-4)
    np.testing.assert_allclose(teacher.probabilities(answer, scans), answers["probabilities"], atol=1e-5)
    stored = np.asarray(nib.load(of / "monai_answers" / "hippocampus_203.nii.gz").dataobj)
    np.testing.assert_array_equal(teacher.labels(answer, scans), stored)
    told = json.loads(json.dumps(teacher.summary()))
    assert told["licence"] == "Apache License 2.0 (fixture with random weights)"
    assert told["classes"] == {"background": [0], "Anterior": [1], "Posterior": [2]}
    assert (told["network"], told["patch"]) == ("UNet, 72,064 parameters", [24, 32, 16])


PIPELINES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "oriented and spaced": {"preprocessing": [ORIENTED, spacing(1.0, 1.1, 2.0)]},
    "spaced as stored": {"preprocessing": [spacing(1.5, 1.5, 2.0, diagonal=False)]},
    "one spacing for all, some kept": {"preprocessing": [ORIENTED, spacing(1.5, -1, 1.5)]},
    "near enough": {"preprocessing": [ORIENTED, spacing(0.9005, 1.2, 2.5)]},
    "splines": {"preprocessing": [ORIENTED, spacing(1.0, 1.1, 2.0, mode=3)]},
    "nearest, beyond it 0": {
        "preprocessing": [ORIENTED, spacing(1.3, 1.7, 2.1, mode=["nearest"], padding_mode="zeros")]
    },
    "zscore of what is not 0": {
        "preprocessing": [intensity("NormalizeIntensityd", nonzero=True, channel_wise=True)]
    },
    "zscore, then spaced": {"preprocessing": [intensity("NormalizeIntensityd"), ORIENTED, spacing(1, 1, 2)]},
    "numbers given": {
        "preprocessing": [
            intensity("NormalizeIntensityd", subtrahend=[100.0], divisor=[50.0], channel_wise=True)
        ]
    },
    "range clipped": {
        "preprocessing": [
            intensity("ScaleIntensityRanged", a_min=-57, a_max=164, b_min=0.0, b_max=1.0, clip=True)
        ]
    },
    "range": {"preprocessing": [intensity("ScaleIntensityRanged", a_min=0, a_max=500, b_min=-1, b_max=1)]},
    "minmax": {"preprocessing": [intensity("ScaleIntensityd", minv=-1.0, maxv=1.0), ORIENTED]},
    "cropped": {
        "preprocessing": [
            ORIENTED,
            {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", "margin": 1},
            spacing(1.1, 1.1, 2.0),
        ]
    },
    "cropped last": {
        "preprocessing": [
            ORIENTED,
            spacing(1.1, 1.1, 2.0),
            intensity("CropForegroundd", source_key="image", margin=[0, 4, 0], k_divisible=4),
        ]
    },
    "gaussian windows": {
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [12, 32, 8],
            "overlap": 0.6,
            "mode": "gaussian",
            "padding_mode": "replicate",
        }
    },
    "whole": {
        "network": UNET | {"strides": [1]},
        "inferer": {"_target_": "SimpleInferer"},
    },
    "windows of the whole along an axis": {
        "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, -1, 12], "overlap": [0.5, 0, 0.25]},
        "network": UNET | {"strides": [1]},
    },
    "slices": {
        "network": UNET | {"spatial_dims": 2},
        "inferer": {"_target_": "SliceInferer", "roi_size": [16, 16], "spatial_dim": 2, "overlap": 0.25},
    },
    "regions": {
        "postprocessing": [SIGMOID, INVERTED, THRESHOLD],
        "preprocessing": [ORIENTED, spacing(1.1, 1.1, 2.0)],
    },
    "percentiles": {
        "preprocessing": [
            intensity("ScaleIntensityRangePercentilesd", lower=1, upper=98, b_min=0, b_max=2, clip=True)
        ]
    },
    "cropped to what is not 0": {
        "preprocessing": [
            intensity("CropForegroundd", source_key="image", select_fn="$lambda x: x != 0"),
            ORIENTED,
            spacing(1.1, 1.1, 2.0),
        ]
    },
    "channels apart": {
        "preprocessing": [
            intensity("SplitDimd", dim=0),
            {"_target_": "ScaleIntensityd", "keys": ["image_0"]},
            {"_target_": "ConcatItemsd", "keys": ["image_0"], "name": "image"},
            ORIENTED,
        ]
    },
    "logits brought back": {
        "postprocessing": [INVERTED, ARGMAX],
        "preprocessing": [ORIENTED, spacing(1.1, 1.1, 2.0)],
    },
    "labels of other numbers": {
        "postprocessing": [
            SOFTMAX,
            INVERTED,
            ARGMAX,
            {
                "_target_": "MapLabelValued",
                "keys": "pred",
                "orig_labels": [0, 1, 2],
                "target_labels": [0, 7, 300],
            },
        ],
    },
    "labels by the nearest": {
        "postprocessing": [SOFTMAX, ARGMAX, {k: v for k, v in INVERTED.items() if k != "nearest_interp"}],
        "preprocessing": [ORIENTED, spacing(1.1, 1.1, 2.0)],
    },
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("affine", [STRAIGHT, TURNED], ids=["straight", "turned"])
@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_are_monai_s(tmp_path: Path, name: str, affine: np.ndarray) -> None:
    names = ("a", "b", "c") if name == "regions" else ("background", "a", "b")
    path = bundle(tmp_path / "bundle", inference(**PIPELINES[name]), metadata(names))
    image = scan_in(tmp_path, affine)
    expected = by_monai(path, image)
    teacher, scans = opened(path), {"MR": read_scan(image)}
    prepared = teacher.prepare(scans, case="a")
    np.testing.assert_allclose(prepared.image, expected["image"], atol=2e-5, rtol=1e-5)
    answer = teacher.answer(scans, case="a")
    np.testing.assert_allclose(answer.logits, expected["logits"], atol=1e-4)
    labels = teacher.labels(answer, scans)
    if name == "regions":
        p = teacher.probabilities(answer, scans)
        np.testing.assert_array_equal(p > 0.5, expected["labels"] > 0)
        np.testing.assert_array_equal(labels > 0, expected["labels"].any(0))
    else:
        assert (labels != expected["labels"][0]).mean() < 1e-3
    if name == "logits brought back":
        found = teacher.probabilities(answer, scans)
        np.testing.assert_allclose(found, activated(expected["probabilities"], "softmax"), atol=1e-5)
    elif name != "labels by the nearest":
        found = teacher.probabilities(answer, scans)
        np.testing.assert_allclose(found, expected["probabilities"], atol=1e-5)
        # What is recorded lies where the placement says: logits brought back give the same, but for the order
        # of interpolation and activation.
        inside = found.sum(0) > 0.999
        if teacher.activation == "softmax" and prepared.image.min() > -10:
            assert np.abs(probabilities_of(answer) - found)[:, inside].max() < 0.25
            assert np.abs(probabilities_of(answer) - found)[:, inside].mean() < 0.01


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "network",
    [
        {
            "_target_": "SegResNet",
            "spatial_dims": 3,
            "init_filters": 8,
            "in_channels": 1,
            "out_channels": 3,
            "blocks_down": [1, 1],
            "blocks_up": [1],
        },
        {
            "_target_": "DynUNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            "kernel_size": [3, [3, 3, 1], 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [4, 8, 8],
            "norm_name": ["instance", {"affine": True}],
        },
        {
            "_target_": "SwinUNETR",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            "feature_size": 12,
            "depths": [1, 1, 1, 1],
            "num_heads": [1, 1, 1, 1],
        },
        {
            "_target_": "AttentionUnet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            "channels": [4, 8],
            "strides": [2],
        },
        {"_target_": "BasicUNetPlusPlus", "in_channels": 1, "out_channels": 3, "features": [4] * 6},
    ],
    ids=lambda network: network["_target_"],
)
def test_networks_of_monai_are_built(tmp_path: Path, network: dict[str, Any]) -> None:
    size = 32 if network["_target_"] != "SwinUNETR" else 64
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [size] * 3, "overlap": 0.25}
    path = bundle(tmp_path / "bundle", inference(network, inferer=inferer))
    image = scan_in(tmp_path)
    expected = by_monai(path, image)["logits"]
    if network["_target_"] == "SwinUNETR":  # as its bundle of the zoo still has it
        config = json.loads((path / "configs" / "inference.json").read_text())
        config["network_def"]["img_size"] = [96, 96, 96]
        (path / "configs" / "inference.json").write_text(json.dumps(config))
    answer = opened(path).answer({"MR": read_scan(image)}, case="a")
    np.testing.assert_allclose(answer.logits, expected, atol=1e-4)


ZOO_UNEST: dict[str, Any] = {
    "_target_": "scripts.networks.unest_base_patch_4.UNesT",
    "in_channels": 1,
    "out_channels": 3,
    "feature_size": 2,
    "patch_size": 4,
    "embed_dim": [16, 32, 64],
    "num_heads": [1, 2, 4],
    "depths": [1, 1, 2],
}


def zoo_unest_bundle(folder: Path, network: dict[str, Any] = ZOO_UNEST) -> tuple[Path, torch.nn.Module]:
    """A bundle that describes its network by the zoo's script, and that network."""
    bundle(folder)
    sliding = {"_target_": "SlidingWindowInferer", "roi_size": [96, 96, 96], "overlap": 0.7}
    config = inference(network, [intensity("NormalizeIntensityd", nonzero="True")], sliding)
    (folder / "configs" / "inference.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    made = zoo_unest(3, *(ZOO_UNEST[name] for name in ("embed_dim", "num_heads", "depths"))).eval()
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    torch.save({"model": made.state_dict()}, folder / "models" / "model.pt")
    return folder, made


def test_unest_of_the_zoo_is_built_and_its_script_is_not_run(tmp_path: Path) -> None:
    path, theirs = zoo_unest_bundle(tmp_path / "bundle")
    image = scan_in(tmp_path)
    teacher = opened(path)
    found = teacher.answer({"MR": read_scan(image)}, case="a").logits
    x = read_scan(image).array.astype(np.float32)
    x[x != 0] = (x[x != 0] - x[x != 0].mean()) / x[x != 0].std()
    shown = torch.from_numpy(x)[None, None]
    with torch.inference_mode():
        expected = sliding_window_inference(shown, (96, 96, 96), 1, theirs, overlap=0.7)[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())
    assert teacher.provenance.network.startswith("UNesT, ")


def test_unest_of_the_kidneys_has_its_size_from_its_script(tmp_path: Path) -> None:
    """Arguments of size are not read there: those of its weights would make a smaller network."""
    network = {"_target_": "scripts.networks.unest.UNesT", "in_channels": 1, "out_channels": 3}
    path, _ = zoo_unest_bundle(tmp_path / "bundle", network | {"depths": [1, 1, 1]})
    with pytest.raises(UserError, match="UNesT would be far larger than its weights"):
        opened(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"patch_size": 2}, "UNesT with patch_size 2, 4 was expected"),
        ({"in_channels": 2}, "network_def has 2 in_channels, .* do they belong to one bundle"),
        (
            {"depths": [2, 2, 2, 2]},
            r"depths \[2, 2, 2, 2\], a number from 1 to 256 was expected for each of 3",
        ),
        ({"embed_dim": [16, 32, 10**9]}, r"embed_dim \[16, 32, 1000000000\], a number from 1 to 4096"),
        (
            {"embed_dim": [16, 32, 128]},
            r"embed_dim \[16, 32, 128\] beside feature_size 2, 8, 16 and 32 times",
        ),
        ({"num_heads": [3, 2, 4]}, r"num_heads \[3, 2, 4\], which do not divide \[16, 32, 64\]"),
        ({"out_channels": "many"}, "network_def has 'many' out_channels"),
        ({"levels": 3}, "UNesT has the argument 'levels', which is not known here"),
        ({"depths": [1, 1, 200]}, "UNesT would be far larger than its weights"),
        ({"depths": [1, 1, 3]}, "lacks levels.2.layers.2"),
        ({"out_channels": 4}, r"head.conv.conv.weight is \[3, 4, 1, 1, 1\], UNesT has \[4, 4, 1, 1, 1\]"),
    ],
)
def test_another_unest_than_its_weights_is_refused(
    tmp_path: Path, changed: dict[str, Any], said: str
) -> None:
    path, _ = zoo_unest_bundle(tmp_path / "bundle", ZOO_UNEST | changed)
    about = metadata(("background", "a", "b", "c")) if changed == {"out_channels": 4} else metadata()
    (path / "configs" / "metadata.json").write_text(json.dumps(about))
    with pytest.raises(UserError, match=said):
        opened(path)


@pytest.mark.filterwarnings("ignore")
def test_several_modalities_come_in_the_bundle_s_order(tmp_path: Path) -> None:
    config = inference(UNET | {"in_channels": 2}, [intensity("NormalizeIntensityd", channel_wise=True)])
    path = bundle(tmp_path / "bundle", config, metadata(images=("T1", "T2")))
    images = [scan_in(tmp_path, seed=n, name=f"m{n}") for n in range(2)]
    teacher = opened(path)
    assert teacher.modalities == ("T1", "T2")
    answer = teacher.answer({"T2": read_scan(images[1]), "T1": read_scan(images[0])}, case="a")
    np.testing.assert_allclose(answer.logits, by_monai(path, images)["logits"], atol=1e-4)
    with pytest.raises(UserError, match=r"case a: modality T2 is missing; it has T1; the teacher needs"):
        teacher.answer({"T1": read_scan(images[0])}, case="a")


def test_a_zip_of_it_and_yaml_are_the_same_teacher(tmp_path: Path) -> None:
    import yaml

    path = bundle(tmp_path / "small")
    scans = {"MR": read_scan(scan_in(tmp_path))}
    expected = opened(path).answer(scans, case="a").logits
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "small"))
    np.testing.assert_array_equal(opened(packed).answer(scans, case="a").logits, expected)
    config = json.loads((path / "configs" / "inference.json").read_text())
    (path / "configs" / "inference.json").unlink()
    (path / "configs" / "inference.yaml").write_text(yaml.safe_dump(config))
    np.testing.assert_array_equal(opened(path).answer(scans, case="a").logits, expected)


def test_options_are_kept_to(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    scans = {"MR": read_scan(scan_in(tmp_path))}
    plain, mirrored = opened(path), opened(path, mirror=True)
    assert len({plain.digest, mirrored.digest, opened(path, step=0.3).digest}) == 3
    assert opened(path, step=0.3).windows.overlap == (0.7, 0.7, 0.7)
    flipped = {"MR": Scan(scans["MR"].array[::-1], scans["MR"].geometry, scans["MR"].path)}
    one, other = (mirrored.answer(s, case="a").logits for s in (scans, flipped))
    np.testing.assert_allclose(one, other[:, ::-1], atol=1e-4)
    turned = opened(path, orientation="LPS").answer(scans, case="a")
    assert turned.placement.step != plain.answer(scans, case="a").placement.step


def test_a_grid_of_its_own_that_memory_does_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """21 x 18 x 15 voxels of 1.2 x 0.9 x 2.5 mm: (n - 1) old / new + 1 at a tenth of a millimetre."""
    path = bundle(tmp_path / "bundle", inference(preprocessing=[spacing(0.1, 0.1, 0.1)]))
    teacher, scans = opened(path), {"MR": read_scan(scan_in(tmp_path))}
    monkeypatch.setattr(limits, "memory_bytes", lambda: 12 * 1000 * 1000)
    with pytest.raises(UserError, match=r"case a: resampled to 0.1 x 0.1 x 0.1 mm it has 241 x 154 x 351"):
        teacher.prepare(scans, case="a")


def test_weights_within_a_program_are_read_and_it_is_not_run(tmp_path: Path) -> None:
    import torch
    from monai.networks.nets import UNet

    path = bundle(tmp_path / "bundle")
    scans = {"MR": read_scan(scan_in(tmp_path))}
    expected = opened(path).answer(scans, case="a").logits
    network = UNet(**{k: v for k, v in UNET.items() if k != "_target_"})
    network.load_state_dict(torch.load(path / "models" / "model.pt", weights_only=True))
    (path / "models" / "model.pt").unlink()
    with warnings.catch_warnings(action="ignore"):
        program = torch.jit.trace(network.eval(), torch.zeros(1, 1, 16, 16, 16))
        torch.jit.save(program, path / "models" / "model.ts")
    np.testing.assert_allclose(opened(path).answer(scans, case="a").logits, expected, atol=1e-6)


def test_terms_that_forbid_commerce_are_told(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle", about=metadata() | {"name": "vista3d"})
    assert opened(path).provenance.warnings == (
        "vista3d is not for commercial use: Apache License / Version 2.0.",
    )
    (path / "LICENSE").write_text("NVIDIA OneWay Non-Commercial License\n\n1. Definitions\n2. Use\n3. More\n")
    assert opened(path).provenance.warnings == (
        "vista3d is not for commercial use: NVIDIA OneWay Non-Commercial License / 1. Definitions / 2. Use.",
    )
    path = bundle(tmp_path / "other")
    assert opened(path).provenance.warnings == ()


def test_it_is_found_by_what_it_holds(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle")
    assert not monai_bundle.recognises(tmp_path / "nowhere")
    assert not monai_bundle.recognises(path / "LICENSE")
    assert not monai_bundle.recognises(path / "models")


@pytest.mark.parametrize("independent", [True, False])
def test_the_largest_parts_are_kept(tmp_path: Path, independent: bool) -> None:
    """The maps of the description of MONAI's KeepLargestConnectedComponent."""
    largest = {
        "_target_": "KeepLargestConnectedComponentd",
        "keys": "pred",
        "applied_labels": [1, 2],
        "independent": independent,
        "connectivity": 1,
    }
    path = bundle(tmp_path / "bundle", inference(postprocessing=[SOFTMAX, ARGMAX, largest]))
    given = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [1, 2, 1, 0, 0], [1, 2, 0, 1, 0], [2, 2, 0, 0, 2]])
    together = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [1, 2, 1, 0, 0], [1, 2, 0, 0, 0], [2, 2, 0, 0, 0]])
    apart = np.array([[0, 0, 1, 0, 0], [0, 2, 1, 1, 1], [0, 2, 1, 0, 0], [0, 2, 0, 0, 0], [2, 2, 0, 0, 0]])
    logits = np.stack([given[..., None] == k for k in range(3)]).astype(np.float32)
    teacher = opened(path)
    state = shown(logits[:1], np.eye(4))
    labels = teacher.post.labels(logits, state, [head.values[0] for head in teacher.heads], largest_parts)
    np.testing.assert_array_equal(labels[..., 0], apart if independent else together)
