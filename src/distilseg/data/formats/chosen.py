"""Which of many cases a command takes: all, a part of the sorted list, those that a file names.

    part 3/100   of the names in order the 3rd, 103rd, 203rd, ...: parts are disjoint, and together all
    a list       a line is a case's name, the path of one of its scans, or that file's name

With both, the part of what is listed. What cannot be a case is shared out in the same way, so that one part
alone refuses it. Nothing is opened and no file is asked for: a part of 100,000 names costs their sorting.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from ...names import printable, quoted
from ..case import Case

_SHOWN = 3  # names in a message


@dataclass(frozen=True)
class Part:
    """The `number`-th of `of` parts, counted from 1."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UserError(
                f"there is no part {self.number}/{self.of}",
                f"parts are counted from 1: 1/{max(self.of, 1)} to {max(self.of, 1)}/{max(self.of, 1)}",
            )

    @classmethod
    def of_text(cls, text: str) -> Part:
        """ "3/100"; raises UserError for anything else."""
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if match is None:
            raise UserError(f"--part {quoted(text)} is no part", "write it as --part 3/100, the third of 100")
        return cls(int(match[1]), int(match[2]))

    def taken(self, names: Iterable[str]) -> list[str]:
        """Its names, in order."""
        return sorted(names)[self.number - 1 :: self.of]

    def __str__(self) -> str:
        return f"part {self.number} of {self.of}"


@dataclass(frozen=True)
class Chosen:
    """What was asked for; `ALL` where nothing was."""

    part: Part | None = None
    lines: tuple[str, ...] | None = None  # of the list
    source: str = "the list"  # what it is called

    def of_cases(
        self, cases: Sequence[Case], refused: Mapping[str, str]
    ) -> tuple[list[Case], dict[str, str]]:
        """Those of `cases` that are chosen, in the order of their names, and of what is `refused`.

        Raises UserError where the list names what is neither.
        """
        if self == ALL:
            return list(cases), dict(refused)
        by_name = {case.id: case for case in cases}
        names, others = list(by_name), list(refused)
        if self.lines is not None:
            names, others = self._listed(by_name, refused)
        if self.part is not None:
            names, others = self.part.taken(names), self.part.taken(others)
        return [by_name[name] for name in sorted(names)], {key: refused[key] for key in others}

    def names(self, known: Sequence[str]) -> list[str]:
        """The same of names alone, in their own order."""
        cases, _ = self.of_cases([Case(name, {}) for name in known], {})
        taken = {case.id for case in cases}
        return [name for name in known if name in taken]

    def named(self, file: str) -> str:
        """What the part calls a file of its own: "choices.csv" is "choices.part-3-of-100.csv"."""
        if self.part is None:
            return file
        path = Path(file)
        return f"{path.stem}.part-{self.part.number}-of-{self.part.of}{path.suffix}"

    def told(self, chosen: int, of: int) -> str:
        """Such as "part 3 of 100: 40 of 4,000 cases"; "" where nothing was chosen."""
        if self == ALL:
            return ""
        what = [str(self.part)] if self.part else []
        what += [self.source] if self.lines is not None else []
        return f"{' of '.join(what)}: {chosen:,} of {of:,} case{'s' * (of != 1)}"

    def _listed(self, by_name: Mapping[str, Case], refused: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """The names of the cases, and the keys of what is refused, that the lines name."""
        lines = self.lines or ()
        names = {line: None for line in lines if line in by_name}
        others = dict[str, None]()
        if len(names) == len(lines):
            return list(names), []
        named: dict[str, dict[str, None]] = {}  # what else a line may be -> cases
        for name, case in by_name.items():
            for source in case.images.values():
                for text in (source.path.name, os.path.abspath(source.path)):
                    named.setdefault(text, {})[name] = None
        unfit = {text: key for key in refused for text in (key, Path(key).name, os.path.abspath(key))}
        for line in lines:
            if line in by_name:
                continue
            if found := named.get(line) or named.get(os.path.abspath(line)):
                names |= found
            elif key := unfit.get(line) or unfit.get(os.path.abspath(line)):
                others[key] = None
            else:
                there = ", ".join(map(printable, sorted(by_name)[:_SHOWN])) or "none"
                raise UserError(
                    f"{self.source} names {quoted(line)}, which is none of the {len(by_name):,} cases",
                    f"a line is a case's name or a scan's path; there are {there}"
                    f"{', ...' * (len(by_name) > _SHOWN)}",
                )
        return list(names), list(others)


ALL = Chosen()


def chosen(part: str | None, listed: Path | str | Sequence[str] | None) -> Chosen:
    """The choice that a command's options are: `part` such as "3/100", `listed` a file or its lines."""
    of = None if part is None else Part.of_text(part)
    if listed is None:
        return Chosen(of)
    if not isinstance(listed, str | Path):
        return Chosen(of, tuple(dict.fromkeys(listed)))
    try:
        text = Path(listed).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"there is no list {listed}", "correct the path") from None
    except UnicodeDecodeError:
        raise UserError(f"{listed} is no text in UTF-8", "give a file with a name or a path a line") from None
    lines = (line.strip() for line in text.splitlines())
    return Chosen(of, tuple(dict.fromkeys(line for line in lines if line)), str(listed))
