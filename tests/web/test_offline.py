"""Nothing leaves: every request is refused, none is made, and the page's policy would forbid it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .driving import driven, needs_browser
from .test_equal import scans

pytestmark = needs_browser

_FAILS = "of => new Promise((_, no) => of(no))"  # one that ends only by failing
ATTEMPTS = {
    "fetch": "fetch('https://example.org/')",
    "an image": "fails(no => { const i = new Image(); i.onerror = no; i.src = 'https://example.org/a' })",
    "a script": "fails(no => { const s = document.createElement('script'); s.onerror = no;"
    " s.src = 'https://example.org/a.js'; document.head.append(s) })",
    "a socket": "fails(no => { const s = new WebSocket('wss://example.org'); s.onerror = no })",
}


def test_scans_are_segmented_with_every_request_refused(
    browser: Any, page_file: Path, tmp_path: Path
) -> None:
    with driven(browser, page_file) as there:
        assert len(there.segmented(scans(tmp_path / "scans"), tmp_path / "saved")) == 2
        assert there.requests == []
        assert there.complaints == []


@pytest.mark.parametrize("what", ATTEMPTS)
def test_the_policy_forbids(browser: Any, what: str, page_file: Path) -> None:
    with driven(browser, page_file) as there:
        there.verdict()
        told = there.page.evaluate(
            f"() => {{ const fails = {_FAILS}; const forbidden = [];"
            " document.addEventListener('securitypolicyviolation', e => forbidden.push(e.disposition));"
            f" return {ATTEMPTS[what]}.then(() => ['done'], () => new Promise(told =>"
            " setTimeout(() => told(forbidden), 200))) }"
        )
        assert told == ["enforce"]


def test_no_other_script_runs(browser: Any, page_file: Path, tmp_path: Path) -> None:
    """Names of structures and files are text; and what would be markup has no script that may run."""
    page = tmp_path / "page.html"
    owned = "<script>document.title = 'owned'</script></body>"
    before, _, after = page_file.read_text(encoding="utf-8").rpartition("</body>")
    page.write_text(f"{before}{owned}{after}", encoding="utf-8")
    with driven(browser, page) as there:
        there.verdict()
        assert there.page.title() != "owned"
