"""From a run to an artefact and back to the run's label maps: 3D, slices, slabs, regions; folder and zip."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt

from distilseg.cli import main
from distilseg.commands import export, predict
from distilseg.data.sampling.slices import sliced
from distilseg.data.scans.reading import read_scan, write_label_map
from distilseg.data.scans.scan import Geometry, Scan
from distilseg.errors import UserError
from distilseg.export import artefact as exporting
from distilseg.export import verify
from distilseg.export.card import model_card
from distilseg.judge import judge
from distilseg.predict import load_predictor
from distilseg.recipes import find
from distilseg.runs import Run
from distilseg.runtime.artefact import Description, is_artefact, open_artefact
from distilseg.runtime.predictor import load_artefact
from distilseg.training.budget import Budget
from distilseg.training.experiment import Experiment, Study
from distilseg.training.machine import Machine
from distilseg.training.trained import trained

from ..training.small import NETWORK, small_experiment, small_study

CPU = Machine(device="cpu", precision="32-true")
KINDS = ("volumes", "slices", "slabs", "thin", "regions")
SHIPPED = [("volumes", "onnx"), ("volumes", "openvino"), ("slices", "onnx"), ("slabs", "openvino")]
SHIPPED += [("thin", "onnx"), ("regions", "openvino")]

# Run with an import hook in the way of everything that the extra [train] brings.
WITHOUT_TRAINING = """
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(name + " is not here", name=name)
sys.meta_path.insert(0, Missing())
from distilseg.cli import main
sys.exit(main(sys.argv[1:]))
"""
TRAINING = {"torch", "monai", "lightning_fabric", "lightning", "SimpleITK", "scipy", "matplotlib", "jinja2"}
TRAINING |= {"platformdirs", "safetensors", "einops", "onnx", "onnxscript"}


def experiment(kind: str, study: Study) -> Experiment:
    spacing = study.plan.model_copy(update={"spacing_mm": (1.3, 1.0, 1.6)})  # so that something is resampled
    study = replace(study, plan=spacing)
    if kind == "slices":
        return small_experiment(replace(study, plan=sliced(study.plan)), "supervised")
    if kind in ("slabs", "thin"):
        options = {"thickness": 3 if kind == "slabs" else 1, "backbone": "light"}
        made = find("thickened")(study, view="coronal", **options)
        return made.with_settings(Budget(steps=2), validations=1)
    if kind == "regions":
        values = study.plan.label_values[1:]
        regions = {"outer": values[:2], "inner": values[1:2]}
        study = replace(study, plan=study.plan.model_copy(update={"regions": regions}))
        made = find("kd_net_teacher")(study, network_options=NETWORK)
        return made.with_settings(Budget(steps=2), validations=1)
    return small_experiment(study, "supervised")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shipped")


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, Run]:
    study = small_study(folder / "scans")
    return {
        kind: trained(experiment(kind, study), runs=folder / "runs", machine=CPU, cache=folder / "cache")
        for kind in KINDS
    }


@pytest.fixture(scope="module")
def shipped(runs: dict[str, Run], folder: Path) -> Path:
    """The artefact of volumes, for ONNX Runtime."""
    out = folder / "shipped"
    export(runs["volumes"], out=out)
    return out


@pytest.fixture
def scans(folder: Path) -> Path:
    return folder / "scans" / "imagesTr"


def label_maps(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: read_scan(path).array for path in sorted(folder.glob("*.nii.gz"))}


def test_an_artefact_tells_nothing_of_the_machine_that_made_it(shipped: Path) -> None:
    network = (shipped / "network.onnx").read_bytes()
    for told in (sys.prefix, "site-packages", "stack_trace"):
        assert told.encode() not in network


@pytest.mark.parametrize(("kind", "to"), SHIPPED)
def test_an_artefact_gives_the_label_maps_of_its_run(
    kind: str, to: str, runs: dict[str, Run], scans: Path, tmp_path: Path
) -> None:
    exported = export(runs[kind], to, out=tmp_path / "student")
    if kind == "slabs":
        goes_through_in_any_size(runs[kind], exported.path)
    assert len(exported.parity) == 3  # two test cases and one validation case
    assert all(parity.within(1e-3) for parity in exported.parity)
    predict(runs[kind].folder, scans, tmp_path / "by-run")
    predict(exported.path, scans, tmp_path / "by-artefact", threads=1)
    by_run, by_artefact = label_maps(tmp_path / "by-run"), label_maps(tmp_path / "by-artefact")
    assert by_run.keys() == by_artefact.keys()
    assert len(by_run) == 6
    assert any(labels.any() for labels in by_run.values())
    for name, labels in by_run.items():
        assert by_artefact[name].dtype == np.uint8
        assert (by_artefact[name] != labels).mean() < 1e-3


def test_the_same_without_any_training_software(
    runs: dict[str, Run], shipped: Path, scans: Path, tmp_path: Path
) -> None:
    program = tmp_path / "without_training.py"
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING)))
    words = [sys.executable, str(program), "predict", str(shipped), str(scans), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "6 written" in done.stdout
    predict(shipped, scans, tmp_path / "here")
    for name, labels in label_maps(tmp_path / "here").items():
        np.testing.assert_array_equal(label_maps(tmp_path / "out")[name], labels)
    words[2:4] = ["predict", str(runs["volumes"].folder)]  # what needs torch says so
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    told = "error: this needs torch, which is not installed; pip install 'distilseg[train]'\n"
    assert (done.returncode, done.stderr) == (2, told)


@pytest.mark.parametrize("command", ["predict", "cost", "teacher"])
def test_what_is_no_artefact_is_told_so_and_not_to_install_torch(
    command: str, scans: Path, runs: dict[str, Run], tmp_path: Path
) -> None:
    program, empty, note = (tmp_path / name for name in ("without_training.py", "empty", "note.txt"))
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING)))
    empty.mkdir()
    note.write_text("no model")
    np.savez(tmp_path / "weights.npz", np.zeros(3))
    for path in (empty, note, tmp_path / "weights.npz", tmp_path / "nowhere", scans):
        words = [str(path), *([str(empty), str(tmp_path / "out")] if command == "predict" else [])]
        line = [sys.executable, str(program), command, *words]
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        (said,) = done.stderr.splitlines()
        assert "torch" not in said
        assert str(path) in said


def test_text_of_others_on_the_card_is_no_markup(shipped: Path, runs: dict[str, Run]) -> None:
    evil = "<script>x</script> [a](javascript:alert(1)) | `b`\n# c"
    artefact = open_artefact(shipped)
    made = {
        **artefact.about.made,
        "dataset": {"name": evil, "licence": evil, "reference": evil},
        "recipe": evil,
        "continues": evil,
        "teachers": [
            {"role": evil, "run": evil, "dataset": {"name": evil, "licence": evil, "reference": evil}}
        ],
        "teachers_of_others": [
            {
                "role": evil,
                **dict.fromkeys(("name", "kind", "network", "trainer", "digest"), evil),
                "dataset": {"name": evil, "licence": evil, "reference": evil},
                "warnings": [evil],
            }
        ],
    }
    about = artefact.about.model_copy(update={"made": made, "name": evil})
    labels = {value: f"{value}{evil}" if value else name for value, name in artefact.plan.labels.items()}
    plan = artefact.plan.model_copy(
        update={
            "labels": labels,
            "modalities": (evil,),
            "normalisation": {evil: next(iter(artefact.plan.normalisation.values()))},
        }
    )
    card = model_card(runs["volumes"], about, plan)
    assert "<" not in card
    assert "](" not in card
    assert "javascript:" not in card
    assert card.count("\n# ") == 0
    assert card.startswith("# dynunet on &#60;script&#62;x&#60;/script&#62; ")
    page = MarkdownIt("commonmark").enable("table").render(card)
    assert set(re.findall(r"<(\w+)", page)) <= {
        "h1",
        "h2",
        "p",
        "pre",
        "code",
        "ul",
        "li",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
    }


def test_without_simpleitk_other_files_than_nifti_are_refused_one_by_one(
    shipped: Path, scans: Path, tmp_path: Path
) -> None:
    program, mixed = tmp_path / "without_training.py", tmp_path / "mixed"
    program.write_text(WITHOUT_TRAINING.replace("{names!r}", repr(TRAINING)))
    mixed.mkdir()
    scan = read_scan(next(scans.glob("*.nii.gz")))
    for name in ("a.nii.gz", "b.nrrd", "c.mha"):
        write_label_map(mixed / name, (scan.array > 0).astype(np.uint8), scan)
    write_label_map(mixed / "d.png", np.eye(9, dtype=np.uint8)[..., None], flat(mixed / "d.png"))
    words = [sys.executable, str(program), "predict", str(shipped), str(mixed), str(tmp_path / "out")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "1 written" in done.stdout
    assert done.stderr.splitlines() == [
        f"refused: case {name[0]}: {mixed / name}: {name[1:]} files need SimpleITK, which is not installed;"
        " pip install SimpleITK, or convert them to NIfTI (the model expects one 3D scan a case: MR)"
        for name in ("b.nrrd", "c.mha", "d.png")
    ]


def flat(path: Path) -> Scan:
    array = np.zeros((9, 9, 1), np.uint8)
    return Scan(array, Geometry(array.shape, np.eye(4)), path)


def test_one_zip_is_the_same_artefact(
    runs: dict[str, Run], shipped: Path, scans: Path, tmp_path: Path
) -> None:
    words = ["export", str(runs["volumes"].folder), "--zip", f"--out={tmp_path / 'student.zip'}"]
    assert main(words) == 0
    with zipfile.ZipFile(tmp_path / "student.zip") as packed:
        names = ["README.md", "artefact.json", "network.onnx", "plan.json"]
        assert packed.namelist() == [f"student/{name}" for name in names]
    assert open_artefact(tmp_path / "student.zip").about.files == open_artefact(shipped).about.files
    for artefact in (shipped, tmp_path / "student.zip"):
        predict(artefact, scans, tmp_path / artefact.stem)
    whole, packed_maps = label_maps(tmp_path / shipped.stem), label_maps(tmp_path / "student")
    for name, labels in whole.items():
        np.testing.assert_array_equal(packed_maps[name], labels)


def test_a_zip_is_named_as_one(runs: dict[str, Run], tmp_path: Path) -> None:
    """By its ending it is told from a folder."""
    exported = export(runs["volumes"], "onnx", out=tmp_path / "student", zip=True)
    assert exported.path == tmp_path / "student.zip"
    assert open_artefact(exported.path).about.engine == "onnx"
    with pytest.raises(UserError, match=r"student\.zip exists already"):
        export(runs["volumes"], "onnx", out=tmp_path / "student", zip=True)


def test_torch_keeps_the_weights_as_they_are(runs: dict[str, Run], scans: Path, tmp_path: Path) -> None:
    exported = export(runs["volumes"], "torch", out=tmp_path / "student.zip")
    assert [parity.logit_difference for parity in exported.parity] == [0, 0, 0]
    with pytest.raises(UserError, match="was exported for torch; export it --to onnx or openvino"):
        load_artefact(exported.path)
    predict(exported.path, scans, tmp_path / "out")
    predict(runs["volumes"].folder, scans, tmp_path / "by-run")
    for name, labels in label_maps(tmp_path / "by-run").items():
        np.testing.assert_array_equal(label_maps(tmp_path / "out")[name], labels)


def goes_through_in_any_size(run: Run, artefact: Path) -> None:
    """A thickened network's attention pools maps above 32 pixels and not those below: both in one export."""
    predictor, in_torch = load_artefact(artefact), load_predictor(run.folder, device="cpu")
    for shape in ((20, 7, 18), (40, 5, 90), (100, 3, 33)):
        image = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
        expected = in_torch.logits(image).numpy()
        np.testing.assert_allclose(predictor.logits(image), expected, rtol=1e-3, atol=1e-4)


