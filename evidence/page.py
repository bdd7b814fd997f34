"""Rendering: results -> figures, the page, and the study's part of the README, from those files alone.

A template (`page.md` of a study) is prose that a person wrote. It may use every method and table of the study's
evidence by name, what the study's `names` adds, and:

    number(value, decimals, sign=False), words.giga(...), ...    as distilseg.report.words writes numbers
    since(premise)                                                nothing; or an error, where prose that was
                                                                  written because of the data no longer holds
"""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2

from distilseg.files import write_text
from distilseg.report import words
from distilseg.report.pictures import standalone

from . import tables
from .jobs import ROOT
from .rows import Evidence, listed, numeral

DOCS, RESULTS, README = ROOT / "docs" / "evidence", ROOT / "results", ROOT / "README.md"
HERE = Path(__file__).parent


def studies() -> list[str]:
    """Every folder with a page, by the name that its results and its page have too."""
    return sorted(path.parent.name.replace("_", "-") for path in HERE.glob("*/page.md"))


def part(study: str, name: str) -> ModuleType | None:
    """A module of a study; None where it has none."""
    folder = study.replace("-", "_")
    there = (HERE / folder / f"{name}.py").is_file()
    return importlib.import_module(f"evidence.{folder}.{name}") if there else None


def read(study: str, results: Path | None = None) -> Any:
    """What the study's rows make of its results."""
    return part(study, "rows").read(results or RESULTS / study)  # type: ignore[union-attr]


def render(study: str, found: Any, template: str = "page.md") -> str:
    """A template of the study, with the names that it may use."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([HERE / study.replace("-", "_"), HERE]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    told = environment.get_template(template).render(**_names(study, found))
    told = re.sub(r" +$", "", told, flags=re.MULTILINE)
    if template != "page.md":
        return told
    source = f"evidence/{study.replace('-', '_')}/page.md"
    return f"<!-- python -m evidence {study} page; its words: {source} -->\n\n{refilled(told)}"


def refilled(text: str) -> str:
    """Paragraphs and bullets filled anew, as numbers are longer or shorter than their names."""
    blocks = re.split(r"(^```.*?^```$)", re.sub(r"\n{3,}", "\n\n", text), flags=re.DOTALL | re.MULTILINE)
    for n in range(0, len(blocks), 2):
        paragraphs = blocks[n].split("\n\n")
        blocks[n] = "\n\n".join(p if re.match(r"\s*([|#<!]|$)", p) else _filled(p) for p in paragraphs)
    return "".join(blocks).lstrip()


def _filled(paragraph: str) -> str:
    items = re.split(r"\n(?=- )", paragraph.strip("\n"))
    fill = partial(textwrap.fill, width=110, break_long_words=False, break_on_hyphens=False)
    told = "\n".join(
        fill(" ".join(item.split()), subsequent_indent="  " * item.startswith("- ")) for item in items
    )
    return told + "\n" * paragraph.endswith("\n")


def _names(study: str, found: Any) -> Mapping[str, Any]:
    names: dict[str, Any] = {"study": study, "words": words, "number": words.number, "since": since}
    names |= {"numeral": numeral, "listed": listed}
    if isinstance(found, Evidence):
        names |= {name: getattr(found, name) for name in dir(found) if not name.startswith("_")}
        own = [tables.by_structure, tables.short, tables.comparisons, tables.structures]
        own += [tables.seeds, tables.folds, tables.costs]
        names |= {f"{table.__name__}_table": partial(table, found) for table in own}
    more: Callable[[Any], Mapping[str, Any]] | None = getattr(part(study, "rows"), "names", None)
    return names | dict(more(found) if more else {})


def since(premise: bool) -> str:
    if not premise:
        raise ValueError("a sentence of this page says what the data no longer show: write it anew")
    return ""


def figures(study: str, found: Any) -> dict[str, str]:
    """File name -> SVG."""
    drawn = part(study, "figures")
    pictures = drawn.draw(found) if drawn else {}
    return {f"{study}{suffix}.svg": standalone(picture) for suffix, picture in pictures.items()}


def readme_with(study: str, found: Any, readme: str) -> str:
    """The README with the study's part made anew, where it has one."""
    if not (HERE / study.replace("-", "_") / "readme.md").is_file():
        return readme
    between = re.compile(rf"(<!-- {study}:begin -->\n).*?(<!-- {study}:end -->)", re.DOTALL)
    told = render(study, found, "readme.md")
    return between.sub(lambda match: match[1] + told + match[2], readme)


def write(study: str, results: Path | None = None, out: Path | None = None) -> None:
    """Everything that is made of the study's results; with `out`, a trial in that folder, the README untouched."""
    found = read(study, results)
    for name, picture in figures(study, found).items():
        write_text((out or DOCS) / name, picture)
    write_text((out or DOCS) / f"{study}.md", render(study, found))
    if out is None:
        write_text(README, readme_with(study, found, README.read_text(encoding="utf-8")))
