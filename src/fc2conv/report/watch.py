"""A report that is served on this machine, and made anew when records change."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from fc2conv.errors import ConfigError
from fc2conv.record.arrays import FILE as ARRAYS
from fc2conv.record.result import FILE
from fc2conv.record.runs import folders_of_runs
from fc2conv.report.records import METRICS, places
from fc2conv.report.write import PAGE, Built, Request, build, encoded

HOST = "127.0.0.1"
INTERVAL = 2.0
"""Seconds between two looks at the folders, or SPARED times what the last build took, if that is more."""
SPARED = 3
TYPES = {".html": "text/html; charset=utf-8", ".csv": "text/csv; charset=utf-8", ".md": "text/markdown; charset=utf-8"}
TYPES |= {".json": "application/json"}


class Site:
    """The report's files in memory, with a version that rises whenever they are made anew.

    Raises:
        ConfigError: there is nothing to report
    """

    def __init__(self, request: Request):
        self.request, self.version, self.took = request, 0, 0.0
        self.files: dict[str, tuple[str, bytes]] = {}
        """Path -> (media type, content)."""
        self.built: Built
        self._seen: object = None
        self.update()
        self.took = 0.0  # the first time is mostly imports

    def update(self) -> bool:
        """Make it anew if a record has changed since; whether one has."""
        seen = signature(self.request)
        if seen == self._seen:
            return False
        began = time.monotonic()
        built = build(self.request, live=True)
        texts = built.texts() | {"data.json": json.dumps(built.payload)}
        files = {f"/{name}": (TYPES[Path(name).suffix], encoded(text)) for name, text in texts.items()}
        files["/"] = files[f"/{PAGE}"]
        self.version += 1
        files["/version"] = ("text/plain; charset=utf-8", str(self.version).encode())
        self.built, self.files, self._seen = built, files, seen
        self.took = time.monotonic() - began
        return True


def signature(request: Request) -> object:
    """Changes whenever a run is added or removed, or a file that reports read is written."""
    found = []
    for top in places(request.runs, request.runs_dir):
        for folder in folders_of_runs(top):
            for name in (FILE, METRICS, ARRAYS):
                with suppress(OSError):
                    status = os.stat(folder / name)
                    found.append((str(folder), name, status.st_mtime_ns, status.st_size))
    return found


def serve(site: Site, port: int = 0) -> ThreadingHTTPServer:
    """A server of the site's files on this machine alone, in a thread of its own, until its shutdown().

    Args:
        port: 0: any that is free

    Raises:
        ConfigError: the port is taken
    """

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "fc2conv", ""

        def do_GET(self) -> None:
            self._answer()

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, body: bool = True) -> None:
            # a page elsewhere may have its name point to 127.0.0.1, and would then read what is served here
            own = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}  # type: ignore[attr-defined]
            if self.headers.get("Host") not in own:
                return self._send(403, TYPES[".md"], b"only for this machine\n", body)
            files = site.files
            kind, content = files.get(urlsplit(self.path).path, ("", b""))
            if not kind:
                return self._send(404, TYPES[".md"], b"no such file\n", body)
            tag = f'"{files["/version"][1].decode()}"'
            if self.headers.get("If-None-Match") == tag:
                return self._send(304, kind, b"", False, tag)
            return self._send(200, kind, content, body, tag)

        def _send(self, code: int, kind: str, content: bytes, body: bool, tag: str = "") -> None:
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-cache")
            self.send_header("X-Content-Type-Options", "nosniff")
            if tag:
                self.send_header("ETag", tag)
            if code != 304:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                with suppress(ConnectionError):
                    self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            return

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise ConfigError(
            "--port", f"got {port}, but {error.strerror}; leave it out to get one that is free"
        ) from error
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def watch(site: Site, stop: threading.Event, say: Callable[[str], None]) -> None:
    """Bring the site up to date until `stop`."""
    while not stop.wait(max(INTERVAL, SPARED * site.took)):
        try:
            if site.update():
                say(f"{time.strftime('%H:%M:%S')} {len(site.built.report.runs)} runs")
        except ConfigError as error:  # the runs are gone; they may come back
            say(str(error))
