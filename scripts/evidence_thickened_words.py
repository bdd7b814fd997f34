"""What the numbers of the thickened evidence say: one bullet per question, from the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping

from evidence_row_tables import noise, shown
from evidence_rows import DICE, Evidence, Test
from evidence_thickened_rows import (
    LABELS,
    PAPER_PARTS,
    PAPER_SWEEP,
    SLICES,
    SSA,
    SWEEP,
    VIEWS,
)

from distilseg.report import words

Tests = Mapping[tuple[str, str], Test]


def reading(found: Evidence) -> str:
    """Bullets in Markdown; those whose rows are not there yet are left out."""
    questions = (_thickness, _strides, _parts, _wiring, _views, _against_3d, _flicker, noise)
    bullets = [line for question in questions for line in question(found)]
    return "\n".join(f"- {line}" for line in bullets) + "\n"


def _thickness(found: Evidence) -> list[str]:
    tests = found.tests("thickness")
    if not tests:
        return []
    there = [row for row in SWEEP if row in found.rows]
    best = max(there, key=found.mean)
    paper = max(PAPER_SWEEP, key=PAPER_SWEEP.__getitem__)
    return [
        f"**How thick.** Dice by thickness: {', '.join(f'{row[1:]} {_dice(found, row)}' for row in there)}; the"
        f" highest at {best[1:]}. {_verdicts(tests, 'single slices')} In the paper the highest is at {paper},"
        f" {PAPER_SWEEP[paper] - PAPER_SWEEP[3]:.2f} points above 3."
    ]


def _strides(found: Evidence) -> list[str]:
    """What windows further apart cost in Dice, and save in seconds."""
    lines = [
        f"{LABELS[row].rpartition(', ')[2]}: Dice {test.told}, {shown(test)}, in"
        f" {found.cost(row, 'seconds_per_case') / found.cost(SSA, 'seconds_per_case'):.2f} of the seconds a case"
        for (row, _), test in found.tests("strides").items()
    ]
    told = "; ".join(lines)
    return [f"**Larger strides.** The same weights, less a window at every slice: {told}."] if lines else []


def _parts(found: Evidence) -> list[str]:
    tests = found.tests("parts")
    asked = {
        ("esm", "plain"): "multiplexing, less slices as channels",
        (SSA, "esm"): "attention, less multiplexing alone",
        (SSA, "plain"): "both, less slices as channels",
        (SSA, "concat"): "attention, less concatenation",
        (SSA, "dot"): "attention, less the product",
    }
    lines = [
        f"{what}: {tests[pair].told}, {shown(tests[pair])}; in the paper"
        f" {words.number(PAPER_PARTS[pair[0]] - PAPER_PARTS[pair[1]], 2, sign=True)} points"
        for pair, what in asked.items()
        if pair in tests
    ]
    return [f"**Which part.** Dice of {'. Of '.join(lines)}."] if lines else []


def _wiring(found: Evidence) -> list[str]:
    """Who asks in the attention: the reading of the paper that this table takes, and the other."""
    tests = found.tests("wiring")
    lines = [f"{LABELS[a]}: {test.told}, {shown(test)}" for (a, _), test in tests.items()]
    if not lines:
        return []
    return [
        "**Who asks.** The paper does not say how slice-sensitive attention is wired. Either the map that all slices"
        " share asks, and what a group holds answers (all other rows); or each group asks, and the shared map answers:"
        " then nothing of the group itself reaches its slices but through the weights of the attention. Dice of the"
        f" first less the second, of which one seed was trained: {'; '.join(lines)}. (Of single slices the one group"
        " asks.)"
    ]


def _views(found: Evidence) -> list[str]:
    tests = found.tests("views")
    if not tests:
        return []
    single = [row for row in VIEWS if row in found.rows]
    best = max(single, key=found.mean)
    told = "; ".join(f"less {LABELS[b]} {test.told}, {shown(test)}" for (_, b), test in tests.items())
    times = found.cost("fused", "seconds_per_case") / found.cost(best, "seconds_per_case")
    return [
        f"**Three views.** {', '.join(f'{LABELS[row]} {_dice(found, row)}' for row in single)}; fused"
        f" {_dice(found, 'fused')}. Fused, {told}. It takes {times:.1f} times as long as the best view,"
        f" {LABELS[best]}."
    ]


def _against_3d(found: Evidence) -> list[str]:
    lines = []
    for (own, other), test in found.tests("3D").items():
        work, time, trained = (
            found.cost(own, name) / found.cost(other, name)
            for name in ("multiply_accumulates_per_case", "seconds_per_case", "training_seconds")
        )
        lines.append(
            f"{LABELS[own]}, less {LABELS[other]}: Dice {test.told}, {shown(test)}; with {work:.2f} of its"
            f" multiply–accumulates a case, {time:.2f} of its seconds a case and {trained:.2f} of its seconds of"
            " training"
        )
    return [f"**Against 3D.** {'. '.join(lines)}."] if lines else []


def _flicker(found: Evidence) -> list[str]:
    """Inter-slice distance, of thickness and of the parts."""
    thickness, parts = found.tests("thickness", SLICES), found.tests("parts", SLICES)
    told = [
        f"{what}: {tests[pair].told}, {shown(tests[pair], 'steadier', 'less steady')}"
        for tests, pair, what in (
            (thickness, (SSA, "k1"), f"{SSA[1:]} slices, less single ones"),
            (parts, ("esm", "plain"), "multiplexing, less slices as channels"),
            (parts, (SSA, "esm"), "attention, less multiplexing alone"),
        )
        if pair in tests
    ]
    if not told:
        return []
    flat = [row for row in found.rows if not row.startswith("dynunet")]
    least = min(found.rows, key=lambda row: found.mean(row, SLICES.name))
    most = max(flat, key=lambda row: found.mean(row, SLICES.name))
    return [
        f"**Do masks flicker from slice to slice?** Inter-slice distance, 0 where the masks change as the reference"
        f" does; of {'. Of '.join(told)}. Lowest: {LABELS[least]},"
        f" {words.number(found.mean(least, SLICES.name), SLICES.decimals)}; highest of the 2D networks:"
        f" {LABELS[most]}, {words.number(found.mean(most, SLICES.name), SLICES.decimals)}."
    ]


def _verdicts(tests: Tests, other: str) -> str:
    """Which thicknesses were shown to lie above the other, which below."""
    by = {shown: [a[1:] for (a, _), t in tests.items() if t.shown == shown] for shown in ("better", "worse")}
    above, below = (", ".join(by[shown]) or "none" for shown in ("better", "worse"))
    most = max(tests.values(), key=lambda test: test.mean)
    return f"Shown to lie above {other}: {above}; below: {below}. The largest difference is {most.told}."


def _dice(found: Evidence, row: str) -> str:
    return words.number(found.mean(row), DICE.decimals)
