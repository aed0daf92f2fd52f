"""`fc2conv report [RUNS...]`: the comparison page of runs, with tables and figures."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir, run_argument
from fc2conv.errors import ConfigError
from fc2conv.record.runs import LISTED

if TYPE_CHECKING:
    from fc2conv.report.write import Built, Request


@click.command()
@run_argument("runs", nargs=-1)
@click.option("--name", metavar="NAME", help="The report's.  [default: the sweep's, or that of --runs-dir]")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Of all reports.  [default: reports/ beside --runs-dir]",
)
@click.option("--baseline", metavar="LABEL", help="The configuration that the tables compare with, as they name it.")
@click.option(
    "--watch", is_flag=True, help="Serve the page on this machine and refresh it as runs go on, until Ctrl-C."
)
@click.option("--port", type=click.IntRange(0, 65535), metavar="N", help="For --watch.  [default: any that is free]")
@in_runs_dir
def report(runs: tuple[str, ...], watch: bool, port: int | None, **options: Any) -> None:
    """A page to look at: accuracies, effects, curves.

    With its tables (table.csv, table.md) and figures in a folder of its own. RUNS are runs or sweeps, by name or
    folder; without any, all in --runs-dir.

    \b
    fc2conv report kernel_size
    fc2conv report kernel_size padding --baseline 'lenet kernel_size=5'
    fc2conv report --watch
    """
    from fc2conv.report.write import Request, build, check_target, write  # numpy, which other commands do not need

    request = Request(runs, **options)
    if port is not None and not watch:
        raise ConfigError("--port", f"got {port}, which is for --watch")
    if not request.runs and not request.runs_dir.is_dir():
        raise ConfigError("--runs-dir", f"got {request.runs_dir}, but there is no such folder; say where the runs lie")
    check_target(request.folder)
    built = _watched(request, port or 0) if watch else build(request)
    if watch and not built.report.runs:
        return
    write(built, request.folder)
    _tell(built, request)


def _watched(request: Request, port: int) -> Built:
    from fc2conv.report.watch import HOST, Site, serve
    from fc2conv.report.watch import watch as keep_up
    from fc2conv.report.write import build

    site = Site(request)
    server = serve(site, port)
    screen.line(f"http://{HOST}:{server.server_port}/ (Ctrl-C ends it, and writes {request.folder})")
    try:
        keep_up(site, threading.Event(), screen.line)
    except KeyboardInterrupt:
        screen.line()
    finally:
        server.shutdown()
        server.server_close()
    return build(request, live=False) if site.built.report.runs else site.built


def _tell(built: Built, request: Request) -> None:
    """What was written, and what is not in it."""
    from fc2conv.report.write import PAGE

    found = built.report.records
    n, configurations = len(built.report.runs), len(built.report.configurations)
    screen.line(f"{n} run{'s' * (n != 1)} of {configurations} configuration{'s' * (configurations != 1)}")
    for count, what in ((found.debug, "debug="), (found.lr_find, "task=lr_find")):
        if count:
            screen.line(f"left out: {count} made with {what}")
    for folder, reason in list(found.skipped.items())[:LISTED]:
        screen.line(f"skipped: {folder}: {reason}")
    if len(found.skipped) > LISTED:
        screen.line(f"skipped: {len(found.skipped) - LISTED} more; the page lists them")
    screen.line(f"The page: {request.folder / PAGE}; its tables and figures lie beside it")
