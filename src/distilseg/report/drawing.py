"""The paper that the figures are drawn on: style, colours, and a Matplotlib figure as inline SVG.

Object-oriented Matplotlib on the Agg canvas only, never pyplot, whose state belongs to the user. Colours are
Okabe and Ito's, told apart with any colour vision. Every figure has a name, and what it shows in words, for
those who cannot see it. Colours are the page's variables in the SVG, so that one drawing reads on a light and
on a dark page.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, LINE = "#010203", "#040506", "#070809"  # stand-ins for the page's --ink, --faint, --line
PALETTE = ("#7a7f87", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a800")
HELPED, HURT = "#009e73", "#d55e00"
WIDTH = 9.3  # inches: what the page is wide; wider figures are scaled down


class Tint(NamedTuple):
    """A colour of the page: what it is drawn as, its variable, and what that is by day and by night."""

    drawn: str
    name: str
    day: str
    night: str


TINTS = (
    Tint(INK, "ink", "#1b1f24", "#e8ebef"),
    Tint(FAINT, "faint", "#57606a", "#a3acb8"),
    Tint(LINE, "line", "#d6dae0", "#343b45"),
    Tint(PALETTE[0], "grey", PALETTE[0], "#a2a8b2"),
    Tint(PALETTE[1], "blue", PALETTE[1], "#4da3e0"),
    Tint(PALETTE[2], "vermilion", PALETTE[2], "#f08039"),
    Tint(PALETTE[3], "green", PALETTE[3], "#2fbf95"),
    Tint(PALETTE[4], "purple", PALETTE[4], "#dd94bc"),
    Tint(PALETTE[5], "orange", PALETTE[5], "#f2b233"),
    Tint(PALETTE[6], "sky", PALETTE[6], "#7cc8f2"),
    Tint(PALETTE[7], "olive", PALETTE[7], "#cdbd2a"),
)

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


def svg(
    width: float, height: float, draw: Callable[[Figure], None], *, salt: str, title: str, told: str = ""
) -> str:
    """A figure of `width` x `height` inches as an SVG element.

    salt: keeps ids apart on one page. title, told: what it is, and what it shows, read out in its place.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": salt}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True)
    return _named(_inline(text.getvalue()), title, told)


def _named(text: str, title: str, told: str) -> str:
    """With its name and what it shows, and its natural width, below which a page should not shrink it."""
    match = re.search(r'viewBox="0 0 ([\d.]+) ', text)
    assert match is not None
    label = html.escape(f"{title}. {told}." if told else f"{title}.")
    opening = f'<svg role="img" aria-label="{label}" style="--natural: {match[1]}px"'
    start, end, rest = text.partition(">")
    return f"{opening}{start.removeprefix('<svg')}{end}<title>{html.escape(title)}</title>{rest}"


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
    """`text` with the page's variables for its colours."""
    for tint in TINTS:
        text = text.replace(tint.drawn, f"var(--{tint.name})")
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
