"""A MONAI bundle as a shipment: its network, its transforms, windows and postprocessing as values."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError
from torch import Tensor, nn

from ...data.planning.normalisation import Normalisation
from ...data.planning.plan import Plan
from ...errors import UserError
from ...runtime.bundle.spatial import Spacing
from ...runtime.bundle.way import Way
from ..shipment import Shipment, Shipped
from .bundle import BundleTeacher
from .network import logits_in
from .spatial import SplineSpacing

_STUDENT = "distil a student of it, and export that"


class Logits(nn.Module):
    """A network without what it answers beside its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.kind = type(network).__name__

    def forward(self, image: Tensor) -> Tensor:
        """Windows [N M *P] -> logits [N K *P]."""
        return logits_in(self.network(image), self.kind)


def shipment(teacher: BundleTeacher) -> Shipment:
    """What an artefact of `teacher` needs. Raises `UserError`, naming it, for what cannot be done there."""
    windows, answers = teacher.windows, "classes" if teacher.activation == "softmax" else "regions"
    if -1 in windows.window:
        raise UserError(f"{teacher.name} is shown scans whole, not in windows of a size", _STUDENT)
    if any(isinstance(transform, SplineSpacing) for transform in teacher.transforms):
        raise UserError(f"{teacher.name} resamples by splines (Spacingd), which an artefact cannot", _STUDENT)
    if any(step.kind == "largest" for step in teacher.post.steps):
        raise UserError(
            f"{teacher.name} keeps the largest connected parts (KeepLargestConnectedComponentd), which an"
            " artefact cannot",
            f"leave that out: skip=KeepLargestConnectedComponentd; or {_STUDENT}",
        )

    def way(files: Mapping[str, str]) -> str:
        try:
            made = Way(
                network=files["network"],
                modalities=teacher.modalities,
                orientation=teacher.orientation,
                transforms=teacher.transforms,  # type: ignore[arg-type]
                windows=windows,
                mirror=teacher.mirror,
                post=teacher.post,
                paints=tuple(head.values[0] for head in teacher.heads),
            )
        except ValidationError as error:
            raise UserError(
                f"{teacher.name} cannot be exported ({error.errors()[0]['msg']})", _STUDENT
            ) from None
        return made.model_dump_json(indent=2) + "\n"

    return Shipment(
        preparation="monai",
        networks={"network": Shipped(Logits(teacher.network).eval(), len(teacher.modalities), windows.patch)},
        way=way,
        plan=_plan(teacher),
        answers="classes" if answers == "classes" else "regions",
        inferer={
            "kind": "sliding_window",
            "patch": list(windows.patch),
            "overlap": max(windows.overlap),
            "blend": "gaussian" if windows.gaussian else "constant",
            "mirror": teacher.mirror,
        },
        told={
            "mirrored": teacher.mirror,
            "overlap": list(windows.overlap),
            "orientation": teacher.orientation or teacher.described["orientation"] or "as stored",
        },
    )


def _plan(teacher: BundleTeacher) -> Plan:
    """The nearest that a plan of ours comes to it, for who asks for modalities and labels."""
    spacings = [one.pixdim for one in teacher.transforms if isinstance(one, Spacing)]
    named = {head.values[0]: head.name for head in teacher.heads}
    return Plan(
        dataset=teacher.provenance.dataset or teacher.name,
        modalities=teacher.modalities,
        labels={0: "background", **{value: name for value, name in sorted(named.items()) if value}},
        spacing_mm=tuple(mm if mm > 0 else 1.0 for mm in (spacings or [(1.0, 1.0, 1.0)])[-1]),
        normalisation=dict.fromkeys(teacher.modalities, Normalisation(kind="none")),
        patch=teacher.windows.window,
        strides=((1, 1, 1), (1, 1, 1)),
        overlap=min(max(teacher.windows.overlap), 0.99),
        reasons={
            "normalisation": "by MONAI's transforms: preparation.json says which",
            "strides": "the bundle's own, in the network",
        },
    )
