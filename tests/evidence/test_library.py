"""Jobs, collecting and words of the evidence; nothing is trained here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from evidence.__main__ import main
from evidence.collecting import collect, derived
from evidence.jobs import Job, run_all
from evidence.rows import Told, listed, numeral

from distilseg.recipes.catalogue import find
from distilseg.report import differences
from distilseg.report.contenders import METRICS
from distilseg.runs import Run, find_runs, read_rows, write_rows
from evidence import jobs, page

STUDIES = [study for study in page.studies() if page.part(study, "jobs")]


@pytest.mark.parametrize("study", [study for study in page.known() if page.part(study, "jobs")])
def test_jobs_are_what_the_recipes_take(study: str) -> None:
    for stage in page.part(study, "jobs").jobs():
        for job in stage:
            assert job.options.keys() <= find(job.recipe).options.keys(), str(job)


# Shipped, strided and fused runs are made of trained ones; a prototypes' job trains several, and a run of the
# defaults is several rows.
SEVERAL = {"hippocampus-prototypes", "headneck-prototypes", "training-defaults"}


@pytest.mark.parametrize("study", sorted(set(STUDIES) - SEVERAL))
def test_every_job_has_its_run_in_the_results(study: str) -> None:
    told = [(run, run.read(run.experiment)) for run in find_runs(page.RESULTS / study)]
    made = re.compile(r"-(openvino|openvino-int8|stride\d+)$|^fused-")
    trained = [about["recipe"] for run, about in told if not made.search(run.name)]
    assert sorted(trained) == sorted(job.recipe for stage in page.part(study, "jobs").jobs() for job in stage)


def test_stages_are_run_in_turn_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[int, str]] = []

    def note(number: int, job: Job, command: list[str]) -> bool:
        done.append((number, job.recipe))
        return job.recipe != "fails"

    monkeypatch.setattr(jobs, "_done", note)
    first, second, fails = (Job(name, {}, {}) for name in ("first", "second", "fails"))
    run_all([[first], [second, second]], [], 2)
    assert done[0] == (0, "first")
    assert sorted(done[1:]) == [(1, "second"), (2, "second")]
    done.clear()
    with pytest.raises(SystemExit, match="it resumes"):
        run_all([[fails], [second]], [], 2)
    assert done == [(0, "fails")]


def a_run(folder: Path) -> Run:
    run = Run(folder / "kd_net-1a2b3c4d")
    run.folder.mkdir(parents=True)
    about = {
        "recipe": "kd_net",
        "command": ["distilseg", "train"],
        "dataset": {"folder": "/home/me/scans/Task"},
    }
    run.experiment.write_text(json.dumps({**about, "options": {"teachers": ["/home/me/runs/a"]}}))
    run.status.write_text('{"steps": 3, "seconds": 7.0}')
    (run.folder / "best.safetensors").write_bytes(b"weights")
    write_rows(run.metrics, [{"metric": name, "value": 0.5} for name in ("dice", "assd")])
    return run


def test_what_is_collected_is_data_without_this_machines_paths(tmp_path: Path) -> None:
    run, results = a_run(tmp_path / "runs"), tmp_path / "results"
    collect(str(tmp_path / "runs"), results, metrics=["dice"], measure=lambda run: {"seconds_per_case": 2.0})
    kept = Run(results / run.name)
    assert sorted(path.name for path in kept.folder.iterdir()) == [
        "cost.json",
        "experiment.json",
        "metrics.csv",
        "status.json",
    ]
    about = kept.read(kept.experiment)
    assert about == {"recipe": "kd_net", "dataset": {"folder": "Task"}, "options": {"teachers": ["a"]}}
    assert [row["metric"] for row in read_rows(kept.metrics)] == ["dice"]
    assert kept.read(kept.cost) == {"seconds_per_case": 2.0}


def test_an_unfinished_run_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a_run(tmp_path / "runs").status.unlink()
    collect(str(tmp_path / "runs"), tmp_path / "results")
    assert "not finished: kd_net-1a2b3c4d" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()


def test_a_run_made_of_another_is_made_once_and_whole(tmp_path: Path) -> None:
    run, filled = a_run(tmp_path), []

    def change(about: dict[str, object]) -> None:
        about["options"] = {"stride": 3}

    def fails(made: Run) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        derived(run, "stride3", change, [run.status], fails)
    assert [path.name for path in tmp_path.iterdir()] == [run.name]
    for _ in range(2):
        made = derived(run, "stride3", change, [run.status], filled.append)
    assert made.folder == tmp_path / f"{run.name}-stride3"
    assert made.finished
    assert made.read(made.experiment)["options"] == {"stride": 3}
    assert len(filled) == 1


@pytest.mark.parametrize(
    ("gain", "verdict", "compares"),
    [
        (0.02, "helped", "was better than"),
        (-0.02, "hurt", "was worse than"),
        (0.0, "no difference shown", "was not shown to differ from"),
    ],
)
def test_words_follow_the_test(gain: float, verdict: str, compares: str) -> None:
    """Ten cases that all change alike: p = 2/2¹⁰, below 0.05; without a change there is nothing to show."""
    own = {f"case {n}": 0.8 + gain + 0.001 * n * bool(gain) for n in range(10)}
    other = {f"case {n}": 0.8 for n in range(10)}
    for metric, sign in (("dice", 1), ("hd95", -1)):
        pair = (own, other) if sign > 0 else (other, own)
        told = Told(differences({"a": pair}, METRICS[metric])["a"], METRICS[metric])
        assert told.difference.p_holm == pytest.approx(2 / 2**10 if gain else 1.0)
        assert (told.verdict, told.compares) == (verdict, compares)


def test_lists_and_numbers_in_words() -> None:
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"], ["a, 1", "b"])] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
        "a, 1; b",
    ]
    assert [numeral(n) for n in (0, 1, 11, 13)] == ["none", "one", "eleven", "13"]


def test_what_a_study_does_not_take_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["hippocampus-dsd", "page", "--steps", "3"])
    assert "page does not take --steps 3" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["hippocampus-dsd", "run", "--steps", "3"])
    assert "unrecognized arguments: --steps 3" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="trains nothing"):
        main(["claims", "run"])


def test_a_trial_leaves_the_documents_alone(tmp_path: Path) -> None:
    before = page.README.read_text(encoding="utf-8")
    main(["claims", "page", "--out", str(tmp_path)])
    assert (
        (tmp_path / "claims.md").read_text(encoding="utf-8").startswith("<!-- python -m evidence claims page")
    )
    assert page.README.read_text(encoding="utf-8") == before
