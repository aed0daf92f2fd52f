"""A report's payload without any runs: by arithmetic, so that a test knows each number on the page."""

from __future__ import annotations

import base64
import math
import random
from typing import Any

from fc2conv.architectures import plan
from fc2conv.architectures.lenet import LeNetConfig

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
T = [12.706, 4.303, 3.182, 2.776, 2.571]
MODELS = ("lenet", "lenet_modern")


def payload(kernels: tuple[int, ...] = (1, 3, 5, 7), seeds: int = 3, widths: tuple[int, ...] = (16,)) -> dict[str, Any]:
    """Of both models with each kernel size and each number of channels, `same` padding, and `seeds` seeds."""
    rng = random.Random(0)
    configurations: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    for model in MODELS:
        for kernel in kernels:
            for width in widths:
                point = {"model": model, "model.kernel_size": kernel, "model.channels": f"[6,{width}]"}
                found = _configuration(point, kernel, width, len(configurations), runs, seeds, rng)
                configurations.append(found)
    ranked = sorted(range(len(configurations)), key=lambda i: -configurations[i]["val"]["mean"])

    return {
        "name": "kernel_size",
        "created": "2026-11-26T17:00:00",
        "runs_dir": "runs",
        "live": False,
        "summary": {
            "runs": len(runs),
            "by_status": {"done": len(runs)},
            "models": list(MODELS),
            "seeds": list(range(seeds)),
            "seconds": sum(run["seconds"] for run in runs),
            "failures": [],
            "skipped_folders": [],
            "debug": 0,
            "lr_find": 0,
            "budgets": [
                {
                    "params": 1_000_000,
                    "configuration": best,
                    "params_of_it": configurations[best]["params"],
                    "val": configurations[best]["val"]["mean"],
                    "test": configurations[best]["test"]["mean"],
                    "n": seeds,
                }
                for best in ranked[:1]
            ],
        },
        "keys": [
            {"key": "model", "label": "model", "kind": "text", "values": list(MODELS)},
            {"key": "model.kernel_size", "label": "kernel_size", "kind": "number", "values": list(kernels)},
            {
                "key": "model.channels",
                "label": "channels",
                "kind": "text",
                "values": [f"[6,{width}]" for width in widths],
            },
        ],
        "configurations": configurations,
        "runs": runs,
        "made": {
            "versions": [{"fc2conv": "0.5.0", "torch": "2.14.1"}],
            "git": [{"commit": "0123abc", "dirty": False}],
            "data_sha256": [{"train": "ab" * 32}],
            "command": "fc2conv report kernel_size",
        },
        "t": T,
        "charts": charts(configurations),
    }


def estimate(values: list[float]) -> dict[str, float | None]:
    """{mean, std, low, high}, with the 95 % interval of the mean by Student's t."""
    n = len(values)
    mean = sum(values) / n
    if n == 1:
        return {"mean": mean, "std": 0.0, "low": None, "high": None}
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    half = T[min(n - 1, len(T)) - 1] * std / math.sqrt(n)
    return {"mean": mean, "std": std, "low": mean - half, "high": mean + half}


