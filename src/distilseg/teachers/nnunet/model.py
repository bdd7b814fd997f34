"""An nnU-Net v2 model as a teacher: one configuration, its folds, and in a cascade the stage before it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...data.scans.scan import Scan, axis_order
from ...errors import UserError
from ...networks.build import NetworkSpec, build
from ...networks.count import parameters
from ...networks.nnunet_blocks import without_duplicates
from ...predict import device_named
from ...runtime.nnunet.prepare import in_order, prepare, view_of, working_spacing
from ...runtime.nnunet.resample import coarse_axis
from ...scratch import heads_of
from ..checkpoint import Stored, read_pickled
from ..identity import digest_of, only, summary
from ..teacher import Activation, Answer, Head, Labels, Placement, Provenance, TeacherOptions
from .architecture import class_name, fitted, network_of
from .folder import ModelFolder, digest, find_model, opened
from .labels import Labels as Described
from .labels import labels_of
from .plans import READERS, Configuration, configuration_of
from .predict import predicted
from .restore import label_map, probability_map

_VERSION = 1  # part of the digest: raise it when the same model answers otherwise beyond rounding
_PREFIXES = ("module.", "_orig_mod.")  # of weights saved from a wrapped network


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says beside its weights."""

    trainer: str
    configuration: str
    mirrored: tuple[int, ...]  # axes of the patch
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class NnUNetTeacher:
    """Signs `teachers.teacher.Teacher`; made by `open_model`."""

    folder: ModelFolder
    configuration: Configuration
    described: Described
    network: NetworkSpec
    provenance: Provenance
    mirrored: tuple[int, ...]
    step: float
    orientation: str | None  # None: as stored
    device: torch.device
    previous: NnUNetTeacher | None = None

    @property
    def name(self) -> str:
        """The model folder's name, with the dataset's where that is known."""
        return f"{self.folder.dataset}/{self.folder.name}".lstrip("/")

    @property
    def modalities(self) -> tuple[str, ...]:
        """Channel names in their order."""
        return self.described.modalities

    @property
    def heads(self) -> tuple[Head, ...]:
        """Classes, the background first, or regions."""
        return self.described.heads

    @property
    def activation(self) -> Activation:
        """Of classes softmax, of regions sigmoid."""
        return self.described.activation

    @property
    def folds(self) -> tuple[str, ...]:
        """Those that answer."""
        return tuple(self.folder.checkpoints)

    @property
    def digest(self) -> str:
        """Of weights, plans and options, those of a stage before included."""
        return digest_of(
            _VERSION,
            dict(self.provenance.files),
            self.configuration.name,
            self.folds,
            self.mirrored,
            self.step,
            self.orientation,
            self.previous.digest if self.previous else "",
        )

    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Logits on nnU-Net's working grid, the mean of the folds."""
        shown = in_order(scans, self.modalities, case=case)
        found = None
        if self.previous is not None:
            found = self.previous.labels(self.previous.answer(scans, case=case), scans)
        prepared = prepare(
            shown,
            self.configuration,
            self.orientation,
            case=case,
            first_stage=found,
            foreground=self.described.foreground,
        )
        logits = predicted(
            prepared.image,
            self.networks(),
            len(self.heads),
            self.configuration.patch,
            mirrored=self.mirrored,
            step=self.step,
            device=self.device,
        )
        if not all(np.isfinite(logits_W).all() for logits_W in heads_of(logits)):
            raise UserError(
                f"case {case}: the teacher {self.name} answers with NaN or infinite logits",
                "its training diverged, or its plans are of another model",
            )
        return Answer(logits, Placement.of_grid(prepared.grid), self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """Label values of the model's own label maps, [I J K]."""
        across = self._coarse_axis(answer.placement, scans)
        how = self.configuration.logits
        return label_map(
            answer.logits, answer.placement, how, across, answer.activation, self.described.paints
        )

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[Any]:
        """What nnU-Net saves with --save_probabilities, [K I J K]."""
        across = self._coarse_axis(answer.placement, scans)
        return probability_map(
            answer.logits, answer.placement, self.configuration.logits, across, answer.activation
        )

    def summary(self) -> dict[str, Any]:
        """What one wants to know of it, as plain values; sizes along the scan's axes as it sees them."""
        of = self.configuration
        own: dict[str, Any] = {
            "configuration": of.name,
            "normalisation": [channel.scheme for channel in of.channels],
            "intensities": {  # between which 99 of 100 voxels of the structures lay in training
                name: [channel.low, channel.high]
                for name, channel in zip(self.modalities, of.channels, strict=True)
                if channel.low != channel.high
            },
            "spacing_mm": _along_scan(of, of.spacing),
            "patch": _along_scan(of, of.patch),
            "folds": list(self.folds),
            "mirrored_axes": [_scan_axis(of, axis) for axis in self.mirrored],
            "window_step": self.step,
            "orientation": self.orientation or "as stored",
        }
        if self.activation == "sigmoid":
            own["regions_class_order"] = list(self.described.paints)
        if self.described.ignore is not None:
            own["ignore_label"] = self.described.ignore
        if self.previous is not None:
            own["previous_stage"] = self.previous.summary()
        return summary(self, **own)

    def _coarse_axis(self, placement: Placement, scans: Mapping[str, Scan]) -> int | None:
        scan = scans[self.modalities[0]]
        if tuple(scan.array.shape) != placement.original_shape:
            raise ValueError(f"an answer for {placement.original_shape} and a scan of {scan.array.shape}")
        view = view_of(scan, self.configuration, self.orientation, case=scan.path.name)
        spacing = working_spacing(self.configuration, view.spacing)
        return coarse_axis(self.configuration.logits, spacing, view.spacing)

    def networks(self) -> Iterator[nn.Module]:
        """The network with each fold's weights in turn; one fold is in memory at a time."""
        network = build(self.network)
        for fold, place in self.folder.checkpoints.items():
            with opened(place) as file:
                _, weights = _read(file, str(place))
                state = {name: torch.from_numpy(weight.read()) for name, weight in weights.items()}
            strange = next((name for name, tensor in state.items() if not tensor.isfinite().all()), None)
            if strange is not None:
                raise UserError(
                    f"{place}: the weight {strange} of fold {fold} holds NaN or infinite numbers",
                    "its training diverged, or the file is damaged: leave that fold out, --folds (of"
                    " distil and recipes: --teacher-folds)",
                )
            network.load_state_dict(state)
            yield network


def open_model(folder: ModelFolder, options: TeacherOptions) -> NnUNetTeacher:
    """The teacher in `folder`, with every fold's weights compared to the plans' network.

    Raises `UserError` where something is missing, unknown or of another training.
    """
    only(options, "nnU-Net models", ("configuration", "folds", "mirror", "step", "orientation"))
    if options.step is not None and not 0 < options.step <= 1:
        raise UserError(
            f"windows cannot stand {options.step} of a patch apart", "give a share above 0, up to 1"
        )
    if options.orientation is not None:
        axis_order(options.orientation)
    first_fold, first_place = next(iter(folder.checkpoints.items()))
    with opened(first_place) as file:
        checkpoint, weights = _read(file, str(first_place))
    plans: Mapping[str, Any] | None = folder.json("plans.json")
    description = folder.json("dataset.json")
    source = str(first_place) if plans is None else f"{folder.place}/plans.json"
    plans = checkpoint.plans if plans is None else plans
    with _making_sense(source):
        configuration = configuration_of(plans, checkpoint.configuration, source)
    where = str(first_place) if description is None else f"{folder.place}/dataset.json"
    with _making_sense(where):
        described = labels_of(checkpoint.dataset if description is None else description, where)
    _check_options(configuration, options, folder)
    previous = None
    if configuration.previous is not None:
        before = folder.sibling(configuration.previous, options.checkpoint, options.folds)
        # Those names choose the second stage's folder.
        previous = open_model(before, replace(options, configuration=None, folds=None))
    inputs = len(described.modalities) + (0 if previous is None else len(described.foreground))
    if len(configuration.channels) != len(described.modalities):
        raise UserError(
            f"{source} normalises {len(configuration.channels)} channels, dataset.json names"
            f" {len(described.modalities)} ({', '.join(described.modalities)})",
            _TOGETHER,
        )
    with _making_sense(source):
        network = network_of(configuration, inputs, len(described.heads), source)
    _check_ends(weights, inputs, described, str(first_place))
    network = fitted(network, weights, str(first_place), checkpoint.trainer)
    for place in list(folder.checkpoints.values())[1:]:
        with opened(place) as file:
            other, others = _read(file, str(place))
        if other.configuration != checkpoint.configuration:
            raise UserError(
                f"{place} is of the configuration {other.configuration}, fold {first_fold} of"
                f" {checkpoint.configuration}",
                "give the folds of one training",
            )
        fitted(network, others, str(place), other.trainer)
    mirrored = checkpoint.mirrored if options.mirror in (None, True) else ()
    if any(axis >= len(configuration.patch) for axis in mirrored):
        raise UserError(
            f"{first_place} mirrors axes {list(mirrored)} of {len(configuration.patch)}", _TOGETHER
        )
    return NnUNetTeacher(
        folder,
        configuration,
        described,
        network,
        _provenance(folder, checkpoint, configuration, described, network),
        mirrored,
        0.5 if options.step is None else options.step,
        options.orientation or READERS.get(configuration.reader),
        device_named(options.device),
        previous,
    )


_TOGETHER = "plans.json, dataset.json and checkpoints of one training belong together: copy them again"


@contextlib.contextmanager
def _making_sense(source: str) -> Iterator[None]:
    """Values of another kind than nnU-Net's, wherever they stand in a description, are told as such."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{source} makes no sense ({reason})", "copy it again from the model") from None


def _read(file: Any, name: str) -> tuple[Checkpoint, dict[str, Stored]]:
    """A checkpoint's words, and its weights without duplicates."""
    value = read_pickled(file, name)
    found = value if isinstance(value, dict) else {}
    weights, arguments = found.get("network_weights"), found.get("init_args")
    if not isinstance(weights, dict) or not isinstance(arguments, dict):
        held = ", ".join(str(key) for key in list(found)[:4]) or type(value).__name__
        raise UserError(
            f"{name} holds no nnU-Net v2 model (network_weights and init_args are not in it, but {held})",
            "give a checkpoint that nnU-Net v2 wrote",
        )
    named: dict[str, Stored] = {}
    for key, weight in weights.items():
        short = str(key)
        while prefix := next((p for p in _PREFIXES if short.startswith(p)), ""):
            short = short.removeprefix(prefix)
        if not isinstance(weight, Stored):
            raise UserError(f"{name}: the weight {short} is no tensor", "download or copy it again")
        named[short] = weight
    axes = found.get("inference_allowed_mirroring_axes") or ()
    if not isinstance(axes, list | tuple) or not all(type(axis) is int and 0 <= axis < 3 for axis in axes):
        raise UserError(f"{name} mirrors the axes {axes!r}, which are none", "download or copy it again")
    plans, dataset = arguments.get("plans"), arguments.get("dataset_json")
    checkpoint = Checkpoint(
        str(found.get("trainer_name", "an unknown trainer")),
        str(arguments.get("configuration", "")),
        tuple(axes),
        plans if isinstance(plans, dict) else {},
        dataset if isinstance(dataset, dict) else {},
    )
    return checkpoint, without_duplicates(named)


def _check_options(configuration: Configuration, options: TeacherOptions, folder: ModelFolder) -> None:
    if options.configuration not in (None, configuration.name, folder.name):
        raise UserError(
            f"{folder.path} is of the configuration {configuration.name}, asked for {options.configuration}",
            "give that configuration's folder",
        )
    if configuration.reader not in READERS and options.orientation is None:
        raise UserError(
            f"its scans were read by {configuration.reader}, which is not nnU-Net's own: nobody knows how it"
            " turned them",
            "say it: --teacher-orientation RAS, or another",
        )


def _check_ends(weights: Mapping[str, Stored], inputs: int, described: Described, file: str) -> None:
    """The cheapest proof that all belongs together: channels in, heads out."""
    heads = [w for name, w in weights.items() if name.startswith("decoder.seg_layers.") and w.shape]
    stems = [w for name, w in weights.items() if name.startswith("encoder.") and len(w.shape) > 2]
    if heads and heads[-1].shape[0] != len(described.heads):
        kind = "classes" if described.activation == "softmax" else "regions"
        raise UserError(
            f"{file} answers {heads[-1].shape[0]} {kind}, dataset.json names {len(described.heads)}",
            _TOGETHER,
        )
    if stems and stems[0].shape[1] != inputs:
        raise UserError(
            f"{file} takes {stems[0].shape[1]} channels, plans and dataset.json make {inputs}", _TOGETHER
        )


def _provenance(
    folder: ModelFolder,
    checkpoint: Checkpoint,
    configuration: Configuration,
    described: Described,
    network: NetworkSpec,
) -> Provenance:
    files = {f"fold_{fold}/{place.name}": digest(place) for fold, place in folder.checkpoints.items()}
    for name in ("plans.json", "dataset.json"):
        if folder.place is not None and (folder.place / name).is_file():
            files[name] = digest(folder.place / name)
    with torch.device("meta"):
        count = parameters(build(network))
    return Provenance(
        kind="nnU-Net v2",
        files=files,
        network=f"{class_name(network)}, {count:,} parameters",
        trainer=checkpoint.trainer,
        dataset=configuration.dataset or folder.dataset or described.dataset,
        licence=described.licence,
        reference=described.reference,
    )


def _along_scan(of: Configuration, values: tuple[Any, ...]) -> list[Any]:
    """Values per axis of a patch in the order of the scan's axes x y z; None across the slices in 2D."""
    along: list[Any] = [None, None, None]
    for axis, value in enumerate(values):
        along[_scan_axis(of, axis)] = value
    return along


def _scan_axis(of: Configuration, axis: int) -> int:
    """Which of the axes x y z an axis of the patch runs along."""
    return 2 - of.transpose[axis + 3 - len(of.patch)]


def open_path(path: Any, options: TeacherOptions) -> NnUNetTeacher:
    """The teacher that a user points at."""
    return open_model(find_model(path, options.configuration, options.folds, options.checkpoint), options)
