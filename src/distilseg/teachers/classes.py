"""A teacher's classes and the student's, matched by name.

What is compared is what both know. Every class that the student learns of a teacher is made of that
teacher's heads: one of the same name, or several joined, as in kidney = kidney_left + kidney_right. All else
is the rest,

    rest:  the teacher's background and the heads that nobody takes
           the student's background and the classes that this teacher does not know

so that a class which the labels alone teach is not unlearned where the teacher says "background".

Heads that are regions (each true by itself, as "whole tumour") become classes where that is exact: where any
two regions are apart or one lies within the other. Then a difference is a probability too,
edema = whole - core. Classes become regions by joining: whole = edema + core.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, unknown
from .teacher import Activation, Head, Teacher

StudentAnswers = Literal["classes", "regions"]


@dataclass(frozen=True)
class Learned:
    """One class or region that the student learns of a teacher."""

    name: str
    channel: int  # of the student's logits
    heads: tuple[tuple[int, int], ...]  # (head of the teacher, +1 or -1): the sum of their probabilities


@dataclass(frozen=True)
class ClassMap:
    """How a teacher's heads answer the student's classes."""

    answers: StudentAnswers  # of the student
    channels: int  # logits of the student
    learned: tuple[Learned, ...]
    heads: int  # logits of the teacher
    activation: Activation  # of the teacher

    @property
    def groups(self) -> tuple[tuple[int, ...], ...]:
        """The student's channels, group by group as an answer counts them: of classes the rest first."""
        own = tuple((one.channel,) for one in self.learned)
        if self.answers == "regions":
            return own
        taken = {one.channel for one in self.learned}
        return (tuple(k for k in range(self.channels) if k not in taken), *own)

    @property
    def complete(self) -> bool:
        """Whether the teacher answers for every logit of the student."""
        return len(self.learned) == self.channels - (self.answers == "classes")

    @property
    def matrix_GK(self) -> NDArray[np.float32]:
        """Probabilities of the learned classes from those of the heads: [learned K]."""
        matrix = np.zeros((len(self.learned), self.heads), np.float32)
        for row, one in zip(matrix, self.learned, strict=True):
            for head, sign in one.heads:
                row[head] += sign
        return matrix

    def plain(self) -> dict[str, Any]:
        """For JSON and digests."""
        return asdict(self)


def match_classes(
    teacher: Teacher,
    student: Sequence[str],
    *,
    answers: StudentAnswers = "classes",
    members: Mapping[str, Sequence[str]] | None = None,
    joined: Mapping[str, str] | None = None,
) -> ClassMap:
    """The student's classes (background first) or regions, each of the teacher's heads.

    `joined` says what a name is made of, "kidney_left + kidney_right"; others are looked for by their own
    name, in any case, blanks and dashes as underscores. `members` are a region's classes by name: where the
    teacher has no such region, their sum. Classes that the teacher does not know are left to the labels.
    Raises `UserError` for a name that is nobody's, for what cannot be converted exactly, and where teacher
    and student have no class in common.
    """
    joined, members = dict(joined or {}), members or {}
    first = 1 if answers == "classes" else 0
    known = _by_name(teacher)
    for name in joined:
        if name not in student[first:]:
            raise unknown("class of the student", name, student[first:])
    learned = []
    for channel, name in enumerate(student[first:], start=first):
        if name in joined:
            heads = _heads(teacher, joined[name], known)
        elif (own := known.get(_plain(name))) is not None and not _is_background(teacher, own):
            heads = ((own, 1),)
        elif name in members and all(_plain(part) in known for part in members[name]):
            heads = tuple((known[_plain(part)], 1) for part in members[name])
        else:
            continue
        _check_exact(teacher, name, heads)
        learned.append(Learned(name, channel, heads))
    if not learned:
        raise UserError(
            f"{teacher.name} and the student have no class in common: the teacher answers for"
            f" {_some(head.name for head in teacher.heads)}, the student learns {_some(student[first:])}",
            "say what a class is made of, as in --classes kidney=kidney_left+kidney_right",
        )
    if answers == "classes":
        _check_apart(teacher, learned)
    return ClassMap(answers, len(student), tuple(learned), len(teacher.heads), teacher.activation)


