"""What lies beside a page in a folder for a web server: how it is served, and a server for this machine."""

README = """A page that segments scans in the browser: serve this folder, and open index.html.

    python serve.py         on this machine, at http://localhost:8000

Any web server will do. Two headers let the page use several threads:

    Cross-Origin-Opener-Policy: same-origin
    Cross-Origin-Embedder-Policy: require-corp

Scans stay in the browser that opens them. Only the files of this folder are asked for.
"""

SERVE = '''"""Serves this folder to this machine, with the headers that threads need."""

import sys
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Handler(SimpleHTTPRequestHandler):
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()


port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
try:
    server = ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=Path(__file__).parent))
except OSError as error:
    sys.exit(f"port {port} cannot be had ({error}); name another: python serve.py {port + 1}")
print(f"http://localhost:{server.server_address[1]}", flush=True)
with suppress(KeyboardInterrupt):
    server.serve_forever()
'''
