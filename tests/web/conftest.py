"""A page that several tests open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distilseg.export.web.making import export_page

from . import made


@pytest.fixture(scope="session")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page that finds two structures in MR: `shell` where it is bright, `core` where it is brighter."""
    folder = tmp_path_factory.mktemp("page")
    return export_page(made.artefact(folder / "artefact"), folder / "page.html").path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from .driving import chromium

    with chromium("--disable-gpu") as started:
        yield started
