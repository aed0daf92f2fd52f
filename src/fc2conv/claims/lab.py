"""LAB.md: the chapter as a laboratory, written from the claims and what is recorded of them.

The page and its figures are functions of the claims and of results/ alone, so a test can make them again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from fc2conv.claims.arms import arms_of
from fc2conv.claims.chapter import SECTIONS, position
from fc2conv.claims.claim import COVERED, EFFECT, EQUAL, FULL, RATES, SEARCHED, SMALL, Claim
from fc2conv.claims.drawing import forest, short, spec
from fc2conv.claims.evidence import Arm, Check, Evidence
from fc2conv.claims.experiment import experiment, is_trained
from fc2conv.claims.predicted import predicted
from fc2conv.claims.verdicts import OPEN, Finding, Outcome, judge, names
from fc2conv.pictures.folder import save_chart
from fc2conv.record.result import spread, write_atomically

PAGE, SITE, RESULTS, FIGURE = "LAB.md", Path("docs") / "lab.md", "results", "figure.svg"
MARKS = {"supported": "✔", "refuted": "✘", "undecided": "~", OPEN: "–"}
"""Before a verdict, so that it is seen without colours."""
TIGHT = "\N{NO-BREAK SPACE}"
Known = Callable[[Claim], Evidence | None]


def write(claims: Sequence[Claim], known: Known, top: Path) -> list[Path]:
    """Write the page, the same for the site, and each claim's figure, beneath `top`.

    Returns:
        The files
    """
    drawn = [path for claim in claims if (found := known(claim)) for path in draw(claim, found, top / RESULTS)]
    text = page(claims, known, top / RESULTS)
    write_atomically(top / PAGE, text)
    write_atomically(top / SITE, for_site(text))
    return [top / PAGE, top / SITE, *drawn]


def draw(claim: Claim, evidence: Evidence, results: Path) -> list[Path]:
    """The claim's figure, as results/NAME/figure.svg; none for a claim of identities alone."""
    if not _has_figure(claim):
        return []
    chart = claim.figure(evidence) if claim.figure else forest(claim, evidence)
    return save_chart(spec(chart), results / claim.name / FIGURE)


def _has_figure(claim: Claim) -> bool:
    return bool(claim.figure or claim.comparisons)


def for_site(text: str) -> str:
    """The page as the documentation's own: pictures lie above it, equations are Sphinx's, and files have no page."""
    text = re.sub(r"\[\w+\]\((sweeps/[^)]*)\)", r"`\1`", text)
    text = text.replace(f"]({RESULTS}/", f"](../{RESULTS}/").replace("](docs/", "](")
    return text.replace("```math\n", "```{math}\n")


def page(claims: Sequence[Claim], known: Known, results: Path | None = None) -> str:
    """All of LAB.md.

    Args:
        results: where each claim's other pictures lie, NAME/*.png; they are shown below its figure
    """
    found = {claim.name: (evidence := known(claim), judge(claim, evidence)) for claim in claims}
    ordered = sorted(claims, key=lambda claim: (position(claim.section), claim.number))
    lines = [
        *INTRODUCTION.splitlines(),
        "",
        "## All verdicts",
        "",
        *_overview(ordered, found),
        "",
        *PROTOCOL.splitlines(),
    ]
    section = ""
    for claim in ordered:
        if claim.section != section:
            section = claim.section
            lines += ["", f"## {section} {SECTIONS[section]}"]
        pictures = sorted(path.name for path in (results / claim.name).glob("*.png")) if results else []
        lines += ["", *_claim(claim, *found[claim.name], pictures)]
    lines += ["", "## The worlds", "", *predicted([evidence for evidence, _ in found.values() if evidence])]
    return "\n".join(lines) + "\n"


INTRODUCTION = """\
# The chapter as a laboratory

<!-- Written by `fc2conv claims lab` from the claims and results/. -->

Chapter 7 of [Dive into Deep Learning](https://d2l.ai/chapter_convolutional-neural-networks/index.html) goes from fully
connected layers to convolutions by argument. Here each of its arguments is an experiment that can come out either way.
What is compared, and by how much it must differ, was written down before the outcome was known. A claim that fails
stays as it is."""

