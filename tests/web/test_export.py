"""`distilseg export --to web`: from a run, from an artefact, refused by name; and the programs of a page."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distilseg.cli import main
from distilseg.commands import export
from distilseg.data.planning.normalisation import Normalisation
from distilseg.errors import UserError
from distilseg.export.web import built
from distilseg.export.web.colours import colours
from distilseg.export.web.making import Page, export_page
from distilseg.training.trained import trained

from ..export.test_export import CPU
from ..training.small import small_experiment, small_study
from . import made
from .test_golden import WEB, needs_node


def test_a_run_becomes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = small_study(tmp_path / "scans")
    run = trained(
        small_experiment(study, "supervised"), runs=tmp_path / "runs", machine=CPU, cache=tmp_path / "c"
    )
    page = tmp_path / "page.html"
    assert main(["export", str(run.folder), "--to", "web", "--out", str(page)]) == 0
    told = capsys.readouterr().out
    assert "artefact against run" in told
    assert "open it by a double click" in told
    assert page.stat().st_size < 13e6
    text = page.read_text(encoding="utf-8")
    assert run.name in text
    assert str(tmp_path) not in text  # nothing of the machine that made it
    assert main(["export", str(run.folder), "--to", "web", "--out", str(page)]) == 2  # it exists
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "page.html", "runs", "scans"]


def test_an_artefact_becomes_one_file_or_a_folder(tmp_path: Path) -> None:
    artefact = made.artefact(tmp_path / "artefact")
    one = export(artefact.path, "web", out=tmp_path / "page.html")
    assert isinstance(one, Page)
    assert one.bytes == one.path.stat().st_size
    zipped = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", artefact.path))
    assert export(zipped, "web", out=tmp_path / "zipped.html").path.read_bytes() == one.path.read_bytes()
    several = export(artefact.path, "web", out=tmp_path / "site", folder=True)
    assert {"index.html", "network-0.onnx", "engine.wasm", "serve.py", "README.txt"} <= {
        path.name for path in several.path.iterdir()
    }


def test_what_others_wrote_is_no_markup(tmp_path: Path) -> None:
    hostile = "</script><img src=x onerror=alert(1)>"
    plan = made.plan_of(labels={0: "background", 1: hostile, 2: "core"})
    text = export_page(made.artefact(tmp_path / "artefact", plan), tmp_path / "page.html").path.read_text(
        "utf-8"
    )
    assert "onerror=alert" in text
    assert "<img src=x" not in text


def _refused(tmp_path: Path, **made_of: Any) -> str:
    plan = made_of.pop("plan", made.plan_of())
    changed = made_of.pop("changed", {})
    artefact = made.artefact(tmp_path / "artefact", plan, **made_of)
    if changed:
        artefact = made.changed(artefact, **changed)
    with pytest.raises(UserError) as refused:
        export_page(artefact, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    return str(refused.value)


def test_networks_too_large_for_one_page_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distilseg.export.web.page._MOST_BYTES", 10)
    assert "too large for one page" in _refused(tmp_path)


def test_the_window_of_ct_is_the_plans(tmp_path: Path) -> None:
    how = Normalisation(kind="window_zscore", low=-100, high=300, mean=80.5, std=60.25)
    page = export_page(made.artefact(tmp_path / "artefact", made.plan_of(how=how)), tmp_path / "page.html")
    assert '"window": [-100.0, 300.0]' in page.path.read_text(encoding="utf-8")


def test_a_cubic_plan_is_refused_by_name(tmp_path: Path) -> None:
    told = _refused(tmp_path, plan=made.plan_of(interpolation="cubic"))
    assert "a page does not know the interpolation cubic (known: linear)" in told


def test_another_engine_is_refused_by_name(tmp_path: Path) -> None:
    assert "is for openvino, and a page runs ONNX alone" in _refused(tmp_path, changed={"engine": "openvino"})


def test_the_preparation_of_others_is_refused_by_name(tmp_path: Path) -> None:
    assert "the preparation nnunet (known: plan)" in _refused(tmp_path, changed={"preparation": "nnunet"})


def test_what_the_mirror_does_not_know_yet_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knows = built.manifest()["knows"]
    less = {**built.manifest(), "knows": {**knows, "normalisation": ["none"], "inferer": ["sliding_window"]}}
    monkeypatch.setattr("distilseg.export.web.knowing.manifest", lambda: less)
    assert "the normalisation zscore (known: none)" in _refused(tmp_path)


def test_a_run_with_a_cubic_plan_is_refused_before_it_is_exported(tmp_path: Path) -> None:
    study = small_study(tmp_path / "scans")
    study = replace(study, plan=study.plan.model_copy(update={"interpolation": "cubic"}))
    run = trained(
        small_experiment(study, "supervised"), runs=tmp_path / "runs", machine=CPU, cache=tmp_path / "c"
    )
    with pytest.raises(UserError, match="interpolation cubic"):
        export(run, "web", out=tmp_path / "page.html", data=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "web", "--zip"], "a page is one file"),
        (["--to", "onnx", "--folder"], "--folder is for web"),
        (["--to", "web", "--cases", "a"], "was exported and compared already"),
        (["--to", "web", "--weights", "last"], "was exported and compared already"),
        (["--to", "web", "--mirror"], "was exported and compared already"),
        (["--to", "web", "--out", "page.txt"], "does not end as a page does"),
    ],
)
def test_options_that_make_no_sense(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = made.artefact(tmp_path / "artefact")
    assert main(["export", str(artefact.path), *words]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_colours_differ() -> None:
    found = colours(150)
    assert len(set(found)) == 150
    assert all(max(colour) >= 100 for colour in found)  # seen over a dark scan


def test_a_damaged_program_is_not_put_into_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = tmp_path / "built"
    shutil.copytree(built.FOLDER, copied)
    monkeypatch.setattr(built, "FOLDER", copied)
    (copied / "page.js.gz").write_bytes((copied / "style.css.gz").read_bytes())
    with pytest.raises(UserError, match=r"page\.js, a program of the page, is not what was built"):
        built.packed("page.js")


# --- the built files


def test_built_files_are_those_of_the_sources() -> None:
    """Else `npm run ship` in web/, and commit what it writes."""
    names = [WEB / name for name in ("build.mjs", "package-lock.json", "tsconfig.json")]
    names += [path for folder in ("src", "styles") for path in (WEB / folder).rglob("*") if path.is_file()]
    lines = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(WEB).as_posix()}\n"
        for path in sorted(names, key=lambda path: path.relative_to(WEB).as_posix())
    )
    assert hashlib.sha256(lines.encode()).hexdigest() == built.manifest()["sources"]


def test_built_files_are_whole() -> None:
    for name in built.manifest()["files"]:
        assert built.packed(name)


@needs_node
def test_built_files_come_of_the_sources_again(tmp_path: Path) -> None:
    copied = tmp_path / "repository" / "web"
    shutil.copytree(WEB, copied, ignore=shutil.ignore_patterns("node_modules", "build"))
    (copied / "node_modules").symlink_to(WEB / "node_modules")
    subprocess.run(["node", "build.mjs", "--ship"], cwd=copied, check=True)
    again = tmp_path / "repository" / "src" / "distilseg" / "export" / "web" / "built" / "manifest.json"
    assert json.loads(again.read_text()) == built.manifest()


def test_every_program_in_a_page_has_its_licence() -> None:
    told = built.text("licences.txt")
    for program in ("onnxruntime-web", "@niivue/niivue", "nifti-reader-js", "fflate", "gl-matrix"):
        assert re.search(rf"^{re.escape(program)} \d", told, re.MULTILINE), program
