"""What the numbers of the prototype evidence say: one bullet per question, from the numbers alone."""

from __future__ import annotations

from collections.abc import Mapping

from evidence_prototypes_rows import (
    DICE,
    EVERYONE,
    LABELS,
    LIGHT,
    PAPER,
    SIZES,
    Evidence,
    Pair,
    Row,
    Test,
    listed,
    signed,
)

from distilseg.report import words

Tests = Mapping[Pair, Test]


def reading(found: Evidence) -> str:
    """Bullets in Markdown; those whose rows are not there yet are left out."""
    bullets = (
        *_in_short(found),
        *_networks(found),
        *_longer(found),
        *_by_slice_alone(found),
        *_teachers(found),
        *_few(found),
    )
    return "\n".join(f"- {line}" for line in bullets) + "\n"


def _in_short(found: Evidence) -> list[str]:
    tests = {LABELS[a.network]: test for (a, _), test in found.tests("distilled").items()}
    if not tests:
        return []
    gains = ", ".join(f"{name} {signed(test.mean)}" for name, test in tests.items())
    return [
        f"**In short.** Distilled less control: {gains}. Shown to be higher: {_named(tests, 'higher')}; lower:"
        f" {_named(tests, 'lower')}; inside the noise: {_named(tests, 'none')}."
    ]


def _networks(found: Evidence) -> list[str]:
    """Distilled less control, the one comparison that tells prototypes from longer training."""
    lines = []
    for (a, _), test in found.tests("distilled").items():
        line = f"**{LABELS[a.network]}**, distilled less control: {_told(test)}. {test.verdict[0].upper()}{test.verdict[1:]}."
        if a.network in PAPER:
            none, one, other = PAPER[a.network]
            line += (
                f" In the paper {none:.3f} without distillation became {one:.3f} and {other:.3f},"
                f" {signed(one - none)} and {signed(other - none)}; {_beside(test, max(one, other) - none)}."
            )
        lines.append(line)
    return lines


def _beside(test: Test, paper: float) -> str:
    """Whether the paper's larger gain is compatible with the interval over subjects."""
    low, high = test.subject_interval
    where = "inside" if low <= paper <= high else "above" if paper > high else "below"
    return f"its larger gain lies {where} our interval over subjects"


def _longer(found: Evidence) -> list[str]:
    tests = found.tests("longer")
    if not tests:
        return []
    told = "; ".join(f"{LABELS[a.network]} {test.told}, {_short(test)}" for (a, _), test in tests.items())
    return [
        f"**What longer training gives.** The control, less the student alone: {told}. This part of a gain over the"
        " student alone is not the prototypes'."
    ]


def _by_slice_alone(found: Evidence) -> list[str]:
    """Where a test over slices says yes and one over subjects no."""
    every = [
        (f"{LABELS[a.network]}, {a.subjects} subjects, {a.way} less {b.way}", test)
        for question in ("distilled", "teachers", "swap", "few")
        for (a, b), test in found.tests(question).items()
        if test.p_holm < 0.05 <= test.p_subject_holm
    ]
    names = "; ".join(dict(every))
    return [
        "**Slices are not independent.** Corrected p is below 0.05 over slices, as in the paper, but not over subjects:"
        f" {names or 'nowhere'}."
    ]


def _teachers(found: Evidence) -> list[str]:
    tests = {f"teacher {a.way}": test for (a, _), test in found.tests("teachers").items()}
    if len(tests) < 2:
        return []
    gains = ", ".join(f"{name[-1]} {signed(test.mean)}" for name, test in tests.items())
    line = (
        f"**Swap of teachers.** {LABELS[LIGHT]}, less its control, with prototypes of {gains}. Shown to be higher:"
        f" {_named(tests, 'higher')}; lower: {_named(tests, 'lower')}; inside the noise: {_named(tests, 'none')}."
    )
    swap = found.tests("swap")
    if swap:
        between = ", ".join(f"{a.way} less {b.way} {test.told}" for (a, b), test in swap.items())
        apart = {f"{a.way} and {b.way}": test for (a, b), test in swap.items() if test.shown != "none"}
        line += f" Between them: {between}; shown to differ: {'; '.join(apart) or 'none'}."
    alike = found.alike()
    if alike:
        told = ", ".join(f"{a} and {b} {words.number(r, 3)}" for (a, b), r in alike.items())
        line += f" Their prototypes correlate: {told}."
    return [line]


def _few(found: Evidence) -> list[str]:
    tests = {a.subjects: test for (a, _), test in found.tests("few").items()}
    if len(tests) < 2:
        return []
    gains = ", ".join(f"{n} {signed(test.mean)}" for n, test in tests.items())
    by_size = {str(n): test for n, test in tests.items()}
    most = max(tests, key=lambda n: tests[n].mean)
    lines = [
        f"**Few subjects.** {LABELS[LIGHT]}, distilled less control, by training subjects: {gains}. The largest is at"
        f" {most}: {_told(tests[most])}. Shown to be higher at: {_named(by_size, 'higher')}; lower at:"
        f" {_named(by_size, 'lower')}; inside the noise at: {_named(by_size, 'none')}."
    ]
    first, last = (Row(LIGHT, n, "control") for n in (SIZES[0], EVERYONE))
    if first in found.rows and last in found.rows:
        steps = found.score(last).mean - found.score(first).mean
        lines[0] += (
            f" For comparison: {EVERYONE} subjects in place of {SIZES[0]} are worth {signed(steps)} to the control."
        )
    return lines


def _told(test: Test) -> str:
    """All of a test: slices, subjects, seeds."""
    one, own, other, subject = (
        words.p_value(p).removeprefix("= ")
        for p in (test.p, test.p_holm, test.p_subject, test.p_subject_holm)
    )
    by_seed = f"; by seed {listed(test.by_seed)}" if not test.one_seed else ""
    return (
        f"{test.told}, p {one} ({own}) over {test.slices} slices; over {test.subjects} subjects"
        f" {words.interval(test.subject_interval, DICE)}, p {other} ({subject}), {test.better} of them gain, a"
        f" {test.size} effect (d {words.number(test.effect, 2)}){by_seed}"
    )


def _short(test: Test) -> str:
    return "inside the noise" if test.shown == "none" else f"shown to be {test.shown}"


def _named(tests: Mapping[str, Test], shown: str) -> str:
    """Those of which that was shown; a single seed is said."""
    return (
        ", ".join(
            f"{name} (one seed)" if test.one_seed else name
            for name, test in tests.items()
            if test.shown == shown
        )
        or "none"
    )
