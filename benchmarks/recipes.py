"""The default recipes, measured: each model with several seeds by `train.py` itself, and a table of what came of it.

Runs that are done are not run again. Prints Markdown: mean ± standard deviation (n - 1) over the seeds.

    python benchmarks/recipes.py [--models mlp lenet lenet_modern] [--seeds 0 1 2] [--threads 1]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from fc2conv.result import FILE, Result

ROOT = Path(__file__).parent.parent
RUNS = Path("runs/recipes")


def measured(model: str, seed: int, threads: int) -> Result:
    """The record of `model` with `seed`, made now if it is not there."""
    name = f"{model}_{seed}"
    folder = RUNS / name
    if not (folder / FILE).exists():
        where = (f"runs_dir={RUNS}", f"name={name}", "logger=csv", "trainer=cpu", f"trainer.threads={threads}")
        subprocess.run([sys.executable, ROOT / "train.py", f"model={model}", f"seed={seed}", *where], check=True)
    result = Result.read(folder)
    if result.status != "done":
        sys.exit(f"{folder} is {result.status}; resume or delete it")
    return result


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.4f}" + (f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mlp", "lenet", "lenet_modern"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    rows = {m: [measured(m, s, arguments.threads) for s in arguments.seeds] for m in arguments.models}
    print("| model | parameters | MACs | receptive field | validation | test | n |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for model, results in rows.items():
        first = results[0]
        val = spread([r.val["acc"] for r in results if r.val])
        test = spread([r.test["acc"] for r in results if r.test])
        counts = f"{first.params['total']:,} | {first.macs:,} | {first.receptive_field}"
        print(f"| `{model}` | {counts} | {val} | {test} | {len(results)} |")


if __name__ == "__main__":
    main()
