"""Which cases train, validate and test: by patient, seeded, saved.

A group is a patient: its cases never fall on both sides of a split. What a seed gives depends on the names of
the groups only, never on the order of the cases or on the machine. Subsets of one split and seed are nested:
the 5 training subjects of a low-data run are among the 10 of the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from ...errors import UserError
from ...files import write_text
from ...json_files import read_object
from ..case import Case
from ..readable import readable_json


@dataclass(frozen=True)
class Split:
    """Case ids that train, choose the best weights, and judge."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def split_cases(
    cases: Sequence[Case], *, seed: int = 0, fractions: tuple[float, float, float] = (0.7, 0.1, 0.2)
) -> Split:
    """Cases dealt into (train, validation, test) by `fractions` of the groups.

    Where a fraction is above 0 its part holds at least one group; raises `UserError` if there are too few.
    """
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(
            f"the fractions {fractions} are no shares of train, validation and test",
            "give three numbers >= 0 that sum to 1, the first above 0, such as 0.7 0.1 0.2",
        )
    groups = _shuffled(cases, seed)
    wanted = sum(fraction > 0 for fraction in fractions)
    if len(groups) < wanted:
        raise UserError(
            f"{len(groups)} patient(s) cannot be dealt into {wanted} parts by the fractions {fractions}",
            "add cases, or say in a file which are of which part, of which test may have none: --split",
        )
    n_validation, n_test = (max(1, round(f * len(groups))) if f > 0 else 0 for f in fractions[1:])
    while n_validation + n_test >= len(groups):  # rounding left none to train on
        if n_test >= n_validation:
            n_test -= 1
        else:
            n_validation -= 1
    test, validation = groups[:n_test], groups[n_test : n_test + n_validation]
    return _split(cases, validation=validation, test=test)


def kept_apart(cases: Sequence[Case], *, share: float, seed: int = 0) -> tuple[Case, ...]:
    """The cases of `share` of the groups, of two at least and never of all: those that others may judge on.

    For one seed they are what `split_cases` validates and tests on, where its parts have that share.
    """
    groups = _shuffled(cases, seed)
    if not 0 < share < 1:
        raise UserError(f"the share {share} of the scans to be kept apart", "give a number between 0 and 1")
    if len(groups) < 3:
        raise UserError(
            f"{len(groups)} patient(s) are too few: some scans must teach, one validate, one judge",
            "add scans: at least three patients'",
        )
    chosen = set(groups[: min(max(2, round(share * len(groups))), len(groups) - 1)])
    return tuple(case for case in cases if case.group in chosen)


def split_of_judges(cases: Sequence[Case], *, seed: int = 0) -> Split:
    """No case trains: a third of the groups validates, the others test; at least one each."""
    groups = _shuffled(cases, seed)
    if len(groups) < 2:
        raise UserError(f"{len(groups)} patient(s) cannot validate and test", "add cases")
    n_test = len(groups) - max(1, round(len(groups) / 3))
    return _split(cases, validation=groups[n_test:], test=groups[:n_test])


def folds(cases: Sequence[Case], *, n: int, fold: int, seed: int = 0) -> Split:
    """Fold `fold` (0 to n - 1) of an n-fold cross-validation.

    Each group is in exactly one fold's test part. A tenth of the other groups, at least one where two or more
    remain, is the validation part.
    """
    groups = _shuffled(cases, seed)
    if not 2 <= n <= len(groups):
        raise UserError(
            f"{len(groups)} patient(s) cannot be dealt into {n} folds",
            f"give a number of folds from 2 to {len(groups)}" if len(groups) >= 2 else "add cases",
        )
    if not 0 <= fold < n:
        raise UserError(f"fold {fold} is none of {n} folds", f"give a fold from 0 to {n - 1}")
    test = groups[fold::n]
    rest = [group for group in groups if group not in set(test)]
    n_validation = max(1, round(0.1 * len(rest))) if len(rest) > 1 else 0
    return _split(cases, validation=rest[:n_validation], test=test)


