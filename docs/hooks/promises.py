"""Fills `explanation/promises.md` with what `results/fuzz.json` holds, so that it cannot say otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE, MARK = "explanation/promises.md", "<!-- figures of changed inputs -->"
FIGURES = Path(__file__).parents[2] / "results" / "fuzz.json"


def on_page_markdown(markdown: str, page: Any, **others: Any) -> str:
    """MkDocs calls this for every page."""
    return markdown.replace(MARK, figures()) if page.file.src_uri == PAGE else markdown


def figures() -> str:
    """The table, and how it was made."""
    told = json.loads(FIGURES.read_text(encoding="utf-8"))
    columns = ("kind", "changed", "tried", "read", "refused")
    lines = ["| kind | changed | tried | worked | refused |", "|---|---|---|---|---|"]
    lines += [f"| {' | '.join(str(row[name]) for name in columns)} |" for row in told["rows"]]
    sums = (f"{sum(row[name] for row in told['rows']):,}" for name in columns[2:])
    lines.append(f"| **all** | | {' | '.join(sums)} |")
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return "\n".join(lines) + f"\n\nMade by `{told['command']}` with seed {told['seed']} ({versions})."
