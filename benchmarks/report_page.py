"""How usable a report's page is: milliseconds from navigation to ready, and from a click on a heading to the table in
its new order (painted), in headless Chromium. Medians.

python benchmarks/report_page.py reports/kernel_size/index.html [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
from pathlib import Path

SORTED = """heading => new Promise(done => {
    const began = performance.now()
    heading.click()
    requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)))
})"""
READY = "performance.getEntriesByName('ready')[0].startTime"
HEADING = "table[aria-label=Configurations] thead th:has-text('parameters') .dt-column-order"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("FC2CONV_CHROMIUM") or shutil.which("chromium")
    ready, sorting = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(arguments.repeats):
            page = browser.new_page(offline=True)
            page.goto(arguments.page.resolve().as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            ready.append(page.evaluate(READY))
            page.locator("#table").scroll_into_view_if_needed()
            page.wait_for_timeout(1000)  # charts nearby are drawn
            sorting.append(page.eval_on_selector(HEADING, SORTED))
            page.close()
        browser.close()
    print(f"file            {arguments.page.stat().st_size / 1e6:6.1f} MB")
    print(f"ready           {statistics.median(ready):6.0f} ms")
    print(f"sorting         {statistics.median(sorting):6.0f} ms")


if __name__ == "__main__":
    main()
