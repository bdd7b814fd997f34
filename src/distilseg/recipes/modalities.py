"""Students that see some of the modalities: which, and where those stand in the image."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import unknown
from ..training.experiment import Study


def named_modalities(named: Sequence[str], study: Study) -> tuple[str, ...]:
    """Those named, in the order of the plan; raises UserError for others."""
    known = study.plan.modalities
    named = (named,) if isinstance(named, str) else named
    for name in named:
        if name not in known:
            raise unknown("modality of the student", name, known)
    return tuple(name for name in known if name in named)


def modality_indices(sees: Sequence[str], study: Study) -> tuple[int, ...]:
    """Where the seen modalities stand in the image; () sees all."""
    return tuple(study.plan.modalities.index(name) for name in sees or study.plan.modalities)
