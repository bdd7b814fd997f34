"""The command line: parses arguments, calls the function of the same name in `distilseg.commands`, prints.

    app.py        main(): how errors and interruptions end
    tree.py       which commands there are; parsing.py: how they are read
    plain.py      a prediction without typer; predicting.py: what both then do
    start.py      demo, fetch             dataset.py   check, plan
    overview.py   recipes, networks       training.py  train, one command per recipe
    runs.py       evaluate, compare, predict, report    submitting.py   submit, status
    serving.py    serve
    text.py       words to values         show.py      values to tables

Nothing here imports torch, nor anything slow, before a command runs: `--help` answers at once.
"""

from __future__ import annotations

from .app import main

__all__ = ["main"]
