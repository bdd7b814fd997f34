"""Patients stay whole, seeds decide, subsets nest, and a split that does not fit is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilseg.data.case import Case, Source
from distilseg.data.planning.splits import (
    Split,
    folds,
    kept_apart,
    load_split,
    save_split,
    split_cases,
    split_last,
    split_of_judges,
    subset,
)
from distilseg.errors import UserError


def make(n: int, per_patient: int = 1) -> list[Case]:
    return [
        Case(f"case_{i:03d}", {"MRI": Source(Path(f"{i}.nii.gz"))}, patient=f"patient_{i // per_patient}")
        for i in range(n)
    ]


def groups(cases: list[Case], ids: tuple[str, ...]) -> set[str]:
    return {case.group for case in cases if case.id in ids}


@given(n=st.integers(3, 60), per_patient=st.integers(1, 4), seed=st.integers(0, 5))
def test_parts_cover_all_cases_and_share_no_patient(n: int, per_patient: int, seed: int) -> None:
    cases = make(n, per_patient)
    if n <= 2 * per_patient:
        with pytest.raises(UserError, match=r"cannot be dealt into 3 parts"):
            split_cases(cases, seed=seed)
        return
    split = split_cases(cases, seed=seed)
    assert all((split.train, split.validation, split.test))
    assert sorted((*split.train, *split.validation, *split.test)) == [case.id for case in cases]
    a, b, c = (groups(cases, ids) for ids in (split.train, split.validation, split.test))
    assert not a & b | a & c | b & c


def test_fractions_are_kept() -> None:
    split = split_cases(make(200), seed=0)
    assert (len(split.train), len(split.validation), len(split.test)) == (140, 20, 40)
    assert split_cases(make(10), fractions=(0.8, 0.2, 0.0)).test == ()


def test_the_order_of_the_cases_does_not_matter_and_the_seed_does() -> None:
    cases = make(40)
    shuffled = Random(3).sample(cases, len(cases))
    assert split_cases(cases, seed=1) == split_cases(shuffled, seed=1)
    assert split_cases(cases, seed=1) != split_cases(cases, seed=2)
    assert folds(cases, n=5, fold=2, seed=1) == folds(shuffled, n=5, fold=2, seed=1)


def test_a_seed_gives_the_same_split_for_ever() -> None:
    assert split_cases(make(6), seed=0, fractions=(0.5, 0.25, 0.25)) == Split(
        train=("case_000", "case_002"), validation=("case_001", "case_004"), test=("case_003", "case_005")
    )


@given(n=st.integers(2, 7), cases=st.integers(7, 40), per_patient=st.integers(1, 2), seed=st.integers(0, 3))
def test_every_case_is_tested_in_exactly_one_fold(n: int, cases: int, per_patient: int, seed: int) -> None:
    all_cases = make(cases, per_patient)
    if n > -(-cases // per_patient):
        return
    splits = [folds(all_cases, n=n, fold=fold, seed=seed) for fold in range(n)]
    assert sorted(id for split in splits for id in split.test) == [case.id for case in all_cases]
    sizes = [len(groups(all_cases, split.test)) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        assert not groups(all_cases, split.test) & groups(all_cases, split.train + split.validation)
        assert not groups(all_cases, split.train) & groups(all_cases, split.validation)
        assert split.train


@pytest.mark.parametrize(("n", "fold"), [(1, 0), (11, 0), (5, 5), (5, -1)])
def test_impossible_folds_are_refused(n: int, fold: int) -> None:
    with pytest.raises(UserError, match=r"fold"):
        folds(make(10), n=n, fold=fold)


@pytest.mark.parametrize("fractions", [(0.5, 0.2, 0.2), (0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_nonsense_fractions_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(UserError, match=r"sum to 1"):
        split_cases(make(10), fractions=fractions)


@pytest.mark.parametrize("per_patient", [1, 3])
def test_subsets_are_nested_and_count_patients(per_patient: int) -> None:
    cases = make(50 * per_patient, per_patient)
    split = split_cases(cases, seed=0)
    subsets = [subset(split, cases, n, seed=4) for n in range(1, 36)]
    assert [len(groups(cases, s.train)) for s in subsets] == list(range(1, 36))
    assert [len(s.train) for s in subsets] == [n * per_patient for n in range(1, 36)]
    assert all(set(small.train) < set(large.train) for small, large in pairwise(subsets))
    assert subsets[-1] == split
    assert subsets[4].test == split.test
    assert subsets[4].validation == split.validation
    assert subsets[4] != subset(split, cases, 5, seed=5)
    assert subsets[4] == subset(split, Random(1).sample(cases, len(cases)), 5, seed=4)
    for n in (0, 36):
        with pytest.raises(UserError, match=rf"{n} training subjects .* has 35; give a number from 1 to 35"):
            subset(split, cases, n)


def test_split_last_follows_the_papers_protocol() -> None:
    cases = make(260)
    ids = [case.id for case in cases]
    rest = ids[:200]
    Random(0).shuffle(rest)
    split = split_last(cases)
    assert split == Split(tuple(rest[:170]), tuple(rest[170:]), tuple(ids[200:]))
    with pytest.raises(UserError, match=r"90 cases"):
        split_last(cases[:90])


def test_saved_and_read(tmp_path: Path) -> None:
    cases = make(20)
    split = split_cases(cases, seed=0)
    save_split(tmp_path / "split.json", split)
    assert load_split(tmp_path / "split.json", cases) == split


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"train": ["case_000", "ghost"], "validation": [], "test": []}, r"train names the case 'ghost'"),
        ({"train": ["case_000"], "validation": [], "test": ["case_001"]}, r"patient 'patient_0' is in both"),
        ({"train": ["case_000", "case_000"], "validation": [], "test": []}, r"'case_000' twice"),
        ({"train": [], "validation": [], "test": ["case_002"]}, r"train is empty"),
        ({"train": ["case_000"]}, r"three lists"),
        ({"train": 3, "validation": [], "test": []}, r"three lists"),
        (["case_000"], r"three lists"),
        ({"train": "case_000", "validation": [], "test": []}, r"three lists"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(tmp_path: Path, value: object, message: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match=message):
        load_split(path, make(10, per_patient=2), trains=True)


def test_a_split_of_a_run_that_learned_from_no_label_is_read(tmp_path: Path) -> None:
    split = Split((), ("case_000",), ("case_001",))
    save_split(tmp_path / "split.json", split)
    assert load_split(tmp_path / "split.json", make(2)) == split


@pytest.mark.parametrize(("n", "per_patient"), [(3, 1), (10, 1), (60, 2), (200, 1)])
def test_scans_kept_apart_are_those_that_a_split_judges_on(n: int, per_patient: int) -> None:
    cases = make(n, per_patient)
    apart = kept_apart(cases, share=0.3, seed=4)
    whole, judges = split_cases(cases, seed=4), split_of_judges(apart, seed=4)
    assert judges == Split((), whole.validation, whole.test)
    assert groups(cases, tuple(case.id for case in apart)).isdisjoint(groups(cases, whole.train))


def test_too_few_scans_to_keep_some_apart_are_refused() -> None:
    assert len(kept_apart(make(3), share=0.9)) == 2  # one is left to teach
    with pytest.raises(UserError, match="2 patient"):
        kept_apart(make(2), share=0.3)
    with pytest.raises(UserError, match=r"share 1\.0"):
        kept_apart(make(9), share=1.0)
    with pytest.raises(UserError, match="1 patient"):
        split_of_judges(make(1))


def test_an_absent_or_broken_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no split at"):
        load_split(tmp_path / "none.json", make(3))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UserError, match=r"not valid JSON \(line 1"):
        load_split(tmp_path / "broken.json", make(3))
