"""A MONAI bundle as a teacher: read as data from a folder or its zip, run as its configuration says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ...data.scans.scan import Scan
from ...errors import UserError
from ...inference.denormals import denormals_flushed
from ...predict import device_named
from ...runtime.bundle.post import Post
from ...runtime.bundle.predictor import mean_over_flips, prepared
from ...runtime.bundle.shown import Shown
from ...runtime.bundle.spatial import Orientation
from ...runtime.bundle.windows import Windows
from ..identity import content_digest, digest_of, only, summary
from ..showing import in_order
from ..teacher import Activation, Answer, Head, Labels, Provenance, TeacherOptions
from .config import WAY_OUT, read_config
from .layout import configuration_file, files_of, licences, refuse_wrapped, weights_file, weights_keys
from .metadata import METADATA, check_channels, heads_of, modalities_of, reference_of
from .network import build_network, logits_in, read_weights
from .numbering import numbered
from .placing import placement_of
from .post import largest, post_of
from .terms import first_lines, warnings_of
from .transform import Transform
from .transforms import argument_of, image_key, transforms_of
from .windows import windows_of

KIND = "MONAI bundle"


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
        first = () if self.orientation is None else (Orientation(self.orientation),)
        return prepared(given, (*first, *self.transforms), case=case)

    @torch.inference_mode()
    def answer(self, scans: Mapping[str, Scan], *, case: str) -> Answer:
        """Its logits [K *W] before any activation."""
        state = self.prepare(scans, case=case)
        placement = placement_of(state, case)
        with denormals_flushed():
            logits = mean_over_flips(state.image, lambda image: self.windows(image, self._asked), self.mirror)
        if logits.shape[1:] != state.shape or len(logits) != len(self.heads):
            raise UserError(
                f"case {case}: the network answers {list(logits.shape)} for {len(self.heads)} classes of"
                f" {list(state.shape)} voxels",
                "does it need sizes that divide? then the bundle cannot be run here; " + WAY_OUT,
            )
        if not np.isfinite(logits).all():
            raise UserError(
                f"case {case}: the network answers with NaN or infinite logits", "are the weights damaged?"
            )
        return Answer(logits, placement, self.activation)

    def labels(self, answer: Answer, scans: Mapping[str, Scan]) -> Labels:
        """Label values [I J K] by the bundle's own postprocessing."""
        shown = self.prepare(scans, case=self.name)
        return self.post.labels(answer.logits, shown, [head.values[0] for head in self.heads], largest)

    def probabilities(self, answer: Answer, scans: Mapping[str, Scan]) -> NDArray[np.float32]:
        """Probabilities [K I J K], brought back as the bundle does; all 0 where it had cropped the scan."""
        return self.post.probabilities(answer.logits, self.prepare(scans, case=self.name))

    def _asked(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits [N K *P] of windows [N M *P]."""
        try:
            shown = torch.from_numpy(np.ascontiguousarray(windows)).to(self.device)
            logits = logits_in(self.network(shown), type(self.network).__name__)
        except (RuntimeError, ValueError, AssertionError) as error:
            told = " ".join(str(error).split())[:200]
            raise UserError(
                f"{self.name}: its network cannot take these windows ({told})",
                "does it need sizes that divide? " + WAY_OUT,
            ) from None
        found: NDArray[np.float32] = logits.float().cpu().numpy()
        if found.shape[2:] != windows.shape[2:]:
            raise UserError(
                f"{self.name}: its network answers windows {list(windows.shape[2:])} with"
                f" {list(found.shape[2:])} voxels",
                "does it need sizes that divide? then the bundle cannot be run here; " + WAY_OUT,
            )
        return found


def open_bundle(path: Path, options: TeacherOptions) -> BundleTeacher:
    """The bundle at `path`. Nothing in it is executed; what would have to be is refused, by name."""
    only(options, "MONAI bundles", ("configuration", "mirror", "step", "orientation"))
    files = files_of(path)
    config_name = configuration_file(files, options.configuration)
    config = read_config(files.read(config_name), config_name)
    if METADATA not in files:
        raise UserError(
            f"{path} has no {METADATA}, which names images and classes", "download the whole bundle"
        )
    metadata = read_config(files.read(METADATA), METADATA).values
    refuse_wrapped(config, files)
    network_entry = config.needed("network", "network_def", "network", "net")
    preprocessing = config.needed("preprocessing", "preprocessing", "pre_transforms")
    transforms = transforms_of(preprocessing, image_key(preprocessing))
    inferer = windows_of(config.needed("inferer", "inferer"), options.step)
    skipped = tuple(name.strip() for name in options.extra.get("skip", "").split(",") if name.strip())
    postprocessing = config.first("postprocessing", "post_transforms")
    post = post_of(postprocessing, skipped)
    modalities, heads = modalities_of(metadata), heads_of(metadata, post.activation)
    check_channels(network_entry, modalities, heads)
    heads = numbered(heads, postprocessing, skipped)
    weights, state = read_weights(files, weights_file(config), weights_keys(config))
    network, described = build_network(network_entry, state, f"{path}: {weights}")
    device = device_named(options.device)
    digests = {name: content_digest(files.read(name)) for name in (config_name, METADATA, weights)}
    texts = {name: files.read(name) for name in licences(files)}
    digests |= {name: content_digest(text) for name, text in texts.items()}
    terms = [text.decode("utf-8", "replace") for text in texts.values()]
    name = str(metadata.get("name") or path.stem)
    provenance = Provenance(
        kind=KIND,
        files=digests,
        network=described,
        trainer=f"MONAI {metadata['monai_version']}" if metadata.get("monai_version") else "",
        dataset=str(metadata.get("data_source") or metadata.get("task") or ""),
        licence=first_lines(terms[0], 2) if terms else "",
        reference=reference_of(metadata),
        warnings=warnings_of(path, name, terms),
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
        digest=digest_of(KIND, [digests[n] for n in (config_name, METADATA, weights)], asked),
        network=network.to(device),
        transforms=tuple(transforms),
        windows=inferer.windows,
        post=post,
        device=device,
        mirror=bool(options.mirror),
        orientation=options.orientation,
        described={
            "bundle": f"{name} {metadata.get('version', '')}".strip(),
            "spacing_mm": argument_of(preprocessing, "Spacingd", "pixdim"),
            "orientation": argument_of(preprocessing, "Orientationd", "axcodes"),
            "patch": inferer.options.get("roi_size"),
            "inferer": {"kind": inferer.kind, **inferer.options},
            "mirror": bool(options.mirror),
        },
    )
