"""The page: one file that opens by a double click, or a folder for a web server.

What is in it, and what it may do, is said by its content policy: nothing but its own script by hash, a worker
made of itself, and WebAssembly. No policy of a single file allows a request. Everything beside the script has
the digest of its content, which the page checks before it believes it.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from ...errors import UserError
from ...files import folder_written_whole, written_whole
from ...runtime.artefact import Artefact
from . import built
from .golden import golden_case
from .model import model_of
from .served import README, SERVE

_MOST_BYTES = 300_000_000  # of networks in one page: browsers hold no text of more than 512 MB
_UNSTARTED = (
    "This page has not started: it is damaged, or this browser runs no scripts. Get it again from whom you"
    " trust, or open it in another browser."
)
_NOTICES = (
    "Parts of ONNX Runtime have licences of their own; their texts are in this page, packed, as its notices."
)


def write_page(artefact: Artefact, out: Path, *, folder: bool = False) -> int:
    """Writes the page of an artefact to `out`, whole or not at all; returns its bytes, a folder's in all.

    It must be one that a page knows (`knowing.check_known`), and `out` nothing that exists.
    """
    golden = golden_case(artefact)
    programs = f"{built.text('licences.txt')}\n{_NOTICES}\n"
    model = _in_html(json.dumps(model_of(artefact, programs), ensure_ascii=False))
    networks = [artefact.read(view.network) for view in artefact.views]
    if not folder and sum(map(len, networks)) > _MOST_BYTES:
        raise UserError(
            f"networks of {sum(map(len, networks)) / 1e6:,.0f} MB are too large for one page, which browsers"
            f" read up to {_MOST_BYTES / 1e6:,.0f} MB of",
            "add --folder, for a web server",
        )
    if folder:
        files = _served(model, networks, golden)
        with folder_written_whole(out) as aside:
            for name, content in files.items():
                (aside / name).write_bytes(content)
        return sum(map(len, files.values()))
    page = _single(model, networks, golden).encode("utf-8")
    with written_whole(out) as aside:
        aside.write_bytes(page)
    return len(page)


def _single(model: str, networks: list[bytes], golden: bytes) -> str:
    script, style = built.text("page.js"), built.text("style.css")
    _check_inline(script, style)
    policy = {
        "default-src": "'none'",
        "script-src": f"{_hash(script)} 'wasm-unsafe-eval'",
        "worker-src": "blob:",
        "style-src": _hash(style),
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    parts = {
        "golden": golden,
        **{f"network-{n}": network for n, network in enumerate(networks)},
        **{name: built.unpacked(file) for name, file in _PROGRAMS.items()},
    }
    ready = {name: built.packed(file) for name, file in _PROGRAMS.items()}
    embedded = "\n".join(_embedded(name, content, ready.get(name)) for name, content in parts.items())
    return _document(policy, model, f"<style>{style}</style>", embedded, f"<script>{script}</script>")


_PROGRAMS = {"worker": "worker.js", "engine": "engine.wasm", "notices": "notices.txt"}


def _served(model: str, networks: list[bytes], golden: bytes) -> dict[str, bytes]:
    """The files of a folder for a web server, by name."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self' 'wasm-unsafe-eval'",
        "worker-src": "'self'",
        "connect-src": "'self'",
        "style-src": "'self'",
        "img-src": "data: blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    parts: dict[str, tuple[str, bytes]] = {
        "golden": ("golden.json", golden),
        **{f"network-{n}": (f"network-{n}.onnx", network) for n, network in enumerate(networks)},
        "worker": ("worker.js", built.unpacked("served.js")),
        "engine": ("engine.wasm", built.unpacked("engine.wasm")),
        "worker-webgpu": ("webgpu.js", built.unpacked("webgpu.js")),
        "engine-webgpu": ("webgpu.wasm", built.unpacked("webgpu.wasm")),
        "notices": ("notices.txt", built.unpacked("notices.txt")),
    }
    beside = "\n".join(
        f'<script type="text/plain" id="{name}" data-src="{file}" data-sha256="{_digest(content)}"></script>'
        for name, (file, content) in parts.items()
    )
    page = _document(
        policy, model, '<link rel="stylesheet" href="style.css">', beside, '<script src="page.js"></script>'
    )
    return {
        "index.html": page.encode("utf-8"),
        "page.js": built.unpacked("page.js"),
        "style.css": built.unpacked("style.css"),
        **dict(parts.values()),
        "serve.py": SERVE.encode("utf-8"),
        "README.txt": README.encode("utf-8"),
    }


def _document(policy: Mapping[str, str], model: str, style: str, parts: str, script: str) -> str:
    allowed = "; ".join(f"{name} {value}" for name, value in policy.items())
    title = html.escape(str(json.loads(model)["title"]))
    digest = _digest(model.encode("utf-8"))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<link rel="icon" href="data:,">
{style}
</head>
<body>
<p id="unstarted">{_UNSTARTED}</p>
<script type="application/json" id="model" data-sha256="{digest}">{model}</script>
{parts}
{script}
</body>
</html>
"""


def _embedded(name: str, content: bytes, packed: bytes | None) -> str:
    text = base64.b64encode(packed or gzip.compress(content, mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="{name}" data-sha256="{_digest(content)}">{text}</script>'


def _in_html(text: str) -> str:
    """JSON that no tag can end."""
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def _hash(inline: str) -> str:
    digest = base64.b64encode(sha256(inline.encode("utf-8")).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _check_inline(script: str, style: str) -> None:
    """That nothing in them ends their element: the build writes them so."""
    assert "</script" not in script.lower()
    assert "<!--" not in script
    assert "</style" not in style.lower()
