"""The page's figures as files of their own, for papers, slides and documents: one SVG each."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import write_text
from ..names import component
from . import curves, figures, overlays
from .bubbles import bubbles
from .comparison import Comparison
from .sizes import size_curves
from .stages import stage_bars

# The colours of the page on white paper, where a figure stands alone; see report.html.j2.
PAPER = {
    "ink": "#1b1f24",
    "faint": "#57606a",
    "line": "#d6dae0",
    "grey": "#7a7f87",
    "blue": "#0072b2",
    "sans": "'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif",
}


def write_pictures(comparison: Comparison, folder: Path | str) -> list[Path]:
    """Writes every figure that has something to show into `folder`; returns the files.

    every-case.svg, subjects.svg, slices.svg, validation.svg, losses.svg, cost.svg, stages.svg,
    quality-and-size.svg and differences.svg (where several contenders have a control: differences-NAME.svg).
    """
    students = [c.name for c in comparison.contenders if comparison.controls[c.name]]
    drawn = {
        "every-case": figures.distributions(comparison),
        "slices": overlays.overlays(comparison),
        "validation": curves.validation_curves(comparison),
        "subjects": size_curves(comparison),
        "losses": curves.loss_curves(comparison),
        "cost": figures.cost_bars(comparison),
        "stages": stage_bars(comparison),
        "quality-and-size": bubbles(comparison),
    }
    for number, name in enumerate(students, start=1):
        title = f"differences-{_slug(name)}" if len(students) > 1 else "differences"
        title += f"-{number}" * (title in drawn)
        drawn[title] = figures.paired_differences(comparison, name)
    written = []
    for title, svg in drawn.items():
        if svg:
            path = Path(folder) / component(title, ".svg", kind="figure")
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, standalone(svg))
            written.append(path)
    return written


def standalone(svg: str) -> str:
    """An inline figure as a whole file: its size, a white ground, and the page's colours written in."""
    for name, value in PAPER.items():
        svg = svg.replace(f"var(--{name})", value)
    match = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert match is not None
    width, height = match.groups()
    opening, closing, rest = svg.partition(">")
    if "xmlns=" not in opening:
        opening += ' xmlns="http://www.w3.org/2000/svg"'
    ground = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    return f'{opening} width="{width}pt" height="{height}pt"{closing}{ground}{rest}\n'


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