def _configuration(
    point: dict[str, Any],
    kernel: int,
    width: int,
    c: int,
    runs: list[dict[str, Any]],
    seeds: int,
    rng: random.Random,
) -> dict[str, Any]:
    geometry = plan(LeNetConfig(kernel_size=kernel, padding="same", channels=(6, width)), (1, 28, 28), 10)
    label = f"{point['model']} kernel_size={kernel} channels=[6,{width}]"
    level = 0.85 + 0.03 * (point["model"] == "lenet_modern") + 0.005 * kernel
    first = len(runs)
    for seed in range(seeds):
        val = level + 0.002 * seed + rng.gauss(0, 0.001)
        runs.append(_run(label, c, seed, val))
    own = runs[first:]
    epochs = list(range(1, 11))
    rise = [level - 0.3 * math.exp(-e / 2) for e in epochs]
    counts = [[30 if i == j else (i + j) % 3 for j in range(10)] for i in range(10)]
    weights = bytes(rng.randrange(256) for _ in range(6 * kernel * kernel))
    return {
        "label": label,
        "model": point["model"],
        "family": "lenet",
        "point": point,
        "params": geometry.params,
        "macs": geometry.macs,
        "receptive_field": geometry.receptive_field,
        "runs": list(range(first, len(runs))),
        "by_status": {"done": seeds},
        "n": seeds,
        "val": estimate([run["val"] for run in own]),
        "test": estimate([run["test"] for run in own]),
        "seconds": sum(run["seconds"] for run in own) / seeds,
        "images_per_second": 12_000.0,
        "pareto_params": False,
        "pareto_macs": False,
        "curve": {
            "epoch": epochs,
            "val_acc": rise,
            "val_acc_low": [v - 0.004 for v in rise],
            "val_acc_high": [v + 0.004 for v in rise],
            "train_acc": [v + 0.01 for v in rise],
            "train_loss": [1 - v for v in rise],
            "val_loss": [1.1 - v for v in rise],
            "lr": [0.001] * 10,
        },
        "confusion": counts,
        "classes": list(CLASSES),
        "per_class": {name: counts[i][i] / sum(counts[i]) for i, name in enumerate(CLASSES)},
        "filters": {"shape": [6, 1, kernel, kernel], "scale": 0.004, "data": base64.b64encode(weights).decode()},
    }


def _run(label: str, c: int, seed: int, val: float) -> dict[str, Any]:
    return {
        "name": f"{label} seed={seed}",
        "folder": f"runs/{c}-{seed}",
        "configuration": c,
        "counted": True,
        "seed": seed,
        "status": "done",
        "val": val,
        "test": val - 0.005,
        "train": val + 0.01,
        "val_loss": 0.3,
        "test_loss": 0.31,
        "seconds": 20.0 + c,
        "images_per_second": 12_000.0,
        "epochs": 10,
        "best_epoch": 9,
        "device": "cpu",
        "error": None,
        "command": f"python train.py {label.replace(' ', ' model.').replace('model.', 'model=', 0)} seed={seed}",
        "identity": f"{c:04x}{seed:04x}",
        "versions": 0,
        "git": 0,
        "data_sha256": 0,
    }


def charts(configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One with inlined values, a legend and pins, and one that the page fills."""
    pinned = {"name": "pinned", "value": []}
    points = {
        "params": [pinned, {"name": "model", "select": {"type": "point", "fields": ["model"]}, "bind": "legend"}],
        "data": {"name": "configurations"},
        "mark": {"type": "point", "filled": True},
        "encoding": {
            "x": {"field": "params", "type": "quantitative", "scale": {"type": "log"}, "axis": {"format": "~s"}},
            "y": {"field": "val", "type": "quantitative", "scale": {"zero": False}},
            "color": {"field": "model", "type": "nominal"},
            "size": {"condition": {"test": "indexof(pinned, datum.configuration) >= 0", "value": 300}, "value": 80},
            "opacity": {"condition": {"param": "model", "value": 1}, "value": 0.1},
            "tooltip": [{"field": "label", "type": "nominal"}, {"field": "val", "type": "quantitative"}],
        },
    }
    lines = {
        "data": {"name": "curves"},
        "mark": "line",
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative"},
            "y": {"field": "val_acc", "type": "quantitative", "scale": {"zero": False}},
            "color": {"field": "label", "type": "nominal"},
        },
    }
    return [
        {
            "id": "params",
            "section": "accuracy",
            "title": "Accuracy against parameters",
            "caption": "Validation accuracy.",
            "spec": points,
            "data": "configurations",
        },
        {
            "id": "curves",
            "section": "curves",
            "title": "Validation accuracy",
            "caption": None,
            "spec": lines,
            "data": "curves",
        },
    ]