# What an artefact says.


def test_it_says_whence_it_comes_and_names_no_path_and_no_case(shipped: Path, folder: Path) -> None:
    about = open_artefact(shipped).about
    assert (about.target, about.engine, about.network) == ("onnx", "onnx", "network.onnx")
    assert about.made["dataset"]["licence"] == "CC0-1.0"
    assert about.made["recipe"] == "supervised"
    assert {"distilseg", "torch", "onnx"} <= about.made["exported_with"].keys()
    assert about.parity["cases"] == 3
    assert about.parity["largest_logit_difference"] <= about.parity["tolerance"] == verify.TOLERANCE
    for file in ("artefact.json", "README.md", "plan.json"):
        text = (shipped / file).read_text()
        assert str(folder) not in text
        assert "phantom_0" not in text


def test_the_card_shows_what_was_measured(runs: dict[str, Run], shipped: Path, tmp_path: Path) -> None:
    card = (shipped / "README.md").read_text()
    assert "Not judged: no test case was predicted before the export" in card
    judge(runs["volumes"], device="cpu")
    export(runs["volumes"], out=tmp_path / "judged")
    card = (tmp_path / "judged" / "README.md").read_text()
    assert "On 2 test cases of the run; mean ± standard deviation over cases." in card
    assert "| structure | Dice | IoU | HD95 [mm] | NSD |" in card
    assert "- data: Phantom, licence: CC0-1.0" in card
    assert "| network [MB] |" in card
    assert "The run, measured alone: " in card
    assert card.count(" [s] |") == 1  # seconds of run and artefact stand beside each other, and nowhere else
    assert not re.search(r"\d s a case", card)


