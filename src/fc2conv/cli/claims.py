"""`fc2conv claims`: the chapter's sentences with their verdicts, and the runs that they still lack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir
from fc2conv.record import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fc2conv.claims.claim import Claim
    from fc2conv.claims.evidence import Evidence
    from fc2conv.claims.verdicts import Outcome

STYLES = {"supported": "green", "refuted": "red", "undecided": "yellow", "not run": "dim"}
INDENT = 13
"""Columns before what a verdict is about."""


@click.group(invoke_without_command=True)
@click.pass_context
def claims(context: click.Context) -> None:
    """The chapter's sentences as experiments, with their verdicts.

    \b
    fc2conv claims                       all of them, and what is missing
    fc2conv claims show permutation      one, with its figures
    fc2conv claims run permutation       train what it lacks, and judge it
    fc2conv claims lab                   write LAB.md from the results
    """
    if context.invoked_subcommand is None:
        from fc2conv.claims.book import CLAIMS, evidence_of

        screen.print_table(_listing(CLAIMS, [evidence_of(claim) for claim in CLAIMS]))


@claims.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def show(names: tuple[str, ...]) -> None:
    """Verdicts with their figures. NAME is a claim's name or number; without any, all."""
    from fc2conv.claims.book import evidence_of, find

    for claim in find(names):
        _tell(claim, evidence_of(claim))


@claims.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="A smaller budget, to see how it goes; its outcome is no verdict.")
@in_runs_dir
def run(names: tuple[str, ...], quick: bool, runs_dir: Path) -> None:
    """Train what the claims lack, and judge them. NAME is a claim's name or number; without any, all.

    What is interrupted goes on with the same command. Results and figure of a claim are written into results/NAME.
    """
    from fc2conv.claims import lab, running
    from fc2conv.claims.book import find, results

    for claim in find(names):
        evidence = running.run(claim, runs_dir, quick)
        _tell(claim, evidence)
        if quick:
            screen.line("   with --quick: a smaller budget, so no verdict, and nothing is kept in results/")
            continue
        evidence.write(results() / claim.name)
        written = [results() / claim.name / "evidence.json", *lab.draw(claim, evidence, results())]
        screen.line(f"   results: {' '.join(map(str, written))}")


@claims.command()
def lab() -> None:
    """Write LAB.md, the same page for the site (docs/lab.md), and the claims' figures, from results/."""
    from fc2conv.claims import lab as page
    from fc2conv.claims.book import CLAIMS, evidence_of, results

    for path in page.write(CLAIMS, evidence_of, results().parent):
        screen.line(path)


def _listing(claims: Sequence[Claim], found: Sequence[Evidence | None]) -> Table:
    from fc2conv.claims.missing import missing, seconds_by_model
    from fc2conv.claims.verdicts import judge
    from fc2conv.training.distributed import cores

    known, at_once = seconds_by_model(filter(None, found)), cores()
    table = screen.table("claim", "name", "verdict", "supported", "missing", "time", footer=True, gap=1)
    for column in table.columns[1:3]:
        screen.hold_text(column)
        column.no_wrap = True
    runs, seconds = 0, 0.0
    for claim, evidence in zip(claims, found, strict=True):
        finding, left = judge(claim, evidence), missing(claim, evidence, known)
        decided = sum(outcome.verdict == "supported" for outcome in finding.outcomes)
        counted = f"{decided} of {len(finding.outcomes)}" if finding.outcomes else ""
        cost = _minutes(left.seconds, at_once) if left.runs else ""
        verdict = Text(finding.verdict, style=STYLES[finding.verdict])
        table.add_row(f"{claim.number}. {claim.title}", claim.name, verdict, counted, f"{left.runs or ''}", cost)
        runs, seconds = runs + left.runs, seconds + (float("nan") if left.seconds is None else left.seconds)
    if runs:
        table.columns[4].footer = str(runs)
        table.columns[5].footer = _minutes(None if seconds != seconds else seconds, at_once)
    else:
        table.show_footer = False
    return table


def _minutes(seconds: float | None, at_once: int) -> str:
    """So many core-seconds on this machine; "?" where nothing alike was ever timed."""
    return "?" if seconds is None else terminal.duration(seconds / at_once)


def _tell(claim: Claim, evidence: Evidence | None) -> None:
    from fc2conv.claims.verdicts import judge, outcome

    finding = judge(claim, evidence)
    title = Text().append(f"{claim.number}. {claim.title}: ", style="bold")
    terminal.console.print(title.append(finding.verdict, style=STYLES[finding.verdict]), soft_wrap=True)
    screen.line(f"   {claim.sentence} ({claim.source})")
    if evidence is None:
        for each in claim.comparisons:
            _print("not run", f"{each.says} ({each.kind}, margin {each.margin:g})")
        return
    for found in finding.outcomes or [outcome(each, evidence, len(claim.comparisons)) for each in claim.comparisons]:
        _print(found.verdict, found.comparison.says)
        screen.line(f"{'':{INDENT}}{found.interval}  n={found.n}  {_wanted(found)}")
    for check in evidence.checks:
        verdict, style = ("holds", "supported") if check.holds else ("FAILS", "refuted")
        _print(verdict, f"{check.says}: {check.found:g}, must be {check.expected:g}", STYLES[style])
    if claim.is_timed:
        screen.line(f"{'':{INDENT}}on {evidence.machine.get('cpu')}, {evidence.machine.get('cores')} cores")


def _print(verdict: str, says: str, style: str = "") -> None:
    terminal.console.print(
        Text(f"   {verdict:<10}", style=style or STYLES[verdict]).append(says, style="none"), soft_wrap=True
    )


def _wanted(found: Outcome) -> str:
    comparison = found.comparison
    within = "within ±" if comparison.kind == "equal" else "above "
    return f"({comparison.of} {within}{comparison.margin:g})"
