"""`fc2conv playground [CKPT...]`: a page in which trained networks run, to try what the chapter says."""

from __future__ import annotations

from pathlib import Path

import click
from rich.filesize import decimal

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir
from fc2conv.errors import ConfigError


@click.command()
@click.argument("checkpoints", nargs=-1, metavar="[CKPT]...", type=click.Path(path_type=Path))
@click.option(
    "--to",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("playground.html"),
    show_default=True,
    metavar="FILE",
    help="The page.",
)
@in_runs_dir
def playground(checkpoints: tuple[Path, ...], to: Path, runs_dir: Path) -> None:
    """A page in which trained networks run: shift, constrain, slide, look inside, train.

    One HTML file that needs no server and no network. CKPT are checkpoints of networks trained on Fashion-MNIST;
    without any, runs of the claims, which are trained where they are missing.

    \b
    fc2conv playground
    fc2conv playground runs/NAME/checkpoints/best.ckpt --to mine.html
    """
    if not to.parent.is_dir():
        raise ConfigError("--to", f"got {to}, but there is no folder {to.parent}")
    if missing := [path for path in checkpoints if not path.is_file()]:
        raise ConfigError("CKPT", f"got {missing[0]}, but there is no such file")
    from fc2conv.playground import defaults
    from fc2conv.playground.page import render
    from fc2conv.playground.payload import given, payload
    from fc2conv.record.result import write_atomically

    networks = given(checkpoints) if checkpoints else defaults.networks(runs_dir)
    text = render(payload(networks, defaults.rungs(runs_dir)))
    try:
        write_atomically(to, text)
    except OSError as error:
        raise ConfigError("--to", f"got {to}, but nothing can be written there ({error.strerror})") from error
    screen.line(f"{to}: {decimal(to.stat().st_size)}")