def test_the_card_is_called_by_a_name(shipped: Path, runs: dict[str, Run]) -> None:
    card = (shipped / "README.md").read_text()
    assert card.startswith("# dynunet on Phantom, by supervised\n")
    assert f"run `{runs['volumes'].name}`" in card


@pytest.mark.parametrize(("waited", "said"), [(0.3, True), (0.01, False), (None, False)])
def test_the_card_says_where_the_machine_was_busy(
    shipped: Path, runs: dict[str, Run], waited: float | None, said: bool
) -> None:
    artefact = open_artefact(shipped)
    about = artefact.about.model_copy(update={"cost": {**artefact.about.cost, "waited": waited}})
    card = model_card(runs["volumes"], about, artefact.plan)
    assert ("30% of the time was spent waiting for a processor" in card) is said


def test_size_and_seconds_of_artefact_and_run_side_by_side(shipped: Path, runs: dict[str, Run]) -> None:
    cost = open_artefact(shipped).about.cost
    assert cost["run_bytes"] == runs["volumes"].best.stat().st_size
    assert cost["artefact_bytes"] == (shipped / "network.onnx").stat().st_size
    assert 0 < cost["artefact_s"] < 10 > cost["run_s"] > 0
    assert cost["cases"] == 2  # of three, the first of which warms up
    card = (shipped / "README.md").read_text()
    assert "|  | the run, in torch | this artefact, onnx |" in card
    assert f"| a case [s] | {cost['run_s']:.3f} | {cost['artefact_s']:.3f} |" in card
    assert "median of 2 while it was exported, the two in turns on 1 thread each" in card
    assert cost["threads"] == 1


