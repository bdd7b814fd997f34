"""Recorded answers of many classes: what they take, what they keep, what an epoch with them costs.

A phantom of CT at 1.5 mm, an nnU-Net of 118 classes beside one of 25, as TotalSegmentator's are: 32 features
at full size, no mirroring; its weights are random, which changes nothing of what is measured here.

- Memory: the peak of a process in which the teacher answers for one scan, the answer is recorded and its
  label map is made, 118 classes against 25: <= 1.2. Everything counts, libraries and pages of files too.
- Size: what is kept of 118 classes against all of them in float16: <= 1/20.
- Dice: the likeliest class of what is kept against that of the answer itself, interpolated whole to the
  student's grid, mean over classes: >= 0.999. The answers are smooth noise, so that any class may win.
- Time: an epoch with recorded answers of 118 classes against one on the labels alone: <= 1.3, as training
  runs it; and the same in processor time.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from distilseg.data.phantom.volumes import LABELS, write_phantom
from distilseg.data.scans.scan import Scan
from distilseg.inference.denormals import denormals_flushed
from distilseg.networks.build import build
from distilseg.networks.features import feature_shapes
from distilseg.recipes import find
from distilseg.scratch import IN_MEMORY
from distilseg.teachers.nnunet.architecture import network_of
from distilseg.teachers.nnunet.plans import configuration_of
from distilseg.teachers.teacher import Answer, Head, Placement, Provenance
from distilseg.training.answers import record_answers
from distilseg.training.cases import prepare
from distilseg.training.experiment import Experiment
from distilseg.training.foreign import Foreign
from distilseg.training.memory import keep_freed_memory
from distilseg.training.objective import Objective, map_name
from distilseg.training.studies import make_study

from .common import Row, in_turns, ratio_row, row
from .teachers import stepper

MANY, FEW = 118, 25
SPACING_MM = 1.5
EPOCH = 4  # steps


@dataclass(frozen=True)
class Sizes:
    """Of what is measured."""

    scan: int = 120  # voxels along each axis
    window: int = 80  # of the teacher
    features: tuple[int, ...] = (32, 64, 128)
    scan_to_learn: int = 64
    patch: int = 48  # of the student


QUICK = Sizes(scan=24, window=16, features=(4, 8, 8), scan_to_learn=24, patch=16)


def main(quick: bool = False) -> list[Row]:
    sizes = QUICK if quick else Sizes()
    with tempfile.TemporaryDirectory() as folder:
        return [*_recorded(Path(folder), sizes, quick), *_learned(Path(folder), sizes, quick)]


def _recorded(folder: Path, sizes: Sizes, quick: bool) -> list[Row]:
    """Memory and size: each process alone."""
    many, few = (_in_its_own_process(classes, folder, quick) for classes in (MANY, FEW))
    kept, voxels = many["kept_bytes"], sizes.scan**3
    return [
        row(
            "recorded answers",
            f"peak memory, one scan of {sizes.scan}³ voxels answered, recorded and made a label map,"
            f" {MANY} classes against {FEW}",
            ours=many["peak_mb"],
            peer=few["peak_mb"],
            unit="MiB resident",
            ratio=many["peak_mb"] / few["peak_mb"],
            aim="<= 1.2",
            peer_name=f"{FEW} classes",
            repeats=1,
            note=f"libraries alone {many['before_mb']:.0f} MiB; the logits"
            f" {4 * MANY * voxels / 2**20:.0f} against {4 * FEW * voxels / 2**20:.0f} MiB, on the disk beyond"
            f" {IN_MEMORY / 2**20:.0f};"
            f" {many['seconds']:.0f} s of processor time against {few['seconds']:.0f} s",
        ),
        row(
            "recorded answers",
            f"size of {MANY} classes",
            ours=kept / voxels,
            peer=2.0 * MANY,
            unit="bytes a voxel",
            ratio=kept / (2 * MANY * voxels),
            aim="<= 0.05",
            peer_name="all in float16",
            repeats=1,
            note="with the voxels of structures that patches are drawn around",
        ),
    ]


def _in_its_own_process(classes: int, folder: Path, quick: bool) -> dict[str, Any]:
    order = [sys.executable, "-m", "benchmarks.answers", json.dumps([classes, str(folder), quick])]
    done = subprocess.run(order, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _measure(classes: int, folder: str, quick: bool) -> dict[str, Any]:
    """The peak of this process, in which a teacher of so many classes answers for one scan."""
    torch.set_num_threads(1)
    before_mb = _peak_mb()
    sizes, here = QUICK if quick else Sizes(), Path(folder) / str(classes)
    data = _scans(here / "scans", classes, cases=3, size=sizes.scan)
    model = _model(here, classes, sizes.window, sizes.features)
    experiment = find("distil")(make_study(data, patch=(sizes.window,) * 3), teacher=[str(model)])
    foreign, dataset = _foreign(experiment), experiment.study.dataset
    id, prepared = next(iter(prepare(experiment, here / "cache").items()))
    start, scans = time.process_time(), foreign.scans(dataset.case(id))
    answer = foreign.teacher.answer(scans, case=id)
    foreign.teacher.labels(answer, scans)
    given = replace(foreign, teacher=_Given(foreign.teacher.heads, answer))
    record_answers("teacher", given, dataset, {id: prepared}, here / "cache")
    recorded = (here / "cache" / "answers").rglob("*")
    return {
        "peak_mb": _peak_mb(),
        "before_mb": before_mb,
        "seconds": time.process_time() - start,
        "kept_bytes": sum(file.stat().st_size for file in recorded if file.is_file()),
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kilobytes on Linux


def _learned(folder: Path, sizes: Sizes, quick: bool) -> list[Row]:
    """Dice and time: the student's own grid, with a teacher of smooth noise."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as training does
    data = _scans(folder / "to_learn", MANY, cases=4, size=sizes.scan_to_learn)
    model = _model(folder / "named", MANY, sizes.patch, (4, 8))
    experiment = find("distil")(make_study(data, patch=(sizes.patch,) * 3), teacher=[str(model)])
    noise = _noise((sizes.scan_to_learn,) * 3, sizes.scan_to_learn * 4 // 5)
    foreign = replace(_foreign(experiment), teacher=_Given(_foreign(experiment).teacher.heads, noise))
    study, prepared = experiment.study, prepare(experiment, folder / "cache")
    cases = {id: prepared[id] for id in study.split.train}
    found = record_answers("teacher", foreign, study.dataset, cases, folder / "cache")
    maps = {id: {map_name("teacher", "logits"): one.answers} for id, one in found.items()}
    restored = next(iter(found.values())).answers.values[0]  # number of the likeliest group
    return [_dice(noise, restored), *_time(experiment, prepared, maps, quick)]


def _dice(noise: Answer, restored: NDArray[np.uint8]) -> Row:
    logits_KS = torch.from_numpy(noise.logits)[None]
    original = F.interpolate(logits_KS, restored.shape, mode="trilinear")[0].argmax(0).numpy()
    each = [
        2 * np.sum((original == k) & (restored == k)) / (np.sum(original == k) + np.sum(restored == k))
        for k in np.unique(original)
    ]
    return row(
        "recorded answers",
        f"Dice of the likeliest class of {MANY}",
        ours=float(np.mean(each)),
        peer=1.0,
        unit="Dice",
        ratio=float(np.mean(each)),
        aim=">= 0.999",
        peer_name="the answer itself",
        repeats=1,
        note=f"{len(each)} classes win somewhere; the least Dice of one is {min(each):.5f}",
    )


def _time(experiment: Experiment, prepared: Any, maps: Any, quick: bool) -> list[Row]:
    assert experiment.control is not None
    steppers = {
        "plain": stepper(_objective(experiment.control), experiment, prepared, None),
        "recorded": stepper(_objective(experiment, ("teacher",)), experiment, prepared, maps),
    }

    processor: dict[str, list[float]] = {name: [] for name in steppers}

    def epoch(name: str) -> None:
        start = time.process_time()
        for _ in range(1 if quick else EPOCH):
            steppers[name]()
        processor[name].append(time.process_time() - start)

    turns: Mapping[str, Callable[[], None]] = {name: partial(epoch, name) for name in steppers}
    with denormals_flushed():
        seconds = in_turns(turns, repeats=1 if quick else 5)
    busy = {name: values[1:] for name, values in processor.items()}  # the first round warms up
    patch = "x".join(map(str, experiment.study.plan.patch))
    network = experiment.networks["student"].name
    return [
        ratio_row(
            "recorded answers",
            f"epoch of {network}, {MANY} classes, patch {patch}, {EPOCH} steps of two patches{how}",
            taken["recorded"],
            taken["plain"],
            aim="<= 1.3",
            peer_name="epoch on labels alone",
        )
        for how, taken in (("", seconds), (", processor time", busy))
    ]


def _objective(experiment: Experiment, recorded: tuple[str, ...] = ()) -> Objective:
    torch.manual_seed(0)
    networks = {role: build(spec) for role, spec in experiment.networks.items()}
    shapes = {
        role: feature_shapes(networks[role], (1, spec.in_channels, *spec.patch))
        for role, spec in experiment.networks.items()
    }
    return Objective(experiment.method(shapes), networks, recorded=recorded)


def _foreign(experiment: Experiment) -> Foreign:
    foreign = experiment.teachers["teacher"]
    assert isinstance(foreign, Foreign)
    return foreign


class _Given:
    """A teacher with one answer, for any scan."""

    name, modalities, activation, digest = "given", ("CT",), "softmax", "0"
    provenance = Provenance("given", {})

    def __init__(self, heads: tuple[Head, ...], given: Answer) -> None:
        self.heads, self.given = heads, given

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        return self.given

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Any:
        raise NotImplementedError

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> Any:
        raise NotImplementedError

    def summary(self) -> dict[str, Any]:
        raise NotImplementedError


def _noise(scan: Sequence[int], size: int) -> Answer:
    """Smooth noise on a grid of `size`³ voxels over a whole scan."""
    torch.manual_seed(0)
    coarse = 6 * torch.randn(1, MANY, *(max(4, size // 10),) * 3)
    logits = F.interpolate(coarse, (size,) * 3, mode="trilinear")[0].numpy()
    step = tuple(n / size for n in scan)
    start = tuple(s / 2 - 0.5 for s in step)  # outer voxel edges align
    box = tuple((0, n) for n in scan)
    return Answer(logits, Placement(tuple(scan), (0, 1, 2), start, step, (size,) * 3, box), "softmax")


def _names(classes: int) -> list[str]:
    return [LABELS.get(value, f"structure_{value}") for value in range(classes)]


def _scans(folder: Path, classes: int, *, cases: int, size: int) -> Path:
    """Phantoms whose dataset names so many classes; of most there is no voxel."""
    data = write_phantom(
        folder, cases=cases, shape=(size,) * 3, spacing_mm=(SPACING_MM,) * 3, modalities=("CT",)
    )
    about = json.loads((data / "dataset.json").read_text(encoding="utf-8"))
    about["labels"] = {str(value): name for value, name in enumerate(_names(classes))}
    (data / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    return data


def _model(folder: Path, classes: int, window: int, features: Sequence[int]) -> Path:
    """An nnU-Net model folder with random weights."""
    levels = len(features)
    linear = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    plans: dict[str, Any] = {
        "dataset_name": "Dataset700_Phantom",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"percentile_00_5": -1000.0, "percentile_99_5": 300.0, "mean": 50.0, "std": 120.0}
        },
        "configurations": {
            "3d_fullres": {
                "preprocessor_name": "DefaultPreprocessor",
                "patch_size": [window] * 3,
                "spacing": [SPACING_MM] * 3,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                **{
                    f"resampling_fn_{of}": "resample_data_or_seg_to_shape"
                    for of in ("data", "seg", "probabilities")
                },
                "resampling_fn_data_kwargs": {**linear, "order": 3},
                "resampling_fn_seg_kwargs": {**linear, "is_seg": True},
                "resampling_fn_probabilities_kwargs": linear,
                "architecture": {
                    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
                    "arch_kwargs": {
                        "n_stages": levels,
                        "features_per_stage": list(features),
                        "conv_op": "torch.nn.modules.conv.Conv3d",
                        "kernel_sizes": [[3] * 3] * levels,
                        "strides": [[1] * 3, *[[2] * 3] * (levels - 1)],
                        "n_conv_per_stage": [2] * levels,
                        "n_conv_per_stage_decoder": [2] * (levels - 1),
                        "conv_bias": True,
                        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
                        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                        "dropout_op": None,
                        "dropout_op_kwargs": None,
                        "nonlin": "torch.nn.LeakyReLU",
                        "nonlin_kwargs": {"inplace": True},
                    },
                    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
                },
            }
        },
    }
    dataset = {
        "channel_names": {"0": "CT"},
        "labels": {name: value for value, name in enumerate(_names(classes))},
        "file_ending": ".nii.gz",
    }
    place = folder / "Dataset700_Phantom" / "nnUNetTrainerNoMirroring__nnUNetPlans__3d_fullres"
    (place / "fold_0").mkdir(parents=True)
    (place / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    (place / "dataset.json").write_text(json.dumps(dataset), encoding="utf-8")
    torch.manual_seed(0)
    network = build(network_of(configuration_of(plans, "3d_fullres", "plans.json"), 1, classes, "plans.json"))
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnUNetTrainerNoMirroring",
        "init_args": {"plans": plans, "configuration": "3d_fullres", "fold": "0", "dataset_json": dataset},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, place / "fold_0" / "checkpoint_final.pth")
    return place


if __name__ == "__main__":
    print(json.dumps(_measure(*json.loads(sys.argv[1]))))
