"""The one error a user can cause.

A `UserError` names what is wrong, what was expected, and what to do; the command line prints it as one
line and exits with code 2. Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Bad input. `cause` says what is wrong and what was expected, `fix` what would be right."""

    def __init__(self, cause: str, fix: str = "") -> None:
        super().__init__(f"{cause}; {fix}" if fix else cause)
        self.cause, self.fix = cause, fix


@contextmanager
def told_of(what: object) -> Iterator[None]:
    """A `UserError` raised within names `what` it is about, such as a file or a case, before its cause."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{what}: {error.cause}", error.fix) from None


NEAREST = 3


def unknown(kind: str, name: object, choices: Iterable[object], *, listed_by: str = "") -> UserError:
    """`name` is none of `choices`: the error guesses which was meant, at most three, and lists all.

    `listed_by` is a command that lists them where they are too many for a line: the nearest three stand there
    instead, however far they are.
    """
    import difflib

    names = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(name), names, n=NEAREST, cutoff=0.0 if listed_by else 0.6)
    *others, last = [repr(one) for one in near] or [""]
    guess = f"did you mean {', '.join(others)}{' or ' * bool(others)}{last}? " if near else ""
    known = f"`{listed_by}` lists all" if listed_by else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {str(name)!r}", f"{guess}{known}")
