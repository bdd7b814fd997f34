"""Parts of many cases are disjoint and together all; a list names cases as people write them down."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distilseg.data.case import Case, Source
from distilseg.data.formats.chosen import ALL, Chosen, chosen
from distilseg.data.formats.inputs import find_cases, find_chosen
from distilseg.errors import UserError

NAMES = st.lists(st.text("abcXYZ019_", min_size=1, max_size=6), unique=True, max_size=40)


def cases(names: list[str]) -> list[Case]:
    return [Case(name, {"MR": Source(Path("scans") / f"{name}.nii.gz")}) for name in names]


@given(NAMES, st.lists(st.text("pqr", min_size=1, max_size=5), unique=True, max_size=6), st.integers(1, 50))
def test_parts_are_disjoint_and_together_all(names: list[str], refused: list[str], of: int) -> None:
    why = dict.fromkeys(refused, "broken")
    parts = [chosen(f"{k}/{of}", None).of_cases(cases(names), why) for k in range(1, of + 1)]
    taken = [case.id for ours, _ in parts for case in ours]
    assert sorted(taken) == sorted(names)
    assert sorted(key for _, its in parts for key in its) == sorted(refused)
    sizes = [len(ours) for ours, _ in parts]
    assert max(sizes) - min(sizes) <= 1
    again = [chosen(f"{k}/{of}", None).of_cases(cases(names[::-1]), why) for k in range(1, of + 1)]
    assert [[case.id for case in ours] for ours, _ in again] == [[c.id for c in ours] for ours, _ in parts]


def test_a_part_is_every_nth_name_in_order() -> None:
    ours, _ = chosen("2/3", None).of_cases(cases(["g", "a", "f", "b", "e", "c", "d"]), {})
    assert [case.id for case in ours] == ["b", "e"]


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("4/3", "there is no part 4/3; parts are counted from 1: 1/3 to 3/3"),
        ("0/3", "there is no part 0/3; parts are counted from 1: 1/3 to 3/3"),
        ("1/0", "there is no part 1/0; parts are counted from 1: 1/1 to 1/1"),
        ("three", "--part 'three' is no part; write it as --part 3/100, the third of 100"),
        ("-1/3", "--part '-1/3' is no part; write it as --part 3/100, the third of 100"),
    ],
)
def test_what_is_no_part_is_refused_in_a_line(part: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        chosen(part, None)
    assert str(caught.value) == said


def test_a_list_names_cases_by_name_path_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written = tmp_path / "list.txt"
    written.write_text(f"a\n\nscans/b.nii.gz\n  {tmp_path}/scans/c.nii.gz\nd.nii.gz\nbroken.nii.gz\na\n")
    ours, refused = chosen(None, written).of_cases(cases([*"fedcba"]), {"scans/broken.nii.gz": "no scan"})
    assert [case.id for case in ours] == [*"abcd"]
    assert refused == {"scans/broken.nii.gz": "no scan"}
    ours, refused = chosen("2/2", written).of_cases(cases([*"fedcba"]), {"scans/broken.nii.gz": "no scan"})
    assert ([case.id for case in ours], refused) == (["b", "d"], {})


def test_a_list_that_windows_wrote(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes("\ufeffb\r\na\r\n".encode())
    assert [case.id for case in chosen(None, tmp_path / "list.txt").of_cases(cases(["a", "b"]), {})[0]] == [
        "a",
        "b",
    ]


def test_a_line_that_is_no_case_is_named(tmp_path: Path) -> None:
    written = tmp_path / "list.txt"
    written.write_text("a\nz\n")
    with pytest.raises(UserError) as caught:
        chosen(None, written).of_cases(cases([*"abcd"]), {})
    assert str(caught.value) == (
        f"{written} names 'z', which is none of the 4 cases; a line is a case's name or a scan's path; there"
        " are a, b, c, ..."
    )
    with pytest.raises(UserError, match=r"there is no list .*absent"):
        chosen(None, tmp_path / "absent")
    (tmp_path / "scan").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is no text in UTF-8"):
        chosen(None, tmp_path / "scan")


def test_what_was_chosen_is_told() -> None:
    assert chosen("3/100", None).told(40, 4000) == "part 3 of 100: 40 of 4,000 cases"
    assert chosen("1/1", ["a"]).told(1, 1) == "part 1 of 1 of the list: 1 of 1 case"
    assert chosen(None, None) == ALL
    assert ALL.told(3, 3) == ""
    assert chosen("3/100", None).named("metrics.csv") == "metrics.part-3-of-100.csv"
    assert ALL.named("metrics.csv") == "metrics.csv"


def test_modalities_of_a_case_stay_together_and_broken_pairs_are_refused_once(tmp_path: Path) -> None:
    for name in "abcde":
        for number in range(2 if name != "c" else 1):
            (tmp_path / f"{name}_{number:04d}.nii.gz").touch()
    parts = [find_chosen(tmp_path, ("CT", "PET"), chosen=chosen(f"{k}/2", None)) for k in (1, 2)]
    assert [[case.id for case in found.cases] for found in parts] == [["a", "d"], ["b", "e"]]
    assert [len(found.cases[0].images) for found in parts] == [2, 2]
    assert [list(found.refused) for found in parts] == [["c"], []]
    assert [found.told for found in parts] == ["part 1 of 2: 3 of 5 cases", "part 2 of 2: 2 of 5 cases"]
    assert [[case.id for case in found.others] for found in parts] == [["b", "e"], ["a", "d"]]


def test_names_that_are_one_are_refused_though_they_fall_into_two_parts(tmp_path: Path) -> None:
    for folder in "xy":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.nii.gz").touch()
    (tmp_path / "x" / "b.nii.gz").touch()
    inputs = [tmp_path / "x", tmp_path / "y"]
    _, whole = find_cases(inputs, ("MR",))
    parts = [find_chosen(inputs, ("MR",), chosen=chosen(f"{k}/2", None)) for k in (1, 2)]
    assert [case.id for found in parts for case in found.cases] == ["a", "b"]
    assert {key: why for found in parts for key, why in found.refused.items()} == whole
    assert "the case name 'a' stands twice" in "".join(whole.values())


def test_lines_and_a_file_of_them_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a\nb\n")
    of_file = chosen(None, tmp_path / "list")
    assert of_file == Chosen(None, ("a", "b"), str(tmp_path / "list"))
    assert chosen(None, ["a", "b"]).lines == of_file.lines
