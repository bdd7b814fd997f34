"""Colours of structures over grey scans.

The first seven are Okabe and Ito's, told apart with any colour vision; further ones are spread over hues and
brightness by the golden ratio, so that neighbours in the list differ.
"""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]  # sRGB, 0 to 255

_FIRST: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (204, 121, 167),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
)
_GOLDEN = 0.618033988749895
_LIGHTNESS = (0.62, 0.48, 0.74)


def colours(count: int) -> list[Colour]:
    """Of so many structures."""
    return [_FIRST[n] if n < len(_FIRST) else _further(n) for n in range(count)]


def _further(n: int) -> Colour:
    rgb = colorsys.hls_to_rgb(n * _GOLDEN % 1, _LIGHTNESS[n % len(_LIGHTNESS)], 0.7)
    red, green, blue = (round(255 * part) for part in rgb)
    return red, green, blue
