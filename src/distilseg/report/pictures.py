"""The page's figures as files of their own, for papers, slides and documents: one SVG each."""

from __future__ import annotations

import re
from pathlib import Path

from ..files import write_text
from ..names import component
from . import curves, figures, overlays
from .bubbles import bubbles
from .comparison import Comparison
from .drawing import TINTS
from .sizes import size_curves
from .stages import stage_bars

SANS = "'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
WHITE, NIGHT = "#ffffff", "#1e2129"


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


def standalone(svg: str, *, night: bool = False) -> str:
    """An inline figure as a whole file: its size, a white ground, and the page's colours written in.

    night: dark where the page that shows it is; for documents. What goes to print stays white.
    """
    for name, value in {**{tint.name: tint.day for tint in TINTS}, "sans": SANS}.items():
        svg = svg.replace(f"var(--{name})", value)
    svg = re.sub(r' style="--natural: [^"]*"', "", svg)
    match = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    assert match is not None
    width, height = match.groups()
    opening, closing, rest = svg.partition(">")
    if "xmlns=" not in opening:
        opening += ' xmlns="http://www.w3.org/2000/svg"'
    ground = f'<rect width="{width}" height="{height}" style="fill: {WHITE}"/>'
    if night:
        ground = f"<style>{_by_night()}</style>{ground}"
    return f'{opening} width="{width}pt" height="{height}pt"{closing}{ground}{rest}\n'


def _by_night() -> str:
    """Rules that win over the colours written in, on a dark page alone."""
    rules = [f'[style*="fill: {WHITE}"]{{fill:{NIGHT}!important}}']
    rules += [
        f'[style*="{kind}: {tint.day}"]{{{kind}:{tint.night}!important}}'
        for tint in TINTS
        for kind in ("fill", "stroke")
    ]
    return f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
