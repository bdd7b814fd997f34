"""The package as a file: what is in it, and that every line which installs it names the one that is built."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest
import yaml

from distilseg import __version__
from distilseg.installing import WHEEL, from_wheel

ROOT = Path(__file__).parents[1]
EXTRAS = {"train", "runtime", "dicom", "pacs", "export", "s3", "tensorboard", "dask", "ray", "dev"}
NAMED = re.compile(r"distilseg-[\d.]+[\w.-]*\.whl(?:\[(?P<extras>[\w,]+)\])?")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make wheel` does, from a copy of its sources, with the setuptools that is there."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in ("pyproject.toml", "README.md", "LICENSE", "src"):
        subprocess.run(["cp", "-r", ROOT / name, source / name], check=True)
    pip = [sys.executable, "-m", "pip", "wheel", source, "--no-deps", "--quiet", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", built], check=True)
    (path,) = built.iterdir()
    return path


def test_the_wheel_has_the_name_that_is_told(wheel: Path) -> None:
    assert wheel.name == WHEEL == "distilseg-0.2.0-py3-none-any.whl"
    assert from_wheel("train") == "pip install 'distilseg-0.2.0-py3-none-any.whl[train]'"


def test_the_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = HeaderParser().parsestr(
            archive.read(f"distilseg-{__version__}.dist-info/METADATA").decode()
        )
    source = ROOT / "src"
    tracked = {path for path in (source / "distilseg").rglob("*") if path.is_file()}
    assert held == {p.relative_to(source).as_posix() for p in tracked if "__pycache__" not in p.parts}
    assert metadata["Version"] == __version__
    assert set(metadata.get_all("Provides-Extra", [])) == EXTRAS


def test_every_document_names_this_wheel_and_extras_that_exist() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    found = [match for page in pages for match in NAMED.finditer(page.read_text(encoding="utf-8"))]
    assert len(found) >= 5
    for match in found:
        assert match[0].partition("[")[0] == WHEEL
        assert set((match["extras"] or "train").split(",")) <= EXTRAS


@pytest.mark.parametrize("page", ["big-model", "own-scans", "one-modality"])
def test_every_tutorial_says_how_to_install(page: str) -> None:
    text = (ROOT / "docs" / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    assert "](../how-to/install.md)" in text
    assert f"pip install '{WHEEL}[" in text


def test_the_citation_is_of_this_version() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == __version__
    assert cited["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors", "type"} <= set(cited)


def test_every_extra_has_a_trial() -> None:
    """What `make try-wheel` does after a fresh installation."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        from try_wheel import TRIALS
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    tried = {extra for trial in TRIALS.values() for extra in trial.extra.split(",")}
    assert tried == EXTRAS - {"dev"} | {""}
