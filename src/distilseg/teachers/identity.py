"""What a teacher is called and made of: digests, options that its kind has, a summary for people."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ..data.planning.plan import Plan
from ..errors import UserError
from .teacher import Teacher, TeacherOptions

VERSION = 1  # of the arithmetic of teachers: raise it when the same files give other answers
ALWAYS = ("checkpoint", "device", "threads", "trust", "extra")  # these change nothing where they mean nothing


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_digest(content: bytes) -> str:
    """SHA-256 of a file that was read."""
    return hashlib.sha256(content).hexdigest()


def digest_of(*parts: Any) -> str:
    """One digest of plain values: all that determines a teacher's answers."""
    text = json.dumps([VERSION, *parts], sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()


def only(options: TeacherOptions, kind: str, known: Collection[str]) -> None:
    """Refuses an option that this kind of teacher does not have, so that none is passed over in silence."""
    for field in dataclasses.fields(options):
        if field.name in (*known, *ALWAYS) or getattr(options, field.name) == field.default:
            continue
        raise UserError(
            f"{kind} have no option {field.name!r}",
            f"leave it out; known: {', '.join(known)}" if known else "leave it out",
        )


def summary(teacher: Teacher, **own: Any) -> dict[str, Any]:
    """What a teacher is, in plain values: what all have to say, around what its kind adds."""
    about = teacher.provenance
    of = "classes" if teacher.activation == "softmax" else "regions"
    return {
        "kind": about.kind,
        "name": teacher.name,
        "dataset": about.dataset,
        "trainer": about.trainer,
        "network": about.network,
        "activation": teacher.activation,
        of: {head.name: list(head.values) for head in teacher.heads},
        "modalities": list(teacher.modalities),
        **own,
        "licence": about.licence or "not stated",
        "reference": about.reference or "not stated",
        "files": dict(about.files),
        "digest": teacher.digest,
        "warnings": list(about.warnings),
    }


def preparation(plan: Plan) -> dict[str, Any]:
    """How a plan of ours prepares scans, for a summary."""
    return {
        "normalisation": {
            name: how.model_dump(exclude_none=True) for name, how in plan.normalisation.items()
        },
        "spacing_mm": list(plan.spacing_mm),
        "orientation": plan.orientation,
        "patch": list(plan.patch),
    }