def read_joined(texts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """What `--classes kidney=kidney_left+kidney_right,liver` says: all names, and those made of others."""
    names, joined = [], {}
    for text in texts:
        for part in text.split(","):
            name, equals, made_of = (piece.strip() for piece in part.partition("="))
            if not name or (equals and not made_of):
                raise UserError(
                    f"--classes: {part!r} names no class", "write them as in kidney=kidney_left+kidney_right"
                )
            if name in names:
                raise UserError(f"--classes names {name} twice", "name each class once")
            names.append(name)
            if equals:
                joined[name] = made_of
    return tuple(names), joined


def shared_out(teachers: Sequence[Teacher], joined: Mapping[str, str]) -> list[dict[str, str]]:
    """Of several teachers with different organs, what each is asked for: the joined classes that it knows.

    What none knows is asked of the first, which then says so.
    """
    own = [{k: v for k, v in joined.items() if knows(teacher, v)} for teacher in teachers]
    for name in joined.keys() - set().union(*own):
        own[0][name] = joined[name]
    return own


def knows(teacher: Teacher, made_of: str) -> bool:
    """Whether `teacher` has every head that "a + b - c" names."""
    known = {_plain(head.name) for head in teacher.heads}
    return _plain(made_of) in known or all(_plain(name) in known for _, name in _signed(made_of))


def _signed(text: str) -> list[tuple[str, str]]:
    """ "a + b - c" as signs and names; a name that has a dash is written with an underscore."""
    return re.findall(r"([+-]?)([^+-]+)", text)


def _by_name(teacher: Teacher) -> dict[str, int]:
    """The plain name of each head -> its number; raises `UserError` for two heads of one."""
    known: dict[str, int] = {}
    for number, head in enumerate(teacher.heads):
        first = known.setdefault(_plain(head.name), number)
        if first != number:
            raise UserError(
                f"{teacher.name} has two classes of one name, {teacher.heads[first].name!r} and {head.name!r}"
                " (case, blanks and dashes do not count)",
                "rename one in its dataset.json or card",
            )
    return known


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "_", name.strip().lower())


def _is_background(teacher: Teacher, head: int) -> bool:
    return teacher.activation == "softmax" and teacher.heads[head].values == (0,)


def _heads(teacher: Teacher, text: str, known: Mapping[str, int]) -> tuple[tuple[int, int], ...]:
    """ "a + b - c" as heads and signs; the name of one head may hold a dash."""
    if _plain(text) in known:
        return ((known[_plain(text)], 1),)
    if not re.fullmatch(r"[+-]?[^+-]+([+-][^+-]+)*", text):
        raise UserError(
            f"--classes: {text!r} has a sign without a class", "write them as in kidney_left+kidney_right"
        )
    heads = []
    for sign, name in _signed(text):
        if _plain(name) not in known:
            raise unknown(f"class of {teacher.name}", name.strip(), [head.name for head in teacher.heads])
        heads.append((known[_plain(name)], -1 if sign == "-" else 1))
    if len({head for head, _ in heads}) < len(heads):
        raise UserError(f"--classes: {text!r} names a class twice", "name each once")
    return tuple(heads)


def _check_exact(teacher: Teacher, name: str, heads: Sequence[tuple[int, int]]) -> None:
    """The signed sum must be the probability of a set of label values."""
    if teacher.activation == "softmax":
        if any(sign < 0 for _, sign in heads):
            raise UserError(
                f"--classes: {name} takes a class away, {teacher.name} answers for classes that exclude one"
                " another",
                "join classes with + only",
            )
        return
    covered: set[int] = set()
    for head, sign in heads:
        values, region = set(teacher.heads[head].values), teacher.heads[head].name
        if (values & covered) if sign > 0 else (not values <= covered):
            what = "overlaps what it is joined with" if sign > 0 else "does not lie within it"
            raise UserError(
                f"--classes: {name} cannot be made exactly, the region {region} {what}",
                "add regions that lie apart, take away regions that lie within",
            )
        covered = covered | values if sign > 0 else covered - values


def _check_apart(teacher: Teacher, learned: Sequence[Learned]) -> None:
    """Classes exclude one another, so no two may be made of the same voxels."""
    taken: dict[int, str] = {}
    for one in learned:
        for value in sorted(values_of(teacher.heads, one)):
            if value in taken:
                raise UserError(
                    f"the classes {taken[value]} and {one.name} overlap in {teacher.name}: both hold its"
                    f" label {value}",
                    "make them apart, as in edema=whole-core, or let the student learn regions",
                )
            taken[value] = one.name


def values_of(heads: Sequence[Head], learned: Learned) -> set[int]:
    """The label values of the teacher that a learned class is made of."""
    values: set[int] = set()
    for head, sign in learned.heads:
        own = set(heads[head].values)
        values = values | own if sign > 0 else values - own
    return values


def channels_by_value(
    heads: Sequence[Head], classes: ClassMap, highest: int
) -> NDArray[np.unsignedinteger[Any]]:
    """Label value of the teacher, `highest` at least -> the student's channel [value]; 0 for the others."""
    table = np.zeros(1 + max(highest, *(value for head in heads for value in head.values)), np.uint16)
    for one in classes.learned:
        table[list(values_of(heads, one))] = one.channel
    return table


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
