"""The report as it is served, over real HTTP on this machine."""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from generated_runs import Outcome

from fc2conv.errors import ConfigError
from fc2conv.record.result import Result
from fc2conv.report import watch, write
from fc2conv.report.watch import Site, serve
from fc2conv.report.write import Request

Add = Callable[..., Result]
Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def site(sweep: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(write, "charts", lambda report: [])
    return Site(Request(runs_dir=runs_dir))


@pytest.fixture
def server(site: Site) -> Iterator[ThreadingHTTPServer]:
    started = serve(site)
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture
def ask(server: ThreadingHTTPServer) -> Callable[..., Answer]:
    def call(path: str, method: str = "GET", **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        answer = connection.getresponse()
        found = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return found

    return call


def test_it_serves_the_reports_files(site: Site, ask: Callable[..., Answer]) -> None:
    code, headers, page = ask("/")
    assert (code, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert ask("/index.html?x=1")[2] == page
    assert ask("/table.csv")[2].startswith(b"configuration,model,")
    assert ask("/table.md")[2].startswith(b"# runs")
    assert json.loads(ask("/data.json")[2])["live"] is True
    assert ask("/version")[2] == b"1"
    assert ask("/", method="HEAD")[::2] == (200, b"")


@pytest.mark.parametrize("path", ["/../secret", "/%2e%2e/secret", "/figures/", "/runs", "//etc/passwd", "/.git/config"])
def test_it_serves_nothing_else(ask: Callable[..., Answer], path: str) -> None:
    assert ask(path)[0] == 404


def test_nothing_can_be_sent_to_it(ask: Callable[..., Answer]) -> None:
    assert ask("/", method="POST")[0] == 501


def test_a_name_that_points_here_is_refused(server: ThreadingHTTPServer, ask: Callable[..., Answer]) -> None:
    port = server.server_port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1:1", "localhost", ""):
        assert ask("/data.json", Host=host)[0] == 403
    for host in (f"127.0.0.1:{port}", f"localhost:{port}"):
        assert ask("/data.json", Host=host)[0] == 200


def test_only_this_machine_reaches_it(server: ThreadingHTTPServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_a_taken_port_is_told(server: ThreadingHTTPServer, site: Site) -> None:
    with pytest.raises(ConfigError, match=f"--port: got {server.server_port}, but Address already in use"):
        serve(site, server.server_port)


def test_records_that_change_make_it_anew(site: Site, ask: Callable[..., Answer], add: Add) -> None:
    tag = ask("/data.json")[1]["ETag"]
    assert ask("/data.json", If_None_Match=tag)[::2] == (304, b"")
    assert not site.update(), "nothing has changed"
    add(9, 0, outcome=Outcome(0.5, status="running"))
    assert site.update()
    code, headers, body = ask("/data.json", If_None_Match=tag)
    assert (code, json.loads(body)["summary"]["by_status"]["running"]) == (200, 1)
    assert headers["ETag"] != tag
    assert ask("/version")[2] == b"2"


def test_a_new_epoch_is_a_change(site: Site, sweep: Path) -> None:
    path = sweep / "kernel_size=3,seed=0" / "metrics.csv"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert site.update()


def test_it_goes_on_until_it_is_stopped(site: Site, add: Add, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.0)
    site.took, stop, said = 0.0, threading.Event(), []
    monkeypatch.setattr(site, "update", iter([False, True]).__next__)

    def say(text: str) -> None:
        said.append(text)
        stop.set()

    watch.watch(site, stop, say)
    assert [text.partition(" ")[2] for text in said] == ["9 runs"]


def test_runs_that_are_gone_end_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 0.0)
    site.took, stop, said = 0.0, threading.Event(), []

    def fail() -> bool:
        stop.set()
        raise ConfigError("RUN", "gone")

    monkeypatch.setattr(site, "update", fail)
    watch.watch(site, stop, said.append)
    assert said == ["RUN: gone"]


def test_the_port_is_free_again(site: Site) -> None:
    server = serve(site)
    port = server.server_port
    server.shutdown()
    server.server_close()
    with socket.socket() as found:
        assert found.connect_ex(("127.0.0.1", port)) != 0
