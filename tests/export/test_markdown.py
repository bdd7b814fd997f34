"""Text of others on a model card: read as it is spelt, and nothing else."""

from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt

from distilseg.export.markdown import code, plain

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](data:text/html;base64,AAAA)",
    "<javascript:alert(1)>",
    "[click][1]\n\n[1]: javascript:alert(1)",
    "&lt;b&gt; &#106;avascript:alert(1)",
    "`code` and ``more``",
    "*strong* **strong** _em_ ~~gone~~",
    "a | b | c",
    "\\<b>",
    "JaVaScRiPt :alert(1)",
    "kidney_left",
    "# no title\n- no list\n> no quote",
]


def rendered(text: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(text)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("write", [plain, code])
def test_it_is_shown_as_it_is_spelt(text: str, write: object) -> None:
    page = rendered(f"- of {write(text)}, and more\n- second\n")  # type: ignore[operator]
    tags = set(re.findall(r"<(/?\w+)", page)) - {"ul", "/ul", "li", "/li", "code", "/code"}
    assert tags == set()
    shown = html.unescape(re.sub(r"<[^>]*>", "", page)).strip().splitlines()
    assert shown == ["", f"of {' '.join(text.split())}, and more", "second"][-len(shown) :]


@pytest.mark.parametrize("text", HOSTILE)
def test_neither_a_tag_nor_such_an_address_stands_in_the_source(text: str) -> None:
    for written in (plain(text), code(text)):
        assert "<" not in written
        assert "](" not in written
        assert not re.search("(javascript|data) ?:", written, re.IGNORECASE)


def test_a_cell_stays_one_cell() -> None:
    page = rendered(f"| a | b |\n| --- | --- |\n| {plain('x | y')} | 1 |\n")
    assert page.count("<td>") == 2
    assert "<td>x | y</td>" in page


def test_ordinary_names_are_left_alone() -> None:
    for name in (
        "kidney_left",
        "CC-BY 4.0, see https://x.org/a",
        "nnU-Net (2021): a paper",
        "Prévost & Söhne",
    ):
        assert html.unescape(plain(name)) == name
    assert plain("kidney_left") == "kidney_left"
    assert code("supervised-1a2b") == "`supervised-1a2b`"
    assert code({"filters": [4, 8]}) == "`{'filters': [4, 8]}`"


def test_what_a_terminal_obeys_is_written_out() -> None:
    assert plain("a\x1b[31mred\u202e") == "a&#92;x1b&#91;31mred&#92;u202e"
    assert "\x1b" not in code("a\x1b[31m")