def test_teachers_and_their_licences_are_named(folder: Path, tmp_path: Path) -> None:
    study = small_study(folder / "two", modalities=("CT", "PET"))
    dataset = replace(study.dataset, licence="CC-BY 4.0", reference="a paper")
    made = find("kd_net")(
        replace(study, dataset=dataset), student_sees="CT", network_options=NETWORK
    ).with_settings(Budget(steps=2), validations=1)
    run = trained(made, runs=folder / "taught", machine=CPU, cache=folder / "cache")
    about = open_artefact(export(run, out=tmp_path / "student").path).about
    (teacher,) = about.made["teachers"]
    assert teacher["role"] == "teacher"
    assert teacher["dataset"]["licence"] == "CC-BY 4.0"
    assert len(teacher["weights_sha256"]) == 64
    card = (tmp_path / "student" / "README.md").read_text()
    assert f"- teacher teacher, {teacher['run']}: " in card
    assert "licence: CC-BY 4.0, reference: a paper" in card


# Refusals.


def test_what_differs_beyond_the_tolerance_is_refused_and_not_left_behind(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(runs["volumes"].folder), "--out", str(tmp_path / "student"), "--tolerance", "0"]
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "the artefact for onnx does not give what the run gives: case phantom_00" in told
    assert "of 3 cases beyond 0); nothing was written; try another target, or allow it" in told
    assert main([*words[:-2], "--zip", "--tolerance", "0"]) == 2
    assert not list(tmp_path.iterdir())


