"""The one error a user can cause.

A `UserError` names what is wrong, what was expected, and what to do; the command line prints it as one
line and exits with code 2. Anything else that escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """Bad input. `cause` says what is wrong and what was expected, `fix` what would be right."""

    def __init__(self, cause: str, fix: str = "") -> None:
        super().__init__(f"{cause}; {fix}" if fix else cause)
        self.cause, self.fix = cause, fix


def unknown(kind: str, name: object, choices: Iterable[object]) -> UserError:
    """`name` is none of `choices`: the error lists them and guesses which was meant."""
    names = [str(choice) for choice in choices]
    close = difflib.get_close_matches(str(name), names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return UserError(f"unknown {kind} {str(name)!r}", f"{guess}known: {', '.join(names)}")
