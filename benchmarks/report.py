"""Seconds that a report of many runs takes, by its steps. The runs are made by arithmetic, without training.

python benchmarks/report.py [--runs 2000] [--epochs 10]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fc2conv.report.write import PAGE, Request, build, write

sys.path.append(str(Path(__file__).parent.parent / "tests"))


@contextmanager
def timed(what: str) -> Iterator[None]:
    began, used = time.perf_counter(), time.process_time()
    yield
    print(f"{what:8} {time.perf_counter() - began:6.2f} s, of the processor {time.process_time() - used:6.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=10)
    arguments = parser.parse_args()
    from generated_runs import many  # type: ignore[import-not-found]

    with tempfile.TemporaryDirectory() as folder:
        request = Request(runs_dir=Path(folder) / "runs")
        many(request.runs_dir, arguments.runs, arguments.epochs)
        with timed("numbers"):
            built = build(request)
        with timed("files"):
            write(built, request.folder)
        print(f"the page has {(request.folder / PAGE).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
