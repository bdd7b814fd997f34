"""Folders of label maps judged by parts: joined, they are the table that one command writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from distilseg.cli import main

from ..data.small_datasets import label, write, write_json

CASES = 5


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Five references, and predictions of all but case c3, some wrong."""
    for n in range(CASES):
        write(tmp_path / "truth" / f"c{n}.nii.gz", label(1, 2))
        if n != 3:
            write(tmp_path / "made" / f"c{n}.nii.gz", label(1) if n % 2 else label(1, 2))
    write_json(tmp_path / "dataset.json", {"labels": {"background": 0, "a": 1, "b": 2}})
    return ["evaluate", str(tmp_path / "truth"), str(tmp_path / "made")]


def of(words: list[str], tmp_path: Path, *more: str) -> int:
    return main([*words, "--out", str(tmp_path / "m.csv"), *more])


@pytest.mark.parametrize("by", ["case", "slice"])
@pytest.mark.parametrize("parts", [1, 3, 7])
def test_joined_parts_are_the_whole(
    words: list[str], tmp_path: Path, parts: int, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words += ["--by", by]
    assert main([*words, "--out", str(tmp_path / "whole.csv")]) == 1
    whole = capsys.readouterr().out.replace("whole.csv", "m.csv")
    ends = [of(words, tmp_path, "--part", f"{k}/{parts}") for k in range(1, parts + 1)]
    assert ends.count(1) == 1  # the part that lacks a prediction says so
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 1
    assert capsys.readouterr().out == whole
    assert (tmp_path / "m.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_a_part_says_what_it_is_and_prints_no_scores(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of(words, tmp_path, "--part", "2/3") == 0
    assert capsys.readouterr().out == (
        "part 2 of 3: 2 of 5 cases; when all parts are there: the same command with --join\n"
        f"written to {tmp_path / 'm.part-2-of-3.csv'}\n"
    )


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


def test_what_cannot_be_joined_is_refused_in_a_line(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of(words, tmp_path, "--join") == 2
    assert "there are no parts of" in refused(capsys)
    for k in (1, 3):
        of(words, tmp_path, "--part", f"{k}/3")
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 2
    assert "of 3 parts of" in (told := refused(capsys))
    assert "these are missing: 2; evaluate them too" in told
    of(words, tmp_path, "--part", "1/2")
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 2
    assert "lie parts of 2 and of 3; delete those of one" in refused(capsys)


def test_parts_of_other_cases_are_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of(words, tmp_path, "--part", "1/2")
    of(words, tmp_path, "--part", "2/2")
    write(tmp_path / "made" / "c3.nii.gz", label(1, 2))
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 2
    assert "no part has rows of c3; they were predicted or added later" in refused(capsys)
    write(tmp_path / "truth" / "a_new.nii.gz", label(1))  # all others move to the other part
    write(tmp_path / "made" / "a_new.nii.gz", label(1))
    of(words, tmp_path, "--part", "1/2")
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 2
    assert "case c1 is in m.part-1-of-2.csv and in m.part-2-of-2.csv" in refused(capsys)
    assert of([*words, "--cases", "c0"], tmp_path, "--part", "1/1") == 0
    for k in (1, 2):
        (tmp_path / f"m.part-{k}-of-2.csv").unlink()
    capsys.readouterr()
    assert of([*words, "--cases", "c1"], tmp_path, "--join") == 2
    assert "no part has rows of c1" in refused(capsys)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        (["--tolerance-mm", "2"], "tolerance mm"),
        (["--unit", "voxel"], "unit"),
        (["--labels", "1=b,2=a"], "labels"),
        (["--empty", "one"], "empty"),
        (["--also", "slice_similarity"], "metrics"),
    ],
)
def test_numbers_of_two_kinds_are_never_joined(
    words: list[str], tmp_path: Path, more: list[str], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    of(words, tmp_path, "--part", "1/2")
    of(words, tmp_path, "--part", "2/2", *more)
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 2
    assert f"m.part-2-of-2.csv was judged with other {what}; give --join the options" in refused(capsys)
    of(words, tmp_path, "--part", "2/2")
    assert of(words, tmp_path, "--join", *more) == 2
    (tmp_path / "m.part-2-of-2.json").unlink()
    capsys.readouterr()
    assert of(words, tmp_path, "--join") == 2
    assert "evaluate that part again" in refused(capsys)


def test_a_part_and_all_of_them_are_two_commands(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert of(words, tmp_path, "--part", "1/2", "--join") == 2
    assert "--part and --join are both given" in refused(capsys)


def test_values_without_a_name_are_refused_in_a_part(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command judges them in every case; a part would not know of them."""
    write(tmp_path / "made" / "c1.nii.gz", label(1, 7))
    assert of(words, tmp_path, "--part", "2/3") == 2
    assert "the label maps of part 2 of 3 hold values without a name: label 7; name all" in refused(capsys)


@pytest.mark.parametrize("more", [["--part", "1/2"], ["--join"]], ids=" ".join)
def test_options_that_do_not_fit(
    words: list[str], more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *more]) == 2
    assert "is for two folders, and writes a table; give REFERENCES, PREDICTIONS and --out" in refused(capsys)
