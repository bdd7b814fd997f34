"""The convention of our documents: which blocks are run, and how.

    ```python                    run; the blocks of a page share their names
    ```python title="file.py"    saved as that file, then imported or named by later blocks
    ```console                   lines that begin with "$ distilseg" are run and must end with 0
    ```text, ```bash, ...        shown only; options of `distilseg` in them must exist nevertheless

A page runs in a folder of its own that holds `SCANS/`, six small phantoms in the Decathlon layout. A block
below the line `<!-- not run: why -->` is only checked as one that is shown.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^```(?P<kind>\w*)(?P<rest>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\n+\Z")


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    page: Path
    line: int
    kind: str
    file: str | None  # of title="file.py"
    body: str
    run: bool

    @property
    def commands(self) -> list[list[str]]:
        """The words after `distilseg` of each command in it, comments left out."""
        lines = self.body.replace("\\\n", " ").splitlines()
        found = [re.search(r"(?:^\s*\$ |-m |^|&& )distilseg (.*)", line) for line in lines]
        return [shlex.split(match[1], comments=True) for match in found if match]


def pages() -> list[Path]:
    """Every document that a reader may follow."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """The blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', match["rest"])
        shown_only = NOT_RUN.search(text[: match.start()]) is not None
        runnable = match["kind"] in ("python", "console") and not shown_only
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match["kind"], title and title[1], match["body"], runnable)
