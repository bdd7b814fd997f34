"""The paper that the figures are drawn on: style, colours, and a Matplotlib figure as inline SVG.

Object-oriented Matplotlib on the Agg canvas only, never pyplot, whose state belongs to the user. Colours are
Okabe and Ito's, told apart with any colour vision. Text and lines are drawn in stand-in colours which the SVG
takes from the page's variables, so that one drawing reads on a light and on a dark page.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#010203", "#040506", "#070809"  # stand-ins for the page's --ink, --faint, --line
PALETTE = ("#7a7f87", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800")
HELPED, HURT = "#009e73", "#d55e00"
PAGE_COLOURS = {INK: "ink", FAINT: "faint", LINE: "line", PALETTE[0]: "grey", PALETTE[1]: "blue"}
WIDTH = 9.3  # inches: what the page is wide; wider figures are scaled down

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # case names are the user's: a $ in one is a dollar sign
    "text.color": INK,
    "axes.labelcolor": FAINT,
    "axes.edgecolor": LINE,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "figure.facecolor": "none",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "image.interpolation": "nearest",
}


def svg(width: float, height: float, draw: Callable[[Figure], None], *, salt: str) -> str:
    """A figure of `width` x `height` inches as an SVG element; `salt` keeps ids apart on one page."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True)
    return _inline(text.getvalue())


def _inline(text: str) -> str:
    """Only the element itself: no prologue, no metadata, no ids that nothing refers to; page colours."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text)
    text = re.sub(r"font: ?([^;\"]*?)(\d+(?:\.\d+)?px) [^;\"]*", r"font: \1\2 var(--sans)", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
    return in_page_colours(text.strip())


def in_page_colours(text: str) -> str:
    """`text` with the colours that a dark page shows otherwise as the page's variables."""
    for colour, name in PAGE_COLOURS.items():
        text = text.replace(colour, f"var(--{name})")
    return text


def legend(figure: Figure, tints: Mapping[str, str]) -> None:
    """What the colours stand for, above all panels."""
    from matplotlib.patches import Patch

    handles = [Patch(color=tint, label=name) for name, tint in tints.items()]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, fontsize=9)


def quiet(axes: Axes) -> None:
    """No ticks, no grid across: for axes whose values are written out."""
    axes.tick_params(length=0)
    axes.grid(False)
