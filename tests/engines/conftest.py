"""A model and scans for all tests of engines, and which of the engines are here."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import pytest

from distilseg.cli import main
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.plan import save_plan
from distilseg.training.studies import make_study

from . import small

SCANS = 12


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.artefact(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small.scans(tmp_path_factory.mktemp("scans"), SCANS)


@pytest.fixture(scope="session")
def plain(model: Path, scans: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What plain `distilseg predict` makes of the scans."""
    out = tmp_path_factory.mktemp("plain") / "out"
    assert main(["predict", str(model), str(scans), str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled scans that are learned from in a second, and a plan beside them."""
    folder = tmp_path_factory.mktemp("data") / "scans"
    write_phantom(folder, cases=6, shape=(20, 20, 20), spacing_mm=(1, 1, 1))
    save_plan(folder.with_name("plan.json"), make_study(folder, patch=(8, 8, 8), levels=3).plan)
    return folder


@pytest.fixture
def mortal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers take their time, and die of a scan that is called poison."""
    monkeypatch.setenv("PYTHONPATH", small.worker_path(tmp_path / "worker"))


@pytest.fixture(params=["local", "dask", "ray"])
def engine(request: pytest.FixtureRequest) -> str:
    """Every engine that runs what it is given while it is waited for."""
    package = {"dask": "distributed"}.get(request.param, request.param)
    if package != "local" and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install 'distilseg[{request.param}]'")
    if request.param == "ray":
        alone = subprocess.run([*small.ALONE, "true"], check=False, capture_output=True)
        if alone.returncode:
            pytest.skip("Ray binds its machine's address, and there is no network apart (unshare --net)")
    name: str = request.param
    return name
