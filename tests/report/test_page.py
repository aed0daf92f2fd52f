"""The report's page in a browser: it opens from disk, and what it shows, sorts, filters, pins and computes is right."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

import pytest
from generated_runs import Outcome, write_run
from playwright.sync_api import expect
from synthetic_report import MODELS, payload

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.cli import main
from fc2conv.config.schema import Config
from fc2conv.record.result import Result
from fc2conv.report.page import render

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    Open = Callable[..., Page]

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 800}
HOSTILE = ("<script>window.hacked = 1</script>", "<img src=x onerror='window.hacked = 1'>", "</script><b>&amp;\u2028")


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return payload()


@pytest.fixture(scope="module")
def file(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(report, tmp_path_factory.mktemp("report"))


def written(report: dict[str, Any], folder: Path) -> Path:
    path = folder / "index.html"
    path.write_text(render(report), encoding="utf-8")
    return path


def column(page: Page, title: str, table: str = "Configurations") -> list[str]:
    """The cells under a heading, as they are read."""
    cells: list[str] = page.evaluate(
        """([table, title]) => {
            const element = document.querySelector(`table[aria-label="${table}"]`)
            const heads = [...element.querySelectorAll("thead th")].map(th => th.innerText.trim())
            const at = heads.indexOf(title)
            return [...element.querySelectorAll("tbody tr")].map(tr => tr.children[at]?.innerText.trim())
        }""",
        [table, title],
    )
    return cells


def label(model: str, kernel: int) -> str:
    return f"{model} kernel_size={kernel} channels=[6,16]"


def pin(page: Page, name: str) -> None:
    page.locator("#table button.pin").and_(page.get_by_label(f"Pin {name}", exact=True)).click()


def drawn(page: Page, chart: str) -> None:
    """Wait until a chart is drawn."""
    page.locator(f"#chart-{chart}").scroll_into_view_if_needed()
    page.wait_for_selector(f"#chart-{chart} .chart[data-drawn]")


def to_the_end(page: Page, charts: tuple[str, ...] = ("params", "curves")) -> None:
    """Have everything drawn that is drawn when it is seen."""
    for section in page.locator("main > section").all():
        section.scroll_into_view_if_needed()
    for chart in charts:
        drawn(page, chart)
    page.locator("table[aria-label=Runs]").scroll_into_view_if_needed()


def sort_by(page: Page, title: str, direction: str = "ascending") -> None:
    """Click the heading, and wait until the table is in its order."""
    heading = page.locator("table[aria-label=Configurations] thead th", has=page.get_by_text(title, exact=True))
    heading.get_by_text(title, exact=True).click()
    expect(heading).to_have_attribute("aria-sort", direction)


# --- it opens


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_nothing_is_wider_than_the_window_in_either_theme(file: Path, open_page: Open, width: int, scheme: str) -> None:
    page = open_page(file, width=width, color_scheme=scheme)
    to_the_end(page)
    pin(page, label("lenet", 5))
    page.get_by_role("button", name="Columns").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    brightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert (sum(brightness) > 382) == (scheme == "light")


def test_needs_nothing_from_outside(report: dict[str, Any]) -> None:
    text = render(report)
    policy = unescape(text)
    assert "default-src 'none'" in policy
    assert "connect-src 'none'" in policy
    assert not re.findall(r"<(?:script|img|iframe)[^>]+src=", text.split("<script")[0])
    assert "connect-src 'self'" in unescape(render(report | {"live": True}))


def test_the_same_report_is_the_same_file(report: dict[str, Any]) -> None:
    assert render(report) == render(payload())


def test_no_script_can_come_in(file: Path, chromium: Browser) -> None:
    """Not even where an element is made of text: the policy wants a nonce."""
    page = chromium.new_page(offline=True)
    page.goto(file.as_uri())
    page.evaluate(
        """document.body.insertAdjacentHTML("beforeend", "<p onclick='window.hacked = 1' id=bait>bait</p>")"""
    )
    assert page.evaluate("document.getElementById('bait').onclick === null")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_runs_are_text(name: str, tmp_path: Path, open_page: Open) -> None:
    report = payload(kernels=(3, 5), seeds=2)
    report["name"] = name
    report["keys"][2] |= {"label": name, "values": [name]}
    report["made"]["command"] = name
    report["made"]["versions"] = [{name: name}]
    report["summary"] |= {
        "failures": [{"run": 0, "error": name}],
        "skipped_folders": [{"folder": name, "reason": name}],
        "models": [name],
    }
    for i, c in enumerate(report["configurations"]):
        c |= {"label": f"{name} {i}", "model": name, "classes": [f"{name} {k}" for k in range(10)]}
        c["point"]["model.channels"] = name
    for run in report["runs"]:
        run |= {"name": name, "command": name, "device": name, "status": name, "error": name}
    page = open_page(written(report, tmp_path))
    to_the_end(page)
    assert page.locator("h1").text_content() == name
    assert name in page.locator("table[aria-label=Configurations] th").nth(3).text_content()
    assert page.locator("table[aria-label=Configurations] tbody td").nth(3).text_content() == name
    pin(page, f"{name} 0")
    page.locator("#chart-params .mark-symbol path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    page.get_by_role("button", name="Filter").click()
    page.locator("select.dtsb-data").select_option(index=3)
    page.locator("select.dtsb-condition").select_option("=")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main b:not(.drawing b)").count() == 0
    assert page.locator("body script").count() == 0


# --- the numbers are the records'


def test_the_table_says_what_the_records_say(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    ranked = sorted(report["configurations"], key=lambda c: -c["val"]["mean"])
    assert column(page, "model") == [c["model"] for c in ranked]
    assert column(page, "kernel_size") == [str(c["point"]["model.kernel_size"]) for c in ranked]
    assert column(page, "parameters") == [f"{c['params']:,}" for c in ranked]
    assert column(page, "MACs") == [f"{c['macs']:,}" for c in ranked]
    for split, title in (("val", "validation"), ("test", "test")):
        assert column(page, title) == [f"{c[split]['mean']:.4f} ± {c[split]['std']:.4f}" for c in ranked]
    assert column(page, "runs") == ["3 done"] * len(ranked)


def test_the_numbers_are_those_of_result_json(tmp_path: Path, open_page: Open) -> None:
    """From the runs' folders to the page."""
    runs = tmp_path / "runs"
    for kernel, accuracies in {3: (0.81, 0.82, 0.84), 5: (0.85, 0.85, 0.88)}.items():
        for seed, val in enumerate(accuracies):
            config = Config(model=LeNetConfig(kernel_size=kernel, padding="same"), seed=seed)
            overrides = ["model=lenet", f"model.kernel_size={kernel}", f"seed={seed}"]
            outcome = Outcome(val=val, test=val - 0.01)
            write_run(runs / f"kernel_size={kernel},seed={seed}", config, outcome, overrides, "lenet")
    main(["report", "--runs-dir", str(runs), "--out", str(tmp_path), "--name", "page"])
    page = open_page(tmp_path / "page" / "index.html")
    sort_by(page, "kernel_size")
    results = {k: [Result.read(f) for f in sorted(runs.glob(f"kernel_size={k},*"))] for k in (3, 5)}
    assert column(page, "kernel_size") == ["3", "5"]
    for row, found in enumerate(results.values()):
        for split, title in (("val", "validation"), ("test", "test")):
            accuracies = [getattr(result, split)["acc"] for result in found]
            expected = f"{statistics.fmean(accuracies):.4f} ± {statistics.stdev(accuracies):.4f}"
            assert column(page, title)[row] == expected
        assert column(page, "parameters")[row] == f"{found[0].params['total']:,}"
        assert column(page, "MACs")[row] == f"{found[0].macs:,}"
    to_the_end(page, ())
    assert column(page, "validation", "Runs") == [f"{r.val['acc']:.4f}" for f in results.values() for r in f if r.val]
    commands = page.locator("table[aria-label=Runs] code").all_inner_texts()
    assert commands == [result.again() for found in results.values() for result in found]


