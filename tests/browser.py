"""Pages as a person sees them: a real browser, Chromium from the system, by its command line alone."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FOUND = next(filter(None, map(shutil.which, NAMES)), None)
needs_browser = pytest.mark.skipif(
    FOUND is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)
SECONDS = 90


def look(
    page: Path, width: int, *arguments: str, height: int = 844, dark: bool = False, query: str = ""
) -> str:
    """What Chromium prints after it has shown the page in a window of this size."""
    assert FOUND is not None
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [
            *(FOUND, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *(f"--user-data-dir={page.parent / 'browser'}", f"--window-size={width},{height}"),
            *scheme,
            *arguments,
            page.as_uri() + query,
        ],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return done.stdout


def screenshot(page: Path, width: int, *, height: int = 844, dark: bool = False) -> NDArray[np.uint8]:
    """The first screen as pixels [H W 3]."""
    from PIL import Image

    picture = page.parent / "screenshot.png"
    look(page, width, f"--screenshot={picture}", height=height, dark=dark)
    with Image.open(picture) as image:
        return np.asarray(image.convert("RGB"))


# A window is never narrower than 500 pixels where the DOM is dumped; a frame in it is as narrow as a phone.
FRAME = """<!doctype html><html style="color-scheme: light dark"><body style="margin: 0"><script>
addEventListener("message", event => document.body.dataset.told = event.data);
</script><iframe src="{source}" style="border: 0; width: {width}px; height: 844px"></iframe></body></html>"""


def measured(page: Path, script: str, width: int, *, dark: bool = False) -> Any:
    """The value of a JavaScript expression on the page, once it is laid out at this width."""
    told = f"<script>parent.postMessage(JSON.stringify({script}), '*')</script></body>"
    inner, outer = page.with_name(f"measured-{page.name}"), page.with_name(f"frame-{page.name}")
    inner.write_text(page.read_text(encoding="utf-8").replace("</body>", told), encoding="utf-8")
    outer.write_text(FRAME.format(source=inner.name, width=width), encoding="utf-8")
    dom = look(outer, max(width, 500), "--virtual-time-budget=2000", "--dump-dom", dark=dark)
    found = re.search(r'data-told="([^"]*)"', dom)
    assert found is not None
    return json.loads(html.unescape(found[1]))
