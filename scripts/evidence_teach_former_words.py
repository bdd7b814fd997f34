"""What the numbers of the Teach-Former evidence say: one bullet per question that the paper answers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from evidence_teach_former_rows import (
    LABELS,
    PAPER,
    STUDENTS,
    TEACHERS,
    Evidence,
    Test,
    listed,
    points,
    signed,
)

from distilseg.report import words

SUBSETS = {"one": ("t1", "t2", "t3"), "two": ("t12", "t13", "t23"), "three": ("t123",)}
TERMS = {"afs": "AFS only", "pwd": "PWD only", "t123": "both"}


def reading(found: Evidence) -> str:
    """Bullets in Markdown; those whose rows are not there yet are left out."""
    students = found.over(STUDENTS, "control")
    lines = [*_main_claim(found), *_something_to_teach(found)]
    if students:
        above = sum(test.mean > 0 for test in students.values())
        lines.append(
            f"- **All {len(students)} students**: {above} lie above their control on average. Shown to help:"
            f" {_named(students, 'helped')}. Shown to hurt: {_named(students, 'hurt')}. Of the others, no difference"
            " was shown."
        )
    lines += [*_number_of_teachers(found), *_terms(found), *_against_t1(found)]
    return "\n".join(lines) + "\n"


def _main_claim(found: Evidence) -> list[str]:
    test = found.over(STUDENTS, "control").get("t123")
    if test is None:
        return []
    paper = (PAPER["t123"] - PAPER["control"]) / 100
    verb = {"helped": "helped", "hurt": "hurt", "none": "made no difference that could be shown"}[test.shown]
    judged = {
        "helped": f"The paper's gain of {points('t123', 'control')} points has the same sign",
        "hurt": f"The paper reports the opposite, {points('t123', 'control')} points",
        "none": f"The paper's gain of {points('t123', 'control')} points is not confirmed",
    }[test.shown]
    low, high = test.interval
    size = "within the interval" if low <= paper <= high else "outside the interval"
    return [
        f"- **Three teachers** {verb} at this budget: Dice {test.told}. By fold:"
        f" {listed(found.by_fold('t123', 'control'))}. {judged}; that lies {size}."
    ]


def _something_to_teach(found: Evidence) -> list[str]:
    """How much better the teachers are, and whether the better one makes the better student."""
    teachers = found.over(TEACHERS, "control")
    if not teachers:
        return []
    each = "; ".join(f"{t} {test.told}" for t, test in teachers.items())
    lines = [f"- **What there is to teach.** Teachers less the light control: {each}."]
    single = [t for t in teachers if t.lower() in found.rows]
    if len(single) > 1:
        ranked = sorted(single, key=found.mean, reverse=True)
        followed = sorted(single, key=lambda t: found.mean(t.lower()), reverse=True)
        same = "the same order" if ranked == followed else "another order"
        lines.append(
            f"- **Does the better teacher make the better student?** Teachers by Dice:"
            f" {', '.join(f'{t} {_plain(found.mean(t))}' for t in ranked)}. Students of one teacher, by Dice:"
            f" {', '.join(f'of {t} {_plain(found.mean(t.lower()))}' for t in followed)}: {same}."
        )
    return lines


def _number_of_teachers(found: Evidence) -> list[str]:
    students = found.over(STUDENTS, "control")
    by_number = {n: [k for k in rows if k in students] for n, rows in SUBSETS.items()}
    subsets = [k for rows in by_number.values() for k in rows]
    if sum(map(bool, by_number.values())) < 2:
        return []
    told = "; ".join(
        f"{n} {signed(statistics.fmean(students[k].mean for k in rows))}"
        for n, rows in by_number.items()
        if rows
    )
    line = (
        f"- **How many teachers.** Mean difference from the control, by their number: {told}. Highest Dice:"
        f" {LABELS[max(subsets, key=found.mean)]}; in the paper, of the same: {LABELS[max(subsets, key=lambda k: PAPER[k])]}."
    )
    everyone = found.against("t123", [row for row in STUDENTS if row != "t123"])
    against = {k: test for k, test in everyone.items() if k in subsets}
    if against:
        line += (
            f" The student of all three was shown to lie above: {_named(against, 'helped')}; below:"
            f" {_named(against, 'hurt')}; of {len(against)} other subsets."
        )
    return [line]


def _terms(found: Evidence) -> list[str]:
    students = found.over(STUDENTS, "control")
    terms = {k: students[k] for k in TERMS if k in students}
    if len(terms) < 2:
        return []
    here = ", ".join(f"{TERMS[k]} {signed(test.mean)}" for k, test in terms.items())
    paper = ", ".join(f"{TERMS[k]} {points(k, 'control')} points" for k in terms)
    line = f"- **Terms.** Less the control: {here}. In the paper: {paper}."
    if "t123" in terms:
        everyone = found.against("t123", [row for row in STUDENTS if row != "t123"])
        against = {k: everyone[k] for k in terms if k != "t123"}
        line += f" Both together were shown to lie above: {_named(against, 'helped')}; below: {_named(against, 'hurt')}."
    return [line]


def _against_t1(found: Evidence) -> list[str]:
    told = found.over([row for row in ("control", "t123") if row in found.rows], "T1")
    if not told:
        return []
    big, light = (found.rows[row].cost for row in ("T1", "control"))
    less = "; ".join(f"{LABELS[row]} {test.told}" for row, test in told.items())
    return [
        f"- **Against T1**, which has {big['parameters'] / light['parameters']:.1f} times the student's parameters"
        f" and {big['multiply_accumulates'] / light['multiply_accumulates']:.1f} times its multiply–accumulates."
        f" Dice less T1's: {less}. In the paper: {points('control', 'T1')} points without distillation,"
        f" {points('t123', 'T1')} with it."
    ]


def _named(tests: Mapping[str, Test], shown: str) -> str:
    """The rows of which that was shown."""
    return "; ".join(LABELS[row] for row, test in tests.items() if test.shown == shown) or "none"


def _plain(value: float) -> str:
    return words.number(value, 3)
