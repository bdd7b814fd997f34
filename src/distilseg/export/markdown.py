"""Text of others in Markdown: shown as it is spelt, and never markup, a link or HTML.

Names, licences and references come from whoever made a dataset or a model. A model card is shown by pages
that render it, so of such text nothing may be obeyed:

    & < > [ ] | * ` ~ \\ and _ at the edge of a word    written as entities
    javascript: data: vbscript:                        their colon too, for what makes links of bare addresses
    line breaks                                        spaces, or a list would end
    what a terminal obeys                              written out
"""

from __future__ import annotations

import re

from ..names import printable

_MARKUP = re.compile(r"[&<>\[\]|*`~\\]|(?<!\w)_|_(?!\w)")
_SCHEME = re.compile(r"\b(javascript|vbscript|data)(\s*):(?=\S)", re.IGNORECASE)


def plain(text: object) -> str:
    """`text` in a line of Markdown."""
    line = printable(" ".join(str(text).split()))
    line = _MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)
    return _SCHEME.sub(r"\1\2&#58;", line)


def code(text: object) -> str:
    """`text` as code, where nothing in it could end that; else as `plain` does."""
    line = printable(" ".join(str(text).split()))
    harmless = not re.search(r"[`<>]", line) and not _SCHEME.search(line)
    return f"`{line}`" if line and harmless else plain(text)
