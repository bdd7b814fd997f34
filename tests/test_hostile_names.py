"""Names that lead elsewhere, taken through every command that reads them.

They are refused in one line, and nothing is written but where it was told.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import pytest

from distilseg.cli import main
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.errors import UserError
from distilseg.export.provenance import provenance
from distilseg.judge import judge
from distilseg.runs import open_run
from distilseg.runtime.artefact import digest, open_artefact
from distilseg.subsets import given
from distilseg.training.studies import make_study
from distilseg.training.trained import trained

from .training.small import small_experiment

HOSTILE = ["../up", "../../up", "..", ".", "/tmp/abs", "a/b", "a\\b", "..\\up", "C:up", "a\nb", "\x1b[31mred"]
HOSTILE += ["a\0b", "x" * 300, "NUL", "\u202egnp.exe", "~", ".hidden", "a.", "*"]
TINY = ["--network-option", "filters=[4,8,8]", "--precision", "32-true", "--validations", "1", "--steps", "1"]
TINY += ["--device", "cpu", "--no-evaluate"]

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of five cases, its plan, a run of one step and the run's artefact for torch."""
    folder = tmp_path_factory.mktemp("world") / "deep" / "deeper"
    data = folder / "data"
    write_phantom(data, cases=5, shape=(20,) * 3, spacing_mm=(1,) * 3, modalities=("CT", "MR"))
    plan = ["--patch", "16,16,16", "--levels", "3", "--out", folder / "plan.json"]
    told(["plan", data, *plan], 0)
    told(train(folder, data), 0)
    run(folder).rename(folder / "run")
    told(["export", folder / "run", "--to", "torch", "--out", folder / "artefact"], 0)
    both = nibabel.load(next((data / "imagesTr").iterdir()))
    for name, channel in zip(("ct", "mr"), nibabel.four_to_three(both), strict=True):
        nibabel.save(channel, folder / f"{name}.nii.gz")
    return folder


def train(world: Path, data: Path) -> list[Any]:
    where = ["--runs", world / "runs", "--cache", world / "cache", "--plan", world / "plan.json"]
    return ["train", "supervised", "--data", data, *TINY, *where]


def run(world: Path) -> Path:
    (found,) = (path.parent for path in (world / "runs").rglob("best.safetensors"))
    return found


def told(words: list[Any], code: int) -> None:
    assert main([str(word) for word in words]) == code, words


@contextmanager
def written_only_in(world: Path, *folders: Path) -> Iterator[None]:
    """Nothing appears, changes or goes in the world or above it but in these folders."""
    root = world.parent.parent
    before = _state(root, folders)
    yield
    assert _state(root, folders) == before
    assert not Path("/tmp/abs").exists()
    assert not Path("/tmp/abs.nii.gz").exists()


def _state(root: Path, but: tuple[Path, ...]) -> dict[Path, int]:
    files = (path for path in root.rglob("*") if not any(path.is_relative_to(folder) for folder in but))
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


