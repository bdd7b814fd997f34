"""Which teachers can become an artefact, and what each hands over for it."""

from __future__ import annotations

from ..errors import UserError
from .shipment import Shipment
from .teacher import Teacher


def shipment_of(teacher: Teacher) -> Shipment:
    """What an artefact of `teacher` needs. Raises `UserError`, naming what it is, where it cannot be one."""
    from .nnunet.model import NnUNetTeacher

    if isinstance(teacher, NnUNetTeacher):
        from .nnunet.shipping import shipment

        return shipment(teacher)
    from .monai_bundle.bundle import BundleTeacher

    if isinstance(teacher, BundleTeacher):
        from .monai_bundle.shipping import shipment as shipment_of_bundle

        return shipment_of_bundle(teacher)
    raise UserError(
        f"{teacher.name} is {teacher.provenance.kind}, which cannot be exported",
        "nnU-Net models, MONAI bundles and runs of ours can: distil a student, and export that",
    )
