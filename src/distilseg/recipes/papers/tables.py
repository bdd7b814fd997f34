"""What a paper's tables are made of.

A command is written as it is typed. Words in capitals stand for a folder: of a dataset that the paper names
(`Data.folder`), or of a finished run (RUN). What was published stands as it was printed, and is empty where
neither the text nor the code that we could read holds it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Data:
    """Scans that a paper's rows are of, and how one comes by them."""

    folder: str  # stands for it in commands, in capitals
    name: str
    where: str  # an address, or who to ask
    asked_for: bool = False  # the owners want to be asked, or a form to be signed
    public: bool = True  # nobody outside can have them where it is False


@dataclass(frozen=True)
class Row:
    """One row of a table."""

    name: str
    published: str = ""
    command: str = ""  # makes it; "" where none does, then the note says why
    run: str = (
        ""  # which of the command's runs it is, where it is not the one that the recipe is called after
    )
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table, or a figure that shows one."""

    title: str
    measure: str  # what the published numbers are
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True)
class Paper:
    """A paper with its data and its tables."""

    title: str
    source: str  # where it stands
    data: tuple[Data, ...]
    tables: tuple[Table, ...]
    note: str = ""
