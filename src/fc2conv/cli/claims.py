"""`fc2conv claims`: the chapter's sentences with their verdicts, and the runs that they still lack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir

if TYPE_CHECKING:
    from fc2conv.claims.claim import Claim
    from fc2conv.claims.evidence import Evidence


@click.group(invoke_without_command=True)
@click.pass_context
def claims(context: click.Context) -> None:
    """The chapter's sentences as experiments, with their verdicts.

    \b
    fc2conv claims                       all of them
    fc2conv claims show permutation      one, with its figures
    fc2conv claims run permutation       train what it lacks, and judge it
    """
    if context.invoked_subcommand is None:
        from fc2conv.claims.book import CLAIMS, evidence_of
        from fc2conv.claims.verdicts import judge

        for claim in CLAIMS:
            finding = judge(claim, evidence_of(claim))
            screen.line(f"{claim.number:>2}  {claim.name:<16} {finding.verdict:<10} {claim.title}")


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
    """Train what the claims lack, and judge them. NAME is a claim's name or number; without any, all."""
    from fc2conv.claims import running
    from fc2conv.claims.book import find, results

    for claim in find(names):
        evidence = running.run(claim, runs_dir, quick)
        if not quick:
            evidence.write(results() / claim.name)
        _tell(claim, evidence)


def _tell(claim: Claim, evidence: Evidence | None) -> None:
    from fc2conv.claims.verdicts import judge, outcome

    finding = judge(claim, evidence)
    screen.line(f"{claim.number}. {claim.title}: {finding.verdict}")
    screen.line(f"   {claim.sentence}")
    if evidence is None:
        return
    outcomes = finding.outcomes or [outcome(each, evidence, len(claim.comparisons)) for each in claim.comparisons]
    for each in outcomes:
        interval = f"{each.mean:+.4f} [{each.low:+.4f}, {each.high:+.4f}]  n={each.n}  margin {each.comparison.margin}"
        screen.line(f"   {each.verdict:<10} {each.comparison.says}: {interval}")
    for check in evidence.checks:
        screen.line(f"   {'holds' if check.holds else 'FAILS':<10} {check.says}: {check.found:g}, {check.expected:g}")
