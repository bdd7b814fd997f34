"""`distilseg recipes --paper NAME`: each row of a paper's tables, what was published, the command."""

from __future__ import annotations

from ..recipes.papers import Data, Paper, Row
from . import show

NONE = "-"  # where what was published is not known


def print_paper(paper: Paper) -> None:
    """Commands stand on lines of their own, whole, so that they can be copied."""
    show.say(f"{paper.title} ({paper.source})")
    if paper.note:
        show.say(f"note: {paper.note}")
    show.say("\ndata, by the word that stands for its folder:")
    for data in paper.data:
        show.say(f"  {data.folder}: {data.name}; {_how(data)}{data.where}")
    for table in paper.tables:
        show.say(f"\n{table.title}; published: {table.measure}")
        if table.note:
            show.say(f"note: {table.note}")
        names, values = (max(map(len, column)) for column in zip(*map(_cells, table.rows), strict=True))
        for row in table.rows:
            name, published = _cells(row)
            remarks = "; ".join(filter(None, [row.run, row.note]))
            show.say(f"  {name:{names}}  {published:>{values}}  {remarks}".rstrip())
            if row.command:
                show.say(f"      {row.command}")


def _cells(row: Row) -> tuple[str, str]:
    return row.name, row.published or NONE


def _how(data: Data) -> str:
    return "ask for it: " if data.asked_for else "" if data.public else "not to be had: "
