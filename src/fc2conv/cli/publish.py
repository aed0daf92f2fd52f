"""`fc2conv publish ENTITY/PROJECT [RUNS...]`: offline runs, a workspace and a report to W&B."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fc2conv.cli import screen
from fc2conv.cli.arguments import check_runs_dir, in_runs_dir, run_argument


@click.command()
@click.argument("target", metavar="ENTITY/PROJECT")
@run_argument("runs", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Print as JSON what would be made; needs no account.")
@in_runs_dir
def publish(target: str, runs: tuple[str, ...], dry_run: bool, runs_dir: Path) -> None:
    """Upload offline runs to W&B, with a workspace and a report.

    RUNS are runs or sweeps, by name or folder; without any, all in --runs-dir. What is there already is brought up to
    date, not made twice. ENTITY is your name at W&B, or your team's.

    \b
    fc2conv publish ada/fc2conv kernel_size
    fc2conv publish ada/fc2conv --dry-run
    """
    from fc2conv.report import publish as room

    asked = room.Target.of(target)
    check_runs_dir(runs_dir)
    plan = room.plan(asked, runs, runs_dir)
    if dry_run:
        click.echo(json.dumps(room.specification(plan), indent=2))
        return
    if plan.without:
        screen.line(f"left out: {plan.without} that W&B was not among the loggers of")
    room.publish(plan, screen.line)
