"""The convention of our documents: which blocks are run, and how.

    ```python                    run; the blocks of a page share their names
    ```python title="file.py"    saved as that file, then imported or named by later blocks
    ```console                   lines that begin with "$ distilseg" are run and must end with 0; the lines
                                 below one are what it prints, in this order, others left out by "..."
    ```text, ```bash, ...        shown only; a command line of `distilseg` in them is parsed nevertheless
    `distilseg ...` in prose     its command and its options must exist

A page runs in a folder of its own that holds `SCANS/`, six small phantoms in the Decathlon layout, and
`MODEL/`, an nnU-Net v2 model that was never trained. A block below the line `<!-- not run: why -->` is only
checked as one that is shown. What is printed is compared word by word, each number standing for any number:
they differ from machine to machine.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from distilseg.cli.tree import app_for

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
        return [words for words, _ in self.dialogue]

    @property
    def dialogue(self) -> list[tuple[list[str], list[str]]]:
        """Each command with the lines shown below it."""
        turns: list[tuple[list[str], list[str]]] = []
        for line in self.body.replace("\\\n", " ").splitlines():
            if command := re.search(r"(?:^\s*\$ |-m |^|&& )distilseg (.*)", line):
                turns.append((shlex.split(command[1], comments=True), []))
            elif turns and line.strip() not in ("", "..."):
                turns[-1][1].append(line)
        return turns


def mentions(page: Path) -> list[list[str]]:
    """The words after `distilseg` in the page's prose, brackets of optional words removed."""
    prose = FENCE.sub("", page.read_text(encoding="utf-8"))
    return [re.sub(r"[\[\]]", "", found).split() for found in re.findall(r"`distilseg\s([^`]+)`", prose)]


def alike(line: str) -> list[str]:
    """The words of a printed line; any number is alike, and the lines that a table is drawn with are none."""
    plain = re.sub(r"[\u2500-\u257f]", " ", line)
    return re.sub(r"-?\b[0-9a-f]{8}\b|[+−-]?\d[\d.,]*", "#", plain).split()


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


def named(words: list[str]) -> tuple[Any, list[str]]:
    """The command that the words after `distilseg` name, with the rest of them; RECIPE stands for any."""
    rest = ["supervised" if word == "RECIPE" else word for word in words]
    command: Any = get_command(app_for(rest))
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"distilseg {' '.join(words)}: no such command: {rest[0]}"
        command = command.commands[rest.pop(0)]
    return command, rest