PROTOCOL = f"""\
## How to read it

- **Verdicts.** A claim has one to four comparisons. *effect*: supported if the whole interval lies above the margin,
  refuted if it lies below. *equal*: supported if the interval lies within ± the margin, refuted if it lies outside.
  *ratio*: as an effect, of the median of paired repetitions. Anything else is undecided, which is a fair result. A
  claim is supported if all its comparisons are, and refuted if one is. An identity holds or fails; it needs no seeds.
- **Margins.** {EFFECT:g} in test accuracy for an effect, ± {EQUAL:g} for equality, where a table does not say another.
  An effect above {-EQUAL:g} means: not worse.
- **Interval.** The mean difference over seeds ± t(n - 1, 1 - {(1 - COVERED) / 2:.3f} / m) √(s² / n + v / N). s² is the
  variance over n seeds, m the number of the claim's comparisons (Bonferroni). v is the variance over the N test images
  of the seed-averaged difference in correctness, since all seeds share one test set. Both arms of a pair have the same
  seeds, and with them the same training images, permutation and world.
- **Budget.** Where nothing else is said: 10,000 training images, 400 steps of 128, the last weights tested, and
  {SMALL} seeds ({FULL} in full training). The numbers of seeds were fixed beforehand.
- **Learning rate.** Every arm gets the same search: {", ".join(f"{rate:g}" for rate in RATES)}, by validation
  accuracy, on {len(SEARCHED)} seeds that are never used again.
- **Pictures.** Dots are seeds, bars are 95 % intervals of a mean. In a picture of comparisons the shaded part supports
  the claim.

`fc2conv claims` lists the claims, and what is missing. `fc2conv claims run NAME` trains what a claim lacks and judges
it. `fc2conv claims lab` writes this page."""


def _overview(claims: Sequence[Claim], found: dict[str, tuple[Evidence | None, Finding]]) -> Iterator[str]:
    verdicts = [finding.verdict for _, finding in found.values()]
    counts = [f"{verdicts.count(v)} {v}" for v in MARKS if v in verdicts]
    yield f"{'1 claim' if len(claims) == 1 else f'{len(claims)} claims'}: {', '.join(counts)}."
    yield ""
    yield "| section | claim | verdict | comparisons |"
    yield "|---|---|---|---|"
    for claim in claims:
        evidence, finding = found[claim.name]
        yield f"| {claim.section} | [{_heading(claim)}](#{_slug(_heading(claim))}) | {_verdict(finding)} | " + (
            f"{_counted(evidence, finding)} |"
        )


def _counted(evidence: Evidence | None, finding: Finding) -> str:
    parts = [names(finding.outcomes)] if finding.outcomes else []
    if evidence and evidence.checks and finding.verdict != OPEN:
        parts.append(f"{sum(check.holds for check in evidence.checks)} of {len(evidence.checks)} identities hold")
    return "; ".join(parts)


def _heading(claim: Claim) -> str:
    return f"{claim.number}. {claim.title}"


