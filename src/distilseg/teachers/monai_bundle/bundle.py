"""A MONAI bundle as a teacher: read as data from a folder or its zip, run as its configuration says.

configs/inference.json|yaml    network, preprocessing, inferer, postprocessing
configs/metadata.json          modalities, names of the classes
models/model.pt                weights; else those within models/model.ts, whose program is not run
LICENSE                        terms of use
large_files.yml                where weights are to be had that are not here
scripts/                       Python of the bundle's own: never looked at, and refused where it is needed
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...data.scans.scan import Scan
from ...errors import UserError
from ...inference.denormals import denormals_flushed
from ...predict import device_named
from ..archive import Files, open_files
from ..identity import content_digest, digest_of, only, summary
from ..showing import in_order
from ..teacher import Activation, Answer, Head, Labels, Provenance, TeacherOptions
from .config import Config, Entry, read_config
from .network import build_network, logits_in, read_weights
from .post import Post, post_of
from .transforms import Shown, Transform, components, shown, transforms_of, turned

KIND = "MONAI bundle"
NON_COMMERCIAL = ("vista2d", "vista3d", "maisi", "multi_organ_segmentation")
_TERMS = re.compile(r"non[- ]?commercial|CC[- ]BY[- ]NC", re.IGNORECASE)
_WAY_OUT = "let MONAI run it, and give its answers as files"
_LOADED = re.compile(r"\$@bundle_root \+ '/([\w\-./]+)'")
_DESCRIPTION = re.compile(r"((?:[^/]+/)?)configs/(?:metadata\.json|inference\.(?:json|ya?ml))")
_SLIDING = ("roi_size", "overlap", "mode", "sigma_scale", "padding_mode", "cval", "sw_batch_size")
_ELSEWHERE = (
    "sw_device",
    "device",
    "progress",
    "cache_roi_weight_map",
    "cpu_thresh",
    "buffer_steps",
    "buffer_dim",
)
_MOST_VOXELS = 2**28  # of a window
_METADATA = "configs/metadata.json"


@dataclass(frozen=True)
class Windows:
    """How a network is shown a volume."""

    kind: str  # "SlidingWindowInferer", "SliceInferer" or "SimpleInferer"
    options: Mapping[str, Any]
    across: int = 0  # of slices: their axis

    def __call__(self, image: Tensor, network: Any) -> Tensor:
        from monai.inferers import SliceInferer, SlidingWindowInferer

        if self.kind == "SimpleInferer":
            answer: Tensor = network(image)
        elif self.kind == "SliceInferer":
            answer = SliceInferer(spatial_dim=self.across, **self.options)(image, network)
        else:
            answer = SlidingWindowInferer(**self.options)(image, network)
        return answer


@dataclass(frozen=True, eq=False)
class BundleTeacher:
    """A bundle that was opened; its network is in evaluation mode."""

    name: str
    modalities: tuple[str, ...]
    heads: tuple[Head, ...]
    provenance: Provenance
    digest: str
    network: nn.Module
    transforms: tuple[Transform, ...]
    windows: Windows
    post: Post
    device: torch.device
    mirror: bool
    orientation: str | None
    described: Mapping[str, Any]  # for people

    @property
    def activation(self) -> Activation:
        """Of classes softmax, of regions sigmoid."""
        return self.post.activation

    def summary(self) -> dict[str, Any]:
        """What it is, in plain values."""
        return summary(self, **self.described)

    def prepare(self, scans: Mapping[str, Scan], *, case: str) -> Shown:
        """What the network is shown of a case. Raises `UserError`, naming it."""
        given = in_order(scans, self.modalities, case=case)
        image = np.stack([np.asarray(scan.array, np.float32) for scan in given])
        if not np.isfinite(image).all():
            raise UserError(
                f"case {case}: the scan holds voxels that are NaN or infinite",
                "`distilseg check` shows where; repair it",
            )
        state = shown(image, np.asarray(given[0].geometry.affine, np.float64))
        if self.orientation is not None:
            state = turned(state, self.orientation, case)
        for transform in self.transforms:
            state = transform(state, case)
        return state

    @torch.inference_mode()
    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Its logits [K *W] before any activation."""
        state = self.prepare(scans, case=case)
        placement = state.placement(case)
        image = torch.from_numpy(np.ascontiguousarray(state.image))[None].to(self.device)
        with denormals_flushed():
            logits = self._logits(image)[0].float().cpu().numpy()
        if logits.shape[1:] != state.shape or len(logits) != len(self.heads):
            raise UserError(
                f"case {case}: the network answers {list(logits.shape)} for {len(self.heads)} classes of"
                f" {list(state.shape)} voxels",
                "does it need sizes that divide? then the bundle cannot be run here; " + _WAY_OUT,
            )
        if not np.isfinite(logits).all():
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits", "are the weights damaged?"
            )
        return Answer(logits, placement, self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """Label values [I J K] by the bundle's own postprocessing."""
        return self.post.labels(answer.logits, self.prepare(scans, case=self.name), self.heads)

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        """Probabilities [K I J K], brought back as the bundle does; all 0 where it had cropped the scan."""
        return self.post.probabilities(answer.logits, self.prepare(scans, case=self.name))

    def _logits(self, image: Tensor) -> Tensor:
        kind = type(self.network).__name__
        axes = range(2, image.ndim) if self.mirror else ()
        flips = [list(f) for n in range(len(axes) + 1) for f in itertools.combinations(axes, n)]
        total: Tensor | None = None
        for flip in flips:
            seen = image.flip(flip) if flip else image
            try:
                logits = self.windows(seen, lambda window: logits_in(self.network(window), kind))
            except (RuntimeError, ValueError, AssertionError) as error:
                told = " ".join(str(error).split())[:200]
                raise UserError(
                    f"{self.name}: its network cannot take these windows ({told})",
                    "does it need sizes that divide? " + _WAY_OUT,
                ) from None
            logits = logits.flip(flip) if flip else logits
            total = logits if total is None else total + logits
        assert total is not None
        return total / len(flips) if len(flips) > 1 else total


def recognises(path: Path) -> bool:
    """Whether `path` is a bundle: a folder, or a zip of one, with its configs."""
    if path.is_dir():
        return _top([p.relative_to(path).as_posix() for p in _shallow(path)]) is not None
    if path.suffix.lower() != ".zip":
        return False
    try:
        return _top(open_files(path).names) is not None
    except UserError:
        return False


def open_as_teacher(path: Path, options: TeacherOptions) -> BundleTeacher:
    """The bundle at `path`. Nothing in it is executed; what would have to be is refused, by name."""
    only(options, "MONAI bundles", ("configuration", "mirror", "step", "orientation"))
    whole = open_files(path)
    files = whole.below(_top(whole.names) or "")
    config_name = _chosen(files, options.configuration)
    config = read_config(files.read(config_name), config_name)
    if _METADATA not in files:
        raise UserError(
            f"{path} has no {_METADATA}, which names images and classes", "download the whole bundle"
        )
    metadata = read_config(files.read(_METADATA), _METADATA).values
    _refuse_wrapped(config, files)
    network_entry = _entry(config, ("network_def", "network", "net"), "network")
    image_key = _image_key(config)
    transforms = transforms_of(
        _entry(config, ("preprocessing", "pre_transforms"), "preprocessing"), image_key
    )
    windows = _windows(_entry(config, ("inferer",), "inferer"), options.step)
    skipped = tuple(name.strip() for name in options.extra.get("skip", "").split(",") if name.strip())
    post = post_of(_optional(config, ("postprocessing", "post_transforms")), skipped)
    modalities, heads = _inputs(metadata), _outputs(metadata, post.activation)
    _check_channels(network_entry, modalities, heads)
    keys = _load_keys(config)
    weights, state = read_weights(files, _load_path(config), keys)
    network, described = build_network(network_entry, state, f"{path}: {weights}")
    device = device_named(options.device)
    digests = {name: content_digest(files.read(name)) for name in (config_name, _METADATA, weights)}
    licences = [n for n in files.names if PurePosixPath(n).name.lower().startswith(("license", "licence"))]
    digests |= {name: content_digest(files.read(name)) for name in licences}
    terms = [files.read(name).decode("utf-8", "replace") for name in licences]
    name = str(metadata.get("name") or path.stem)
    provenance = Provenance(
        kind=KIND,
        files=digests,
        network=described,
        trainer=f"MONAI {metadata['monai_version']}" if metadata.get("monai_version") else "",
        dataset=str(metadata.get("data_source") or metadata.get("task") or ""),
        licence=_first_lines(terms[0], 2) if terms else "",
        reference=_reference(metadata),
        warnings=_warnings(path, name, terms),
    )
    asked: dict[str, Any] = {
        "mirror": options.mirror,
        "step": options.step,
        "orientation": options.orientation,
    }
    if skipped:
        asked["skip"] = list(skipped)
    return BundleTeacher(
        name=path.name.removesuffix(".zip"),
        modalities=modalities,
        heads=heads,
        provenance=provenance,
        digest=digest_of(KIND, [digests[n] for n in (config_name, _METADATA, weights)], asked),
        network=network.to(device),
        transforms=tuple(transforms),
        windows=windows,
        post=post,
        device=device,
        mirror=bool(options.mirror),
        orientation=options.orientation,
        described={
            "bundle": f"{name} {metadata.get('version', '')}".strip(),
            "spacing_mm": _argument_of(config, "Spacingd", "pixdim"),
            "orientation": _argument_of(config, "Orientationd", "axcodes"),
            "patch": windows.options.get("roi_size"),
            "inferer": {"kind": windows.kind, **windows.options},
            "mirror": bool(options.mirror),
        },
    )


def _shallow(path: Path) -> list[Path]:
    """The files of its configs, at the top or one level below."""
    return [p for pattern in ("configs/*", "*/configs/*") for p in path.glob(pattern)]


def _top(names: Iterable[str]) -> str | None:
    """The folder within a bundle's files that holds its configs, with / at its end."""
    tops = {match[1] for name in names if (match := _DESCRIPTION.fullmatch(name))}
    return min(tops, key=len) if tops else None


def _chosen(files: Files, wanted: str | None) -> str:
    """The file of its configs that says how it predicts."""
    endings = (".json", ".yaml", ".yml")
    configs = [n for n in files.names if n.startswith("configs/") and n.lower().endswith(endings)]
    stems = {PurePosixPath(n).stem: n for n in reversed(configs) if n.count("/") == 1}
    if wanted is not None:
        if PurePosixPath(wanted).stem not in stems:
            raise UserError(
                f"{files.path} has no configuration {wanted!r}", f"known: {', '.join(sorted(stems))}"
            )
        return stems[PurePosixPath(wanted).stem]
    if "inference" in stems:
        return stems["inference"]
    inference = sorted(stem for stem in stems if "inference" in stem)
    if len(inference) == 1:
        return stems[inference[0]]
    raise UserError(
        f"{files.path} has no configs/inference.json, but {', '.join(sorted(stems)) or 'nothing'}",
        "say which of them predicts: --configuration NAME (of distil and recipes: --teacher-configuration)",
    )


def _entry(config: Config, names: tuple[str, ...], what: str) -> Entry:
    found = _optional(config, names)
    if found is None:
        raise UserError(
            f"{config.name} has no {what} ({' or '.join(names)})", "is it a bundle that predicts?"
        )
    return found


def _optional(config: Config, names: tuple[str, ...]) -> Entry | None:
    return next((config[name].followed() for name in names if name in config), None)


def _refuse_wrapped(config: Config, files: Files) -> None:
    if "ModelnnUNetWrapper" not in repr(config.values):
        return
    inside = next((PurePosixPath(n).parent for n in files.names if n.endswith("/plans.json")), None)
    where = "the nnU-Net folder within it" if inside is None else str(files.path / inside)
    raise UserError(f"{files.path} wraps a model of nnU-Net", f"give {where}, which is read as such")


def _image_key(config: Config) -> str:
    """The key of the image: what LoadImaged loads first."""
    for component in components(_entry(config, ("preprocessing", "pre_transforms"), "preprocessing")):
        if component.target.startswith("LoadImage"):
            keys = component.argument("keys")
            return str(keys[0] if isinstance(keys, list) and keys else keys)
    return "image"


def _windows(entry: Entry, step: float | None) -> Windows:
    if not entry.is_component:
        raise UserError(f"{entry.where} describes no inferer", "repair the bundle")
    kind = entry.target.removesuffix("Adapt")
    if kind == "SimpleInferer":
        entry.only(())
        return Windows(kind, {})
    if kind not in ("SlidingWindowInferer", "SliceInferer"):
        raise UserError(f"{entry.where} is a {kind}, which is not read here", _WAY_OUT)
    entry.only((*_SLIDING, "spatial_dim"), _ELSEWHERE)
    options = {name: value for name in _SLIDING if (value := entry.argument(name)) is not None}
    if step is not None:
        options["overlap"] = 1 - step
    _check_windows(options, entry)
    across = entry.argument("spatial_dim", 0)
    if kind == "SliceInferer" and across not in (0, 1, 2):
        raise UserError(f"{entry.where}: there is no axis {across!r}", "repair the bundle")
    return Windows(kind, options, int(across))


def _check_windows(options: dict[str, Any], entry: Entry) -> None:
    roi = options.get("roi_size")
    whole = (None, -1)  # the image's own size
    sizes: list[Any] = roi if isinstance(roi, list) else [roi] * 3
    if not all(n in whole or (type(n) is int and n > 0) for n in sizes) or len(sizes) > 3 or roi is None:
        raise UserError(f"{entry.where}: roi_size {roi!r} is no window", "give voxels from 1, axis by axis")
    if math.prod(n for n in sizes if n not in whole) > _MOST_VOXELS:
        raise UserError(
            f"{entry.where}: a window of {roi} voxels is larger than any scan", "repair the bundle"
        )
    overlap = options.get("overlap", 0.25)
    for share in overlap if isinstance(overlap, list) else [overlap]:
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise UserError(f"{entry.where}: windows cannot overlap by {share!r}", "give a share in [0, 1)")
    if options.get("mode", "constant") not in ("constant", "gaussian"):
        raise UserError(f"{entry.where}: windows have the mode {options['mode']!r}", "constant or gaussian")
    padding = options.get("padding_mode", "constant")
    if padding not in ("constant", "reflect", "replicate", "circular"):
        raise UserError(f"{entry.where}: windows have the padding_mode {padding!r}", _WAY_OUT)
    options["sw_batch_size"] = min(max(int(options.get("sw_batch_size", 1)), 1), 16)


def _channels(metadata: Mapping[str, Any], way: str) -> Mapping[str, Any]:
    found: Any = metadata.get("network_data_format")
    for key in (way, "image" if way == "inputs" else "pred"):
        inner = found.get(key) if isinstance(found, Mapping) else None
        found = (
            next(iter(found.values()), None)
            if inner is None and isinstance(found, Mapping) and found
            else inner
        )
    if not isinstance(found, Mapping):
        raise UserError(
            f"configs/metadata.json does not describe its {way} (network_data_format)", "repair it"
        )
    return found


def _channel_names(described: Mapping[str, Any], way: str) -> list[str]:
    defined = described.get("channel_def")
    count = described.get("num_channels")
    if not isinstance(defined, Mapping) or not defined:
        if not isinstance(count, int) or not 0 < count < 10_000:
            raise UserError(f"configs/metadata.json names no channels of its {way}", "repair it")
        return [f"{'image' if way == 'inputs' else 'class'}_{n}" for n in range(count)]
    if sorted(map(str, defined)) != sorted(map(str, range(len(defined)))):
        raise UserError(
            f"configs/metadata.json numbers the channels of its {way} {', '.join(map(str, defined))}",
            "number them 0, 1, 2, ...",
        )
    names = {int(n): str(name) for n, name in defined.items()}
    return [names[n] for n in range(len(names))]


def _inputs(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    described = _channels(metadata, "inputs")
    names = _channel_names(described, "inputs")
    modality = str(described.get("modality") or "")
    if len(names) == 1 and modality.lower() not in ("", "n/a", "none", "unknown"):
        return (modality,)
    if len(set(names)) < len(names):
        raise UserError(f"configs/metadata.json names its images {names}", "name each differently")
    return tuple(names)


def _outputs(metadata: Mapping[str, Any], activation: Activation) -> tuple[Head, ...]:
    names = _channel_names(_channels(metadata, "outputs"), "outputs")
    if activation == "softmax":
        if len(names) < 2:
            raise UserError("configs/metadata.json names a single class under a softmax", "repair it")
        return tuple(Head(name, (k,)) for k, name in enumerate(names))
    if len(names) > 1 and names[0].lower() == "background":
        return tuple(Head(name, (k,)) for k, name in enumerate(names))
    return tuple(Head(name, (k + 1,)) for k, name in enumerate(names))


def _check_channels(network: Entry, modalities: tuple[str, ...], heads: tuple[Head, ...]) -> None:
    """The network must have as many channels as the metadata names."""
    if not network.is_component:
        return
    for argument, names in (("in_channels", modalities), ("out_channels", [head.name for head in heads])):
        count = network.argument(argument)
        if count is not None and count != len(names):
            raise UserError(
                f"{network.where} has {count!r} {argument}, {_METADATA} names {', '.join(names)}",
                "do they belong to one bundle?",
            )


def _load_path(config: Config) -> str | None:
    """Where the configuration has its weights, if it says so in a form that is known; they lie in models/."""
    loader = _optional(config, ("checkpointloader",))
    raw = loader.raw.get("load_path") if loader is not None and loader.is_component else None
    match = _LOADED.fullmatch(raw) if isinstance(raw, str) else None
    return match[1] if match else None


def _load_keys(config: Config) -> tuple[str, ...]:
    loader = _optional(config, ("checkpointloader",))
    loaded = loader.raw.get("load_dict") if loader is not None and loader.is_component else None
    return tuple(map(str, loaded)) if isinstance(loaded, Mapping) else ()


def _argument_of(config: Config, target: str, name: str) -> Any:
    for component in components(_entry(config, ("preprocessing", "pre_transforms"), "preprocessing")):
        if component.target == target:
            return component.argument(name)
    return None


def _first_lines(text: str, count: int = 3) -> str:
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return " / ".join(lines[:count])[:300]


def _warnings(path: Path, name: str, terms: list[str]) -> tuple[str, ...]:
    names = {path.stem.lower(), name.lower().replace(" ", "_")}
    strict = [text for text in terms if _TERMS.search(text)]
    if not strict and not names & set(NON_COMMERCIAL):
        return ()
    first = _first_lines(strict[0] if strict else "\n".join(terms[:1]))
    told = f": {first}" if first else "; its terms are not beside it"
    return (f"{name} is not for commercial use{told}.",)


def _reference(metadata: Mapping[str, Any]) -> str:
    found = metadata.get("references") or metadata.get("reference") or ""
    return "; ".join(map(str, found)) if isinstance(found, list) else str(found)
