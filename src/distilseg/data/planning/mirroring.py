"""Which axes training may mirror: those along which a mirrored patient is still a possible one.

Mirroring doubles what there is to see, where left and right, or front and back, look alike. Where one
structure always lies on the same side of another, as a right parotid gland right of the left one, or the head
of the hippocampus in front of its body, a mirrored scan shows what no patient has, and the network must learn
both. Measured, for every two structures i and j and each axis, over the cases that hold both:

    d = place of i - place of j             an axis is fixed where |mean d| >= 2 std d

so that a mirrored case would lie four standard deviations off. Names help where cases are few: structures
called left and right fix the axis across them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import numpy as np

from ..scans.scan import axis_order
from .fingerprint import Fingerprint

SEPARATION = 2.0  # standard deviations
FEWEST_CASES = 4  # below, a standard deviation says little


def mirror_axes(
    fingerprint: Fingerprint, labels: Mapping[int, str], orientation: str
) -> tuple[tuple[int, ...] | None, str]:
    """The axes of `orientation` that may be mirrored, and why; None where no place was measured."""
    fixed = _by_name(labels) | _by_place(fingerprint, labels)
    measured = any(case.centres_mm for case in fingerprint.cases)
    if not fixed and not measured:
        return None, "undecided: no places of structures were measured"
    order = axis_order(orientation)  # oriented axis -> 0, 1, 2 for R, A, S
    free = tuple(axis for axis, along in enumerate(order) if along not in fixed)
    told = "; ".join(f"not axis {axis}: {fixed[along]}" for axis, along in enumerate(order) if along in fixed)
    return free, told or "no structure keeps to one side of another"


def _by_name(labels: Mapping[int, str]) -> dict[int, str]:
    """R-L, where two names differ by nothing but a side."""
    words = {name: re.split(r"[\W_]+", name.lower()) for name in labels.values()}
    plain = {name: [_UNSIDED.get(word, word) for word in own] for name, own in words.items()}
    for a, b in itertools.combinations(words, 2):
        if words[a] != words[b] and plain[a] == plain[b]:
            return {0: f"{a} and {b} are structures of their own"}
    return {}


_UNSIDED = dict.fromkeys(("left", "right", "l", "r", "lt", "rt", "links", "rechts"), "side")


def _by_place(fingerprint: Fingerprint, labels: Mapping[int, str]) -> dict[int, str]:
    """Along R, A, S (0, 1, 2): the two structures whose order is the surest."""
    surest: dict[int, tuple[float, str]] = {}
    structures = [value for value in labels if value]
    for i, j in itertools.combinations(structures, 2):
        apart_mm = np.array(
            [
                np.subtract(case.centres_mm[i], case.centres_mm[j])
                for case in fingerprint.cases
                if i in case.centres_mm and j in case.centres_mm
            ]
        )
        if len(apart_mm) < FEWEST_CASES:
            continue
        mean, spread = np.abs(apart_mm.mean(0)), np.maximum(apart_mm.std(0, ddof=1), 1e-6)
        for along in np.flatnonzero((mean >= SEPARATION * spread) & (mean > 0)).tolist():
            certainty = float(mean[along] / spread[along])
            told = f"{labels[i]} and {labels[j]} lie {mean[along]:.0f} mm apart along it, in the same order"
            if certainty > surest.get(along, (0.0, ""))[0]:
                surest[along] = certainty, told
    return {along: told for along, (_, told) in surest.items()}
