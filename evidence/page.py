"""Rendering: results -> figures, the page, its part of the overview, README, advice; from those files alone.

A template, `page.md` of a study, is prose that a person wrote. It may use by name: all of the study's
evidence (rows.py), the tables of tables.py (`seeds_table()`), the constants of the study's rows in lower
case, and what its `names` adds. `words.giga(...)` and `number(...)` write numbers as reports do.
`since(premise)` gives nothing, or an error where prose that was written because of the data no longer holds.
"""

from __future__ import annotations

import importlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2

from distilseg.files import write_text
from distilseg.installing import WHEEL
from distilseg.report import words
from distilseg.report.pictures import standalone

from . import tables
from .jobs import ROOT
from .rows import Evidence, listed, numeral, p_of

DOCS, RESULTS, README = ROOT / "docs" / "evidence", ROOT / "results", ROOT / "README.md"
OVERVIEW = DOCS / "index.md"
WHICH = ROOT / "docs" / "how-to" / "which-method.md"
HERE = Path(__file__).parent
TABLES = ("by_structure", "short", "comparisons", "structures", "seeds", "folds", "costs")


def studies() -> list[str]:
    """Every folder with a page, by the name that its results and its page have too."""
    return sorted(path.parent.name.replace("_", "-") for path in HERE.glob("*/page.md"))


def known() -> list[str]:
    """Those, and studies that can be run and have no page yet."""
    return sorted({*studies(), *(path.parent.name.replace("_", "-") for path in HERE.glob("*/jobs.py"))})


def folder(study: str) -> Path:
    return HERE / study.replace("-", "_")


def part(study: str, name: str) -> Any:
    """A module of a study; None where it has none."""
    there = (folder(study) / f"{name}.py").is_file()
    return importlib.import_module(f"evidence.{folder(study).name}.{name}") if there else None


def read(study: str, results: Path | None = None) -> Any:
    """What the study's rows make of its results."""
    return part(study, "rows").read(results or RESULTS / study)


def render(study: str, found: Any, template: str = "page.md") -> str:
    """A template of the study."""
    told = _rendered([folder(study), HERE], template, _names(study, found))
    if template != "page.md":
        return told
    source = (folder(study) / template).relative_to(ROOT).as_posix()
    return f"<!-- python -m evidence {study} page; its words: {source} -->\n\n{_refilled(told)}"


def readme() -> str:
    """The README, whose every figure comes from results: `evidence(study)` is a study's."""
    told = _rendered([HERE], "readme.md", {"evidence": of_study, "number": words.number, "wheel": WHEEL})
    return f"<!-- its words: evidence/readme.md -->\n\n{told}"


def which() -> str:
    """The page that says which method to take; its figures come from results as the README's do."""
    names = {"evidence": of_study, "number": words.number, "since": since, "old_plan": _old_plan}
    names["of_phantom"] = lambda: part("phantom-kd-net", "rows").names(of_study("phantom-kd-net"))
    told = _rendered([HERE], "which.md", names)
    return f"<!-- its words: evidence/which.md -->\n\n{_refilled(told)}"


@cache
def of_study(study: str) -> Any:
    """A study's evidence, read once, for the documents that speak of many."""
    return read(study)


def _old_plan(study: str) -> bool:
    """Whether all runs of the study are of a plan that mirrored along every axis, as plans once did."""
    runs = [run for contender in of_study(study).rows.values() for run in contender.runs]
    return all("mirror_axes" not in run.read(run.plan) for run in runs)


def _rendered(folders: Sequence[Path], template: str, names: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return re.sub(r" +$", "", environment.get_template(template).render(**names), flags=re.MULTILINE)


def _names(study: str, found: Any) -> dict[str, Any]:
    rows = part(study, "rows")
    names = {
        "study": study,
        "words": words,
        "number": words.number,
        "numeral": numeral,
        "listed": listed,
        "p_of": p_of,
    }
    names |= {"since": since} | {name.lower(): value for name, value in vars(rows).items() if name.isupper()}
    if isinstance(found, Evidence):
        names |= {name: getattr(found, name) for name in dir(found) if not name.startswith("_")}
        names |= {f"{name}_table": partial(getattr(tables, name), found) for name in TABLES}
    return names | (rows.names(found) if hasattr(rows, "names") else {})


def since(premise: bool) -> str:
    if not premise:
        raise ValueError("a sentence of this page says what the data no longer show: write it anew")
    return ""


def _refilled(text: str) -> str:
    """Paragraphs and bullets filled anew, as numbers are longer or shorter than their names."""
    blocks = re.split(r"(^```.*?^```$)", re.sub(r"\n{3,}", "\n\n", text), flags=re.DOTALL | re.MULTILINE)
    for n in range(0, len(blocks), 2):
        paragraphs = blocks[n].split("\n\n")
        blocks[n] = "\n\n".join(p if re.match(r"\s*([|#<!]|$)", p) else _filled(p) for p in paragraphs)
    return "".join(blocks).lstrip()


def _filled(paragraph: str) -> str:
    items = [" ".join(item.split()) for item in re.split(r"\n(?=- )", paragraph)]
    fill = partial(textwrap.fill, width=110, break_long_words=False, break_on_hyphens=False)
    told = "\n".join(fill(item, subsequent_indent="  " * item.startswith("- ")) for item in items)
    return told + "\n" * paragraph.endswith("\n")


def figures(study: str, found: Any) -> dict[str, str]:
    """File name -> SVG."""
    drawn = part(study, "figures")
    pictures = drawn.draw(found) if drawn else {}
    return {f"{study}{suffix}.svg": standalone(picture, night=True) for suffix, picture in pictures.items()}


def overview_with(study: str, found: Any, overview: str) -> str:
    """The overview of all studies with this one's part made anew, where it has one."""
    if not (folder(study) / "summary.md").is_file():
        return overview
    between = re.compile(rf"(<!-- {study}:begin -->\n).*?(<!-- {study}:end -->)", re.DOTALL)
    told = render(study, found, "summary.md").rstrip("\n") + "\n"
    return between.sub(lambda match: match[1] + told + match[2], overview)


def write(study: str, results: Path | None = None, out: Path | None = None) -> None:
    """All that is made of the study's results; with `out`, a trial in that folder alone."""
    found = read(study, results)
    for name, picture in figures(study, found).items():
        write_text((out or DOCS) / name, picture)
    write_text((out or DOCS) / f"{study}.md", render(study, found))
    if out is None:
        write_text(OVERVIEW, overview_with(study, found, OVERVIEW.read_text(encoding="utf-8")))
        of_study.cache_clear()
        write_text(README, readme())
        write_text(WHICH, which())