def test_the_summary_counts(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    tiles = dict(
        zip(page.locator(".tiles dt").all_inner_texts(), page.locator(".tiles strong").all_inner_texts(), strict=True)
    )
    assert tiles == {"Runs": "24", "Configurations": "8", "Models": "2", "Seeds": "3", "Time": "9 min"}
    assert sum(run["seconds"] for run in report["runs"]) == pytest.approx(9 * 60, abs=30)


def differences(page: Page) -> dict[tuple[str, str], str]:
    """(model, kernel_size) -> what the table says of its difference to the baseline."""
    names = zip(column(page, "model"), column(page, "kernel_size"), strict=True)
    return dict(zip(names, column(page, "Δ validation"), strict=True))


def test_differences_are_those_of_paired_seeds(report: dict[str, Any], tmp_path: Path, open_page: Open) -> None:
    """By hand, for three pairs: d = .01, .02, .03 has mean .02 and s = .01, and t(2) s / sqrt(3) = .02484; and for
    -.06, -.07, none: 12.706 * .00707 / sqrt(2) = .06353."""
    report = payload(kernels=(3, 5, 7))
    base, other, third = (report["configurations"][i] for i in range(3))
    for k, d in enumerate((0.01, 0.02, 0.03)):
        report["runs"][base["runs"][k]]["val"] = 0.9
        report["runs"][other["runs"][k]]["val"] = 0.9 + d
        report["runs"][third["runs"][k]]["val"] = 0.9 - 0.05 - d
    report["runs"][third["runs"][2]] |= {"counted": False}
    page = open_page(written(report, tmp_path), hash="#sort=" + quote(json.dumps([["kernel_size", "asc"]])))
    cells = differences(page)
    assert cells["lenet", "3"] == "baseline"
    assert cells["lenet", "5"].split("\n") == ["+0.0200 tie", "[−0.0048, +0.0448] n=3"]
    assert cells["lenet", "7"].split("\n") == ["−0.0650 worse", "[−0.1285, −0.0015] n=2"]
    page.get_by_label("Differences are to").select_option(label("lenet", 5))
    expect(page.locator("table[aria-label=Configurations] tbody tr").nth(1)).to_contain_text("baseline")
    cells = differences(page)
    assert cells["lenet", "5"] == "baseline"
    assert cells["lenet", "3"].split("\n") == ["−0.0200 tie", "[−0.0448, +0.0048] n=3"]


def test_one_pair_has_no_interval(tmp_path: Path, open_page: Open) -> None:
    page = open_page(written(payload(seeds=1), tmp_path))
    assert "one pair" in column(page, "Δ validation")[0]
    assert "±" not in column(page, "validation")[0]


# --- what one does with it


def test_sorting(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    sort_by(page, "parameters")
    assert column(page, "parameters") == [f"{n:,}" for n in sorted(c["params"] for c in report["configurations"])]
    sort_by(page, "parameters", "descending")
    assert column(page, "parameters")[0] == f"{max(c['params'] for c in report['configurations']):,}"


def test_filtering_by_a_key(file: Path, open_page: Open) -> None:
    page = open_page(file)
    page.get_by_role("button", name="Filter").click()
    page.locator("select.dtsb-data").select_option("kernel_size")
    page.locator("select.dtsb-condition").select_option(">")
    page.locator("input.dtsb-value").fill("4")
    expect(page.locator("table[aria-label=Configurations] tbody tr")).to_have_count(4)
    assert set(column(page, "kernel_size")) == {"5", "7"}


def test_search_and_columns(file: Path, open_page: Open) -> None:
    page = open_page(file)
    page.get_by_label("Search").first.fill("modern")
    expect(page.locator("table[aria-label=Configurations] tbody tr")).to_have_count(4)
    assert set(column(page, "model")) == {"lenet_modern"}
    page.get_by_role("button", name="Columns").click()
    page.locator(".dt-button-collection").get_by_text("receptive field").click()
    page.keyboard.press("Escape")
    assert "16" in column(page, "receptive field")


def test_receptive_fields_of_two_edges_are_sorted_by_their_pixels(
    report: dict[str, Any], tmp_path: Path, open_page: Open
) -> None:
    changed = json.loads(json.dumps(report))
    edges = (16, "4x16", "1x9", 6, 1, 20, 40, 2)
    for configuration, edge in zip(changed["configurations"], edges, strict=True):
        configuration["receptive_field"] = edge
    page = open_page(written(changed, tmp_path))
    page.get_by_role("button", name="Columns").click()
    page.locator(".dt-button-collection").get_by_text("receptive field").click()
    page.keyboard.press("Escape")
    sort_by(page, "receptive field")
    assert column(page, "receptive field") == ["1", "2", "1x9", "6", "4x16", "16", "20", "40"]


def test_the_legend_selects(file: Path, open_page: Open) -> None:
    page = open_page(file)
    drawn(page, "params")
    marks = page.locator("#chart-params .mark-symbol.role-mark path")
    assert [mark.get_attribute("opacity") for mark in marks.all()] == ["1"] * 8
    page.locator("#chart-params .role-legend-label").get_by_text("lenet", exact=True).click()
    expect(page.locator("#chart-params .mark-symbol.role-mark path[opacity='0.1']")).to_have_count(4)
    assert [mark.get_attribute("opacity") for mark in marks.all()] == ["1"] * 4 + ["0.1"] * 4


def test_hovering_tells_the_configuration(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    drawn(page, "params")
    page.locator("#chart-params .mark-symbol.role-mark path").first.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert report["configurations"][0]["label"] in page.locator("#vg-tooltip-element").inner_text()


def test_a_click_on_a_mark_pins(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    drawn(page, "params")
    page.locator("#chart-params .mark-symbol.role-mark path").nth(3).click()
    page.wait_for_selector("#tray:not([hidden])")
    assert page.locator("#pinned h3").all_inner_texts() == [report["configurations"][3]["label"]]
    page.locator("#chart-params .mark-symbol.role-mark path").nth(3).click()
    page.wait_for_selector("#tray[hidden]", state="attached")


def test_pinned_side_by_side(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    for kernel in (3, 7):
        pin(page, label("lenet_modern", kernel))
    chosen = [c for c in report["configurations"] if c["label"] in (label("lenet_modern", 3), label("lenet_modern", 7))]
    assert page.locator("#pinned h3").all_inner_texts() == [c["label"] for c in chosen]
    for card, c in zip(page.locator("#pinned article").all(), chosen, strict=True):
        facts = dict(zip(card.locator("th").all_inner_texts(), card.locator("td").all_inner_texts(), strict=True))
        assert facts["parameters"] == f"{c['params']:,}"
        assert facts["validation"] == f"{c['val']['mean']:.4f} ± {c['val']['std']:.4f}"
    drawn(page, "curves")
    expect(page.locator("#chart-curves .role-legend-label text")).to_have_count(2)


def test_filters_are_drawn_on_one_signed_scale(tmp_path: Path, open_page: Open) -> None:
    """The weights 127, 0, -127 with half the scale of the other's: full, white and full there, half the way here."""
    report = payload(kernels=(1, 3), seeds=1)
    for c, scale in zip(report["configurations"][:2], (0.01, 0.005), strict=True):
        c["filters"] = {"shape": [3, 1, 1, 1], "scale": scale, "data": "fwCB"}  # 127, 0, -127
    names = [c["label"] for c in report["configurations"][:2]]
    page = open_page(written(report, tmp_path), hash="#pins=" + quote(json.dumps(names)))
    colours = page.evaluate(
        """[...document.querySelectorAll("#pinned canvas")].map(canvas => [0, 1, 2].map(i => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", {willReadFrequently: true})
            copy.drawImage(canvas, 0, 0)
            const x = i * (canvas.width + 3) / 3 + 5
            return [...copy.getImageData(x, 5, 1, 1).data].slice(0, 3)
        }))"""
    )
    white = [247, 247, 247]
    assert colours[0] == [[200, 85, 0], white, [0, 90, 160]]
    for half, full in zip(colours[1], colours[0], strict=True):
        assert half == pytest.approx([(a + b) / 2 for a, b in zip(white, full, strict=True)], abs=1)


def test_at_most_six_are_pinned(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    names = [c["label"] for c in report["configurations"][:7]]
    for name in names:
        pin(page, name)
    assert page.locator("#pinned h3").all_inner_texts() == names[1:]


def test_the_confusion_matrix(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    chosen = report["configurations"][1]
    page.get_by_label("Of", exact=True).select_option(chosen["label"])
    cells = page.locator("table.confusion tbody tr").nth(1).locator("td").all_inner_texts()
    row = chosen["confusion"][1]
    assert cells == [f"{100 * n / sum(row):.0f}" if n else "" for n in row]


def test_the_calculator_answers(file: Path, report: dict[str, Any], open_page: Open) -> None:
    page = open_page(file)
    totals = page.locator("#calculator .totals")
    assert totals.inner_text().split() == ["61,706", "parameters", "416,520", "MACs", "16", "px", "receptive", "field"]
    page.locator("#calculator-kernel_size").fill("3")
    page.locator("#calculator-padding").fill("same")
    same = next(c for c in report["configurations"] if c["point"]["model.kernel_size"] == 3)
    assert totals.inner_text().split()[:3] == [f"{same['params']:,}", "parameters", f"{same['macs']:,}"]
    nearest = page.locator("#calculator-nearest tbody tr").first
    assert nearest.inner_text().split("\t")[1:3] == [f"{same['params']:,}", f"{same['macs']:,}"]
    assert "model.kernel_size=3 model.padding=same" in page.locator("#calculator .command code").inner_text()


def test_the_calculator_refuses_in_the_suites_words(file: Path, open_page: Open) -> None:
    page = open_page(file)
    page.locator("#calculator-kernel_size").fill("40")
    assert page.locator("#calculator .error").inner_text() == (
        "model.kernel_size: conv1: kernel 40 does not fit the 28x28 input it gets (padded to 32x32); "
        "use padding or a smaller kernel"
    )
    assert page.locator("#calculator-kernel_size").get_attribute("aria-invalid") == "true"
    page.locator("#calculator-kernel_size").fill("x")
    assert "model.kernel_size: got x, expected a whole number" in page.locator("#calculator .error").inner_text()
    page.get_by_role("button", name="Back to LeNet").click()
    assert page.locator("#calculator .totals").inner_text().startswith("61,706")


def test_the_address_restores_the_view(file: Path, open_page: Open) -> None:
    page = open_page(file)
    sort_by(page, "MACs")
    page.get_by_label("Search").first.fill("modern")
    page.get_by_role("button", name="Filter").click()
    page.locator("select.dtsb-data").select_option("kernel_size")
    page.locator("select.dtsb-condition").select_option(">")
    page.locator("input.dtsb-value").fill("2")
    expect(page.locator("table[aria-label=Configurations] tbody tr")).to_have_count(3)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Columns").click()
    page.locator(".dt-button-collection").get_by_text("receptive field").click()
    page.keyboard.press("Escape")
    page.get_by_label("Differences are to").select_option(label("lenet", 5))
    pin(page, label("lenet_modern", 5))
    page.locator("#calculator-kernel_size").fill("3")
    page.locator("#theme").click()

    def shown(page: Page) -> list[Any]:
        return [
            [column(page, title) for title in ("model", "MACs", "receptive field", "Δ validation")],
            page.locator("#pinned h3").all_inner_texts(),
            page.locator("#calculator .totals").inner_text(),
            page.evaluate("getComputedStyle(document.body).backgroundColor"),
        ]

    first, address = shown(page), page.evaluate("location.hash")
    assert len(first[0][0]) == 3
    assert shown(open_page(file, hash=address)) == first
    page.reload()
    page.wait_for_selector("html[data-ready]", state="attached")
    assert shown(page) == first


def test_an_address_that_means_nothing_is_harmless(file: Path, open_page: Open) -> None:
    page = open_page(
        file, hash='#sort=[["nothing","asc"]]&pins=["gone"]&baseline="gone"&calculator={"kernel_size":"?"}&x=%'
    )
    assert len(column(page, "model")) == 8


def test_the_keyboard_is_enough(file: Path, open_page: Open) -> None:
    page = open_page(file)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.locator("#table button.pin").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#pinned article").count() == 1
    assert "is pinned" in page.locator("#said").inner_text()
    heading = page.locator("table[aria-label=Configurations] thead th", has_text="parameters")
    heading.locator("[role=button], .dt-column-order").first.focus()
    page.keyboard.press("Enter")
    expect(heading).to_have_attribute("aria-sort", "ascending")


def test_all_controls_have_names(file: Path, open_page: Open) -> None:
    page = open_page(file)
    to_the_end(page)
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select, canvas")]
            .filter(e => !(e.getAttribute("aria-label") || e.labels?.length || e.innerText?.trim() || e.title))
            .map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []


def test_themes_switch(file: Path, open_page: Open) -> None:
    page = open_page(file, color_scheme="light")
    drawn(page, "params")
    paper = "getComputedStyle(document.body).backgroundColor"
    title = page.locator("#chart-params .role-axis-title text").first
    light, ink = page.evaluate(paper), str(title.get_attribute("fill"))
    page.locator("#theme").click()
    assert page.evaluate(paper) != light
    expect(title).not_to_have_attribute("fill", ink)


def test_charts_wait_until_they_are_seen(file: Path, open_page: Open) -> None:
    page = open_page(file, height=500)
    assert page.locator("#chart-curves svg").count() == 0
    drawn(page, "curves")


class Watching(SimpleHTTPRequestHandler):
    """Serves a page and news of it, as `fc2conv report --watch` does."""

    payload: ClassVar[dict[str, Any]] = {}

    def do_GET(self) -> None:
        body = json.dumps(self.payload) if self.path == "/data.json" else render(self.payload)
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if self.path == "/data.json" else "text/html")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


def test_a_page_that_is_watched_gets_the_news_and_keeps_the_view(chromium: Browser) -> None:
    """The baseline and the pins are other positions afterwards."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Watching)
    Thread(target=server.serve_forever, daemon=True).start()
    Watching.payload = payload(kernels=(5, 7)) | {"live": True}
    page = chromium.new_page()
    try:
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.get_by_label("Differences are to").select_option(label("lenet_modern", 5))
        pin(page, label("lenet_modern", 7))
        sort_by(page, "kernel_size")
        Watching.payload = payload(kernels=(1, 3, 5, 7)) | {"live": True, "created": "2026-11-26T17:00:09"}
        expect(page.locator("table[aria-label=Configurations] tbody tr")).to_have_count(8)
        assert column(page, "kernel_size") == sorted(column(page, "kernel_size"))
        assert page.locator("#pinned h3").all_inner_texts() == [label("lenet_modern", 7)]
        assert differences(page)["lenet_modern", "5"] == "baseline"
    finally:
        page.close()
        server.shutdown()
        server.server_close()


def test_failures_and_what_was_left_out_are_told(tmp_path: Path, open_page: Open) -> None:
    report = payload()
    report["summary"] |= {
        "failures": [{"run": 2, "error": "RuntimeError: out of memory"}],
        "skipped_folders": [{"folder": "runs/x", "reason": "result.json is damaged"}],
    }
    page = open_page(written(report, tmp_path))
    page.get_by_text("1 run failed").click()
    assert page.get_by_text("RuntimeError: out of memory").is_visible()
    page.get_by_text("1 entry left out").click()
    assert page.get_by_text("result.json is damaged").is_visible()


def test_a_report_without_anything_opens(tmp_path: Path, open_page: Open) -> None:
    """As at the start of a sweep."""
    empty = payload(kernels=())
    empty |= {"charts": [], "keys": [], "made": {"versions": [], "git": [], "data_sha256": [], "command": "x"}}
    page = open_page(written(empty, tmp_path))
    assert MODELS[0] in page.locator("#summary").inner_text()
    assert page.locator("#accuracy, #classes").count() == 0