def _slug(heading: str) -> str:
    """A heading's anchor, as GitHub and the site make it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _verdict(finding: Finding) -> str:
    return f"{MARKS[finding.verdict]} **{finding.verdict}**"


def _claim(claim: Claim, evidence: Evidence | None, finding: Finding, pictures: Sequence[str]) -> Iterator[str]:
    yield f"### {_heading(claim)}"
    yield ""
    yield f"> {claim.sentence}"
    yield ">"
    yield f"> {claim.source}"
    yield ""
    if claim.equation:
        yield from ("```math", claim.equation.strip(), "```", "")
    if evidence and finding.verdict != OPEN:
        yield from _results(claim, evidence, finding, pictures)
    else:
        yield from _plan(claim)


def _plan(claim: Claim) -> Iterator[str]:
    """What will be done for a claim that has not run."""
    yield f"**Verdict: {OPEN}.**"
    yield ""
    yield from _experiment(claim, experiment(claim, None, [Arm(arm.name, arm.overrides) for arm in arms_of(claim)]))
    yield from (f"- **To be compared.** {each.kind}, margin {each.margin:g}: {each.says}" for each in claim.comparisons)
    yield from ("", _command(claim))


def _results(claim: Claim, evidence: Evidence, finding: Finding, pictures: Sequence[str]) -> Iterator[str]:
    for name in [FIGURE] * _has_figure(claim) + list(pictures):
        says = claim.title if name == FIGURE else Path(name).stem.replace("_", " ").capitalize()
        yield from (f"![{says}]({RESULTS}/{claim.name}/{name})", "")
    yield from (*_experiment(claim, experiment(claim, evidence)), "")
    if finding.outcomes:
        yield from (*_compared(finding.outcomes), "")
    if evidence.checks:
        yield from (*_checked(evidence.checks), "")
    yield f"**Verdict: {MARKS[finding.verdict]} {finding.verdict}.** {_found(finding, evidence.checks)}"
    yield ""
    if claim.describe and (lines := claim.describe(evidence)):
        yield from (*lines, "")
    yield from _arms(evidence)
    yield _command(claim)


def _experiment(claim: Claim, said: Sequence[str]) -> Iterator[str]:
    yield f"- **Experiment.** {' '.join(said)}{_files(claim)}"
    yield f"- **Expected.** {claim.expected}"
    yield f"- **Would refute it.** {claim.refuted_by}"


def _command(claim: Claim) -> str:
    return f"Repeat it: `fc2conv claims run {claim.name}`"


def _files(claim: Claim) -> str:
    files = [f"[{name}](sweeps/claims/{name}.yaml)" for name in claim.sweeps]
    return f" Sweeps: {', '.join(files)}." if len(files) > 1 else f" Sweep: {files[0]}." if files else ""


def _found(finding: Finding, checks: Sequence[Check]) -> str:
    """What came out, apart from what was expected where the two differ."""
    if finding.verdict == "supported":
        return "As expected."
    lines = []
    for verdict, said in (("refuted", "Not as expected:"), ("undecided", "Not decided:")):
        found = [f"“{each.comparison.says}”, {each.interval}" for each in finding.outcomes if each.verdict == verdict]
        if verdict == "refuted":
            found += [f"“{check.says}”, {_spelled(check.found)}" for check in checks if not check.holds]
        if found:
            lines.append(f"**{said}** {'; '.join(found)}.")
    return " ".join(lines)


def _compared(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "| what would support it | estimate and interval | n | margin | verdict |"
    yield "|---|--:|--:|--:|---|"
    for each in outcomes:
        margin = f"{'± ' if each.comparison.kind == 'equal' else '> '}{each.comparison.margin:g}"
        of = "" if each.comparison.of == "test.acc" else f" (`{each.comparison.of}`)"
        mark = f"{MARKS[each.verdict]} {each.verdict}"
        yield f"| {each.comparison.says}{of} | {each.interval} | {each.n} | {margin} | {mark} |"


def _checked(checks: Sequence[Check]) -> Iterator[str]:
    yield "| identity | found | must be | within | |"
    yield "|---|--:|--:|--:|---|"
    for check in checks:
        mark = f"{MARKS['supported']}{TIGHT}holds" if check.holds else f"{MARKS['refuted']}{TIGHT}**fails**"
        figures = " | ".join(map(_spelled, (check.found, check.expected, check.tolerance)))
        yield f"| {check.says} | {figures} | {mark} |"


def _spelled(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def _arms(evidence: Evidence) -> Iterator[str]:
    """All that was trained, folded up."""
    arms = [arm for arm in evidence.arms if is_trained(arm) and arm.values("test.acc")]
    if not arms:
        return
    yield "<details>"
    yield f"<summary>All arms ({len(arms)})</summary>"
    yield ""
    yield "| arm | test accuracy | n | learning rate | parameters | MACs |"
    yield "|---|--:|--:|--:|--:|--:|"
    for arm in arms:
        mean, std, n = spread(list(arm.values("test.acc").values()))
        counts = [f"{found:,.0f}" if (found := _first(arm, of)) is not None else "" for of in ("params", "macs")]
        rate = "" if arm.lr is None else f"{arm.lr:g}"
        yield f"| {short(arm.name)} | {mean:.4f} ± {std:.4f} | {n} | {rate} | {' | '.join(counts)} |"
    yield from ("", "</details>", "")


def _first(arm: Arm, of: str) -> float | None:
    return next(iter(arm.values(of).values()), None)