def split_last(cases: Sequence[Case], *, test: int = 60, validation: int = 30, seed: int = 0) -> Split:
    """Dual self-distillation's protocol (hippocampus: 60 and 30; BraTS: 24 and 72).

    The last `test` cases by id judge; the others, shuffled by Python's `random.Random(seed)`, train, but for
    the last `validation` of them. Each case counts as its own patient.
    """
    ids = sorted(case.id for case in cases)
    if len(ids) <= test + validation:
        raise UserError(
            f"{len(ids)} cases cannot give {test} to test, {validation} to validate and some to train",
            "ask for fewer",
        )
    rest = ids[: len(ids) - test]
    Random(seed).shuffle(rest)
    return Split(
        tuple(rest[: len(rest) - validation]), tuple(rest[len(rest) - validation :]), tuple(ids[-test:])
    )


def subset(split: Split, cases: Iterable[Case], n: int, seed: int = 0) -> Split:
    """The split with the training cases of `n` of its groups; for one seed, fewer are always among more."""
    group = {case.id: case.group for case in cases}
    groups = sorted({group[id] for id in split.train}, key=lambda name: _draw(name, seed))
    if not 1 <= n <= len(groups):
        raise UserError(
            f"{n} training subjects were asked for, the split has {len(groups)}",
            f"give a number from 1 to {len(groups)}",
        )
    kept = set(groups[:n])
    return Split(tuple(id for id in split.train if group[id] in kept), split.validation, split.test)


def save_split(path: Path, split: Split) -> None:
    """Writes the split as JSON."""
    write_text(path, readable_json({part: list(ids) for part, ids in asdict(split).items()}) + "\n")


def load_split(path: Path, cases: Iterable[Case], *, trains: bool = False) -> Split:
    """Reads a split; refused if it names unknown cases, or one case or patient on two sides.

    `trains`: refused, too, if it names no case to train on.
    """
    absent = UserError(f"no split at {path}", "leave the option out to make one")
    no_split = UserError(f"{path} is not a split", "it must hold three lists: train, validation, test")
    value = read_object(path, missing=absent, unlike=no_split)
    try:
        if not all(isinstance(ids, list) for ids in value.values()):
            raise TypeError
        split = Split(**{part: tuple(str(id) for id in ids) for part, ids in value.items()})
    except (TypeError, AttributeError):
        raise no_split from None
    group = {case.id: case.group for case in cases}
    placed: dict[str, str] = {}
    for part, ids in asdict(split).items():
        for id in ids:
            if id not in group:
                raise UserError(
                    f"{path}: {part} names the case {id!r}, which the dataset does not have",
                    "was the split made for another dataset? edit the file or leave it out",
                )
            if (other := placed.setdefault(group[id], part)) != part:
                raise UserError(
                    f"{path}: patient {group[id]!r} is in both {other} and {part}", "keep it on one side"
                )
        if len(set(ids)) < len(ids):
            twice = next(id for id in ids if ids.count(id) > 1)
            raise UserError(f"{path}: {part} names the case {twice!r} twice", "name it once")
    if trains and not split.train:
        raise UserError(f"{path}: train is empty", "name at least one case to train on")
    return split


def _split(cases: Sequence[Case], *, validation: Sequence[str], test: Sequence[str]) -> Split:
    part_of = dict.fromkeys(validation, "validation") | dict.fromkeys(test, "test")
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for case in sorted(cases, key=lambda case: case.id):
        parts[part_of.get(case.group, "train")].append(case.id)
    return Split(**{part: tuple(ids) for part, ids in parts.items()})


def _shuffled(cases: Iterable[Case], seed: int) -> list[str]:
    return sorted({case.group for case in cases}, key=lambda group: _draw(group, seed))


def _draw(name: str, seed: int) -> bytes:
    """A random number that only the name and the seed decide; a new case leaves the order of the others."""
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
