"""What was handed out, as files beside the results; what SLURM is given."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distilseg.engines import slurm
from distilseg.engines.resources import Resources
from distilseg.engines.submission import (
    Element,
    Submission,
    beside,
    new_submission,
    open_submission,
    submissions_of,
)
from distilseg.errors import UserError

PARTS = [
    Element(f"part {k} of 3", ("predict", "my model", "S", "out", "--part", f"{k}/3")) for k in (1, 2, 3)
]


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    made = new_submission(tmp_path / "out", "predict 'my model' S out", PARTS, engine="slurm")
    made.write()
    return made


def test_it_lies_beside_the_results_and_is_read_back(submission: Submission, tmp_path: Path) -> None:
    assert submission.folder.parent == beside(tmp_path / "out") == tmp_path / "out.submit"
    assert submission.results == tmp_path / "out"
    assert open_submission(submission.folder) == submission
    assert submissions_of(tmp_path / "out") == [submission]
    first = submission.commands.read_text().splitlines()[0]
    assert first == "distilseg predict 'my model' S out --part 1/3"


def test_the_same_is_the_same_submission_and_keeps_its_jobs(submission: Submission, tmp_path: Path) -> None:
    submission.with_jobs(["7"]).write()
    again = new_submission(tmp_path / "out", submission.command, PARTS, engine="slurm")
    assert (again.folder, again.jobs) == (submission.folder, ("7",))
    other = new_submission(tmp_path / "out", submission.command, PARTS[:2], engine="slurm")
    assert other.folder != submission.folder
    other.write()
    os.utime(other.folder / "submission.json", (2e9, 2e9))
    assert submissions_of(tmp_path / "out") == [other]  # of a command the latest


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text[:-20], "is not valid JSON"),
        (lambda text: text.replace('"stage"', '"stag"'), "is damaged"),
        (lambda text: text.replace('"stage": 1', '"stage": "a"'), "is damaged"),
    ],
)
def test_a_damaged_one_is_named(submission: Submission, change: object, told: str) -> None:
    place = submission.folder / "submission.json"
    place.write_text(change(place.read_text()))  # type: ignore[operator]
    with pytest.raises(UserError, match=rf"submission\.json {told}") as caught:
        open_submission(submission.folder)
    assert caught.value.fix.startswith(f"delete {submission.folder} and submit")  # else it stays in the way


def test_a_line_break_in_a_word_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line break"):
        new_submission(tmp_path / "out", "x", [Element("a", ("predict", "a\nb"))], engine="local").write()


@pytest.mark.parametrize(
    ("numbers", "told"), [([1], "1"), ([1, 2, 3, 7], "1-3,7"), ([9, 2, 4, 5], "2,4-5,9"), ([], "")]
)
def test_ranges(numbers: list[int], told: str) -> None:
    assert slurm.ranges(numbers) == told


def test_the_file_for_sbatch(submission: Submission) -> None:
    asked = Resources(cpus=2, gpus=1, memory="8G", time="1:00:00", partition="p")
    text = slurm.script(submission, [1, 3], asked, ["account=me", "comment=my study", "exclusive"])
    assert text.startswith("#!/bin/bash\n")
    options = [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]
    assert {
        "--array=1,3",
        "--cpus-per-task=2",
        "--gres=gpu:1",
        "--mem=8G",
        "--time=1:00:00",
        "--partition=p",
        "--requeue",
        "--signal=B:USR1@60",
        "--account=me",
        '--comment="my study"',
        "--exclusive",
        f"--chdir={Path.cwd()}",
    } <= {*options}
    # By its number in the array: SLURM_JOB_ID of one of the elements is that of all of them.
    assert 'element="${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"' in text
    assert 'scontrol requeue "$element"' in text
    assert not any(
        "gres" in line or "--mem" in line for line in slurm.script(submission, [1], Resources()).splitlines()
    )


@pytest.fixture
def fake_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`sbatch` and `squeue` that note what they are asked, and number jobs from 1."""
    programs = tmp_path / "programs"
    programs.mkdir()
    asked = tmp_path / "asked"
    (programs / "sbatch").write_text(
        f'#!/bin/sh\necho sbatch "$@" >> {asked}\necho "$(wc -l < {asked});cluster"\n'
    )
    (programs / "squeue").write_text(f'#!/bin/sh\necho squeue "$@" >> {asked}\nprintf "2\\nN/A\\n3\\n"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return asked


def test_a_stage_waits_for_the_one_before(submission: Submission, fake_slurm: Path) -> None:
    assert slurm.hand_out(submission, [[1], [2, 3]], Resources()) == ["1", "2"]
    first, second = fake_slurm.read_text().splitlines()
    assert "--dependency" not in first
    assert "--dependency=afterok:1 --kill-on-invalid-dep=yes" in second
    assert "--array=2-3" in (submission.folder / "stage_2.sbatch").read_text()


def test_what_waits_in_the_queue(fake_slurm: Path) -> None:
    assert slurm.in_queue(["4", "5"]) == {2, 3}
    assert "--jobs 4,5" in fake_slurm.read_text()
    assert slurm.in_queue([]) == set()


def test_where_slurm_is_not_and_where_it_refuses(
    submission: Submission, fake_slurm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_slurm.parent / "programs" / "sbatch").write_text(
        "#!/bin/sh\necho error: no such partition >&2\nexit 1\n"
    )
    with pytest.raises(UserError, match=r"sbatch refused it \(error: no such partition\)"):
        slurm.hand_out(submission, [[1]], Resources())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="there is no sbatch here"):
        slurm.hand_out(submission, [[1]], Resources())


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"cpus": 0}, "--cpus 0 is no number of cores"),
        ({"gpus": -1}, "--gpus -1 is no number of GPUs"),
        ({"memory": "much"}, "--memory much is no size"),
        ({"memory": "0G"}, "--memory 0G is no size"),
        ({"time": "long"}, "--time long is no time"),
        ({"time": "1:0"}, "--time 1:0 is no time"),
    ],
)
def test_resources_that_are_none(asked: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        Resources(**asked)  # type: ignore[arg-type]


def test_resources() -> None:
    assert Resources(memory="8G").memory_bytes == 8 * 2**30
    assert Resources(memory="500mb").memory_bytes == 500 * 2**20
    assert Resources(time="2-00:00:00").memory_bytes is None


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("10", 600),
        ("10:30", 630),
        ("1:00:00", 3600),
        ("2-3", 183_600),
        ("1-0:30", 88_200),
        ("1-00:00:05", 86_405),
    ],
)
def test_times_are_read_as_slurm_reads_them(time: str, seconds: int) -> None:
    assert Resources(time=time).seconds == seconds
    assert Resources().seconds is None


def test_a_time_in_which_nothing_is_done_is_refused(submission: Submission) -> None:
    with pytest.raises(UserError, match="--time 4 is short"):
        slurm.script(submission, [1], Resources(time="4"))
