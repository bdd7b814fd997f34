"""A cache that cannot be written: the line says that it is the cache and what moves it, or work goes on."""

from __future__ import annotations

import errno
from pathlib import Path

import platformdirs
import pytest

from distilseg.data.fetch import fetch
from distilseg.data.formats import read_dataset
from distilseg.data.phantom.volumes import write_phantom
from distilseg.data.planning.decide import make_plan
from distilseg.data.preparing.cache import cache_cases
from distilseg.errors import UserError
from distilseg.training.studies import fingerprint_of
from distilseg.user_cache import caching_in, kept_if_possible, user_cache

WAY_OUT = "name a folder of yours by --cache or the variable XDG_CACHE_HOME"


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's cache where a file is in the way."""
    (tmp_path / "home").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "distilseg"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_phantom(tmp_path / "data", cases=3, shape=(16, 16, 16))


def test_it_lies_where_the_variable_says(no_cache: Path) -> None:
    assert user_cache() == no_cache


def test_measures_are_not_kept_and_the_plan_is_made(
    data: Path, no_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = read_dataset(data)
    assert make_plan(dataset, fingerprint_of(dataset)).modalities == dataset.modalities
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"Caution: what was measured of the scans is not kept for the next time: the cache {no_cache}"
    )
    assert "Not a directory; name a folder of yours by the variable XDG_CACHE_HOME" in line


def test_prepared_cases_need_one(data: Path, no_cache: Path, tmp_path: Path) -> None:
    dataset = read_dataset(data)
    plan = make_plan(dataset, fingerprint_of(dataset))
    ids = [case.id for case in dataset.cases]
    with pytest.raises(UserError) as refused:
        cache_cases(dataset, ids, plan)
    assert str(refused.value) == (
        f"the cache {no_cache / 'cases'} cannot be written: Not a directory; {WAY_OUT}, or free space there"
    )
    assert list(cache_cases(dataset, ids, plan, folder=tmp_path / "mine")) == ids


def test_a_disk_that_is_full_meanwhile_is_the_caches(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    dataset = read_dataset(data)
    plan = make_plan(dataset, fingerprint_of(dataset, tmp_path))
    monkeypatch.setattr("distilseg.data.preparing.cache.np.save", full)
    with pytest.raises(
        UserError, match=rf"the cache {tmp_path}/full cannot be written: No space left.*--cache"
    ):
        cache_cases(dataset, [dataset.cases[0].id], plan, folder=tmp_path / "full")


def test_a_dataset_to_fetch_is_told_by_its_own_option(no_cache: Path) -> None:
    with pytest.raises(UserError, match=rf"cannot write to the cache {no_cache}/data: .*--to"):
        fetch("hippocampus")


def test_what_the_system_does_not_refuse_stays_as_it_is(tmp_path: Path) -> None:
    for context in (caching_in(tmp_path), kept_if_possible("it", tmp_path)):
        with pytest.raises(UserError, match=r"^another; fix$"), context:
            raise UserError("another", "fix")


@pytest.mark.parametrize("named", ["/somewhere", "relative", "", None])
@pytest.mark.parametrize("home", ["/home/someone", "relative", None])
def test_it_lies_where_platformdirs_says(
    named: str | None, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("XDG_CACHE_HOME", named), ("HOME", home)):
        monkeypatch.delenv(variable, raising=False)
        if value is not None:
            monkeypatch.setenv(variable, value)
    assert user_cache() == Path(platformdirs.user_cache_dir("distilseg"))