def test_a_wrong_network_is_found(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels that differ are refused even where all logits are near."""
    near = [verify.Parity("a", 0.001, 1.0, 0, 10), verify.Parity("b", 0.001, 0.98, 2, 10)]
    monkeypatch.setattr(exporting, "compare", lambda *_, **__: near)
    with pytest.raises(UserError, match=r"case b differs by 0.001 in a logit, Dice 0.9800 \(1 of 2 cases"):
        export(runs["volumes"], out=tmp_path / "student")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "onx"], "unknown target 'onx'; did you mean 'onnx'"),
        (["--cases", "phantom_9"], "unknown case in .* 'phantom_9'"),
        (["--data", "nowhere"], "nowhere"),
        (["--weights", "worst"], "unknown weights 'worst'"),
    ],
)
def test_options_that_make_no_sense(
    options: list[str],
    message: str,
    runs: dict[str, Run],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "student"
    assert main(["export", str(runs["volumes"].folder), "--out", str(out), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line)
    assert not out.exists()


def test_nothing_is_overwritten(runs: dict[str, Run], shipped: Path) -> None:
    with pytest.raises(UserError, match="exists already; remove it, or name another place with --out"):
        export(runs["volumes"], out=shipped)


def damaged(shipped: Path, to: Path) -> Path:
    to.mkdir()
    for file in shipped.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_a_broken_artefact_is_one_clear_line(
    shipped: Path, scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(artefact: Path) -> str:
        assert main(["predict", str(artefact), str(scans), str(tmp_path / "out")]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("error: ")

    short = damaged(shipped, tmp_path / "short")
    (short / "network.onnx").write_bytes((shipped / "network.onnx").read_bytes()[:-100])
    assert told(short).startswith(f"{short}: network.onnx is not what was exported (its SHA-256 differs)")
    edited = damaged(shipped, tmp_path / "edited")
    (edited / "plan.json").write_text((shipped / "plan.json").read_text().replace("zscore", "minmax"))
    assert "plan.json is not what was exported" in told(edited)
    lacking = damaged(shipped, tmp_path / "lacking")
    (lacking / "network.onnx").unlink()
    assert told(lacking).startswith(f"{lacking} lacks network.onnx; copy it again")
    newer = damaged(shipped, tmp_path / "newer")
    text = json.loads((newer / "artefact.json").read_text())
    (newer / "artefact.json").write_text(json.dumps({**text, "format": 2}))
    assert "is it of a newer distilseg?" in told(newer)
    (newer / "artefact.json").write_text("{")
    assert told(newer).startswith(f"{newer}: artefact.json is damaged")
    (tmp_path / "cut.zip").write_bytes(b"PK\x03\x04")
    assert "cut.zip is no whole zip" in told(tmp_path / "cut.zip")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as packed:
        packed.writestr("notes.txt", "")
    assert "other.zip is no artefact (no artefact.json in it)" in told(tmp_path / "other.zip")
    assert "there is no artefact" in told(tmp_path / "absent.zip")
    assert not (tmp_path / "out").exists()


def test_a_zip_that_no_export_makes_is_not_unpacked(shipped: Path, tmp_path: Path) -> None:
    def packed(name: str, how: int = zipfile.ZIP_DEFLATED, **others: bytes) -> Path:
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(path, "w", how) as made:
            for file in shipped.iterdir():
                made.write(file, f"student/{file.name}")
            for number, content in enumerate(others.values()):
                made.writestr(f"student/more_{number}", content)
        return path

    for told in ("../plan.json", "student/../../plan.json", "/plan.json", "C:\\plan.json", "..\\plan.json"):
        path = packed("out")
        with zipfile.ZipFile(path, "a") as made:
            made.writestr(zipfile.ZipInfo(told), "{}")
        with pytest.raises(UserError, match=r"out.zip holds '.+', which leads out of it; no export makes"):
            open_artefact(path)
    with pytest.raises(UserError, match=r"says it holds 10\d MB in a file of 0.\d MB; no export makes that"):
        open_artefact(packed("bomb", zeros=bytes(10**8)))
    with pytest.raises(UserError, match="is encrypted, or packed in an unusual way"):
        open_artefact(packed("strange", zipfile.ZIP_LZMA))
    assert open_artefact(packed("plain")).plan == open_artefact(shipped).plan


def test_a_zip_that_lies_about_a_size_is_not_unpacked_beyond_it(shipped: Path, tmp_path: Path) -> None:
    """Its directory says 100 bytes of what holds 60 MB."""
    path, size = tmp_path / "liar.zip", 60 * 2**20
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.write(shipped / "artefact.json", "artefact.json")
        made.writestr("plan.json", bytes(size))
    content = path.read_bytes()
    assert content.count(size.to_bytes(4, "little")) == 2  # before the member and in the directory
    path.write_bytes(content.replace(size.to_bytes(4, "little"), (100).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"plan.json is not what was exported|is no whole zip"):
            open_artefact(path)
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
    finally:
        tracemalloc.stop()


def test_an_artefact_has_its_own_weights_and_modalities(shipped: Path, scans: Path, tmp_path: Path) -> None:
    for options in ({"weights": "last"}, {"modality": "MR"}):
        with pytest.raises(UserError, match="is an artefact: one model, with its own modalities and weights"):
            predict(shipped, scans, tmp_path, **options)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="an artefact for onnx has no device 'mps'"):
        predict(shipped, scans, tmp_path, device="mps")


def test_what_is_an_artefact(shipped: Path, runs: dict[str, Run]) -> None:
    assert is_artefact(shipped)
    assert not is_artefact(runs["volumes"].folder)
    assert Description.model_validate(json.loads((shipped / "artefact.json").read_text())).format == 1