def one_line(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What stands on stderr: one line that holds the words and nothing that a terminal obeys."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    for word in words:
        assert word in line, line
    return line


def copied(world: Path, to: Path, what: str, file: str, change: Change) -> Path:
    """A copy of a dataset, run or artefact whose JSON file is changed."""
    shutil.copytree(world / what, to)
    content = json.loads((to / file).read_text(encoding="utf-8"))
    change(content)
    (to / file).write_text(json.dumps(content), encoding="utf-8")
    return to


@pytest.mark.parametrize("name", HOSTILE)
def test_a_case_of_a_table_is_refused_and_the_others_predicted(
    name: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if set(name) & set("\n\0"):
        pytest.skip("no cell of a table that is read by lines can hold it")
    table, pair = tmp_path / "cases.csv", [world / "ct.nii.gz", world / "mr.nii.gz", ""]
    with table.open("w", newline="", encoding="utf-8") as file:
        header = ["case", "image:CT", "image:MR", "label"]
        csv.writer(file).writerows([header, [name, *pair], ["fine", *pair]])
    out = world / "out"
    for model in ("run", "artefact"):
        with written_only_in(world, out):
            told(["predict", world / model, table, out, "--device", "cpu"], 1)
        one_line(capsys, "refused: the case name ")
        assert [path.name for path in out.iterdir()] == ["fine.nii.gz"]
        shutil.rmtree(out)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_dataset_is_refused_by_every_command(
    name: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = copied(world, tmp_path / "data", "data", "dataset.json", lambda d: d.update(name=name))
    for words in (["check", data], ["plan", data], train(world, data)):
        with written_only_in(world):
            told(words, 2)
        one_line(capsys, "the dataset name ", "is no name for a file", "give it another")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_case_of_a_dataset_is_refused_by_every_command(
    name: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """nnU-Net's description may name each case."""
    images = sorted((world / "data" / "imagesTr").iterdir())
    entries: dict[str, Any] = {
        id: {"images": [str(image)] * 2, "label": str(world / "data" / "labelsTr" / image.name)}
        for id, image in zip(["a", "b", "c", "d", name], images, strict=True)
    }
    about = {"channel_names": {"0": "CT", "1": "MR"}, "labels": {"background": 0, "x": 1}, "dataset": entries}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "dataset.json").write_text(json.dumps(about), encoding="utf-8")
    data = tmp_path / "data"
    for words in (["check", data], ["plan", data], train(world, data)):
        with written_only_in(world):
            told(words, 2)
        one_line(capsys, "the case name ", "is no name for a file")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_of_an_artefact_is_refused(
    name: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As that of the network, among the files, as the plan of a view."""
    content = (world / "artefact" / "network.safetensors").read_bytes()
    view = {"network": "network.safetensors", "inferer": {}, "answers": "classes", "plan": name}
    changes: list[Change] = [
        lambda d: (d.update(network=name), d["files"].update({name: digest(content)})),
        lambda d: d.update(network=name),
        lambda d: d["files"].update({name: ""}),
        lambda d: d.update(views=[view]),
    ]
    (world / "up").write_bytes(content)  # what "../up" leads to, seen from the artefact
    for number, change in enumerate(changes):
        hostile = copied(world, tmp_path / f"artefact_{number}", "artefact", "artefact.json", change)
        with written_only_in(world, world / "out"):
            told(["predict", hostile, world / "data", world / "out", "--device", "cpu"], 2)
        one_line(capsys, "artefact.json makes no sense", "the file name ")
    (world / "up").unlink()


def test_two_files_of_an_artefact_that_are_one(world: Path, tmp_path: Path) -> None:
    def change(about: dict[str, Any]) -> None:
        about["files"]["Network.safetensors"] = about["files"]["network.safetensors"]

    with pytest.raises(UserError, match="differ by case or ending alone"):
        open_artefact(copied(world, tmp_path / "artefact", "artefact", "artefact.json", change))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_run_names_is_refused_where_it_would_become_a_path(
    name: str, world: Path, tmp_path: Path
) -> None:
    """A run folder of somebody else: its teachers, its modalities, its cases."""
    of_teacher = copied(
        world, tmp_path / "a", "run", "experiment.json", lambda d: d["teachers"].update(t=name)
    )
    with written_only_in(world), pytest.raises(UserError, match="the teacher name"):
        provenance(open_run(of_teacher), of_teacher / "best.safetensors")

    def renamed(plan: dict[str, Any]) -> None:
        plan["modalities"][1] = name
        plan["normalisation"][name] = plan["normalisation"].pop("MR")

    of_modality = copied(world, tmp_path / "b", "run", "plan.json", renamed)
    with written_only_in(world), pytest.raises(UserError):
        given(open_run(of_modality), [name])
    of_case = copied(world, tmp_path / "c", "run", "split.json", lambda d: d.update(test=[name]))
    with written_only_in(world), pytest.raises(UserError, match=r"unknown case|does not have"):
        judge(open_run(of_case), device="cpu")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_dataset_or_recipe_made_by_a_program_becomes_no_path(
    name: str, world: Path, tmp_path: Path
) -> None:
    """Who makes these values without reading a file meets the same at the join."""
    study = make_study(world / "data", plan=world / "plan.json")
    experiment = small_experiment(study, "supervised")
    named = replace(experiment, study=replace(study, dataset=replace(study.dataset, name=name)))
    for hostile in (named, replace(experiment, recipe=name)):
        if hostile is not named and name in (
            "..",
            ".",
            "NUL",
            "~",
            "a.",
        ):  # what follows, -1a2b3c4d, mends it
            continue
        with written_only_in(world, tmp_path), pytest.raises(UserError, match=r"the (dataset|run) name"):
            trained(hostile, runs=tmp_path / "x" / "runs", cache=world / "cache")
        assert not list(tmp_path.rglob("*"))


def test_a_student_reaches_the_terminal_without_what_it_obeys(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("\x1b[31mred", "plain"):
        shutil.copytree(world / "run", tmp_path / "runs" / name)
    with written_only_in(world, world / "out"):
        told(["predict", tmp_path / "runs", world / "data", world / "out", "--device", "cpu"], 0)
    shown = capsys.readouterr()
    assert "\\x1b[31mred" in shown.out + shown.err
    assert "\x1b" not in shown.out + shown.err
    shutil.rmtree(world / "out")


@pytest.mark.parametrize("names", [("anna.nii", "anna.nii.gz"), ("Anna.nii.gz", "anna.nii.gz")])
def test_twins_in_a_folder_are_named_to_predict_and_to_evaluate(
    names: tuple[str, str], world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = next((world / "data" / "imagesTr").iterdir())
    label = nibabel.load(world / "data" / "labelsTr" / scan.name)
    for name in names:
        nibabel.save(nibabel.load(scan), _parent(tmp_path / "scans" / name))
        nibabel.save(label, _parent(tmp_path / "labels" / name))
    told(["predict", world / "run", tmp_path / "scans", tmp_path / "out", "--device", "cpu"], 1)
    one_line(capsys, "refused: the case name", *names)
    assert len(list((tmp_path / "out").iterdir())) == 1
    told(["evaluate", tmp_path / "labels", tmp_path / "labels"], 2)
    one_line(capsys, "the file name", *names)


def _parent(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    return path


def test_a_case_that_is_named_twice_is_refused_when_read(world: Path, tmp_path: Path) -> None:
    scans = sorted((world / "data" / "imagesTr").iterdir())
    label = world / "data" / "labelsTr" / scans[0].name
    for other, said in (
        ("a", "stands twice"),
        ("A", "differ by case"),
        ("a.nii", "differ by case or ending"),
    ):
        rows: list[list[Any]] = [
            ["case", "image:CT", "label"],
            ["a", scans[0], label],
            [other, scans[1], label],
        ]
        (tmp_path / "t.csv").write_text("\n".join(",".join(map(str, row)) for row in rows))
        with pytest.raises(UserError, match=said) as refused:
            read_dataset(tmp_path / "t.csv")
        assert all(str(scan) in str(refused.value) for scan in scans[:2])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ('{"0": "background", "1": "kidney", "2": "kidney"}', "class name 'kidney' stands twice"),
        ('{"0": "background", "1": "kidney", "2": "Kidney"}', "differ by case"),
        ('{"background": 0, "kidney": 1, "kidney": 2}', "names 'kidney' twice in one object"),
    ],
)
def test_two_classes_of_one_name_are_refused_when_read(
    labels: str, said: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(world / "data", tmp_path / "data")
    about = json.loads((tmp_path / "data" / "dataset.json").read_text())
    about["labels"] = "LABELS"
    text = json.dumps(about).replace('"LABELS"', labels)
    (tmp_path / "data" / "dataset.json").write_text(text)
    for words in (["check", tmp_path / "data"], train(world, tmp_path / "data")):
        with written_only_in(world):
            told(words, 2)
        one_line(capsys, said, "dataset.json")
