"""`fc2conv inspect RUN`: pictures and measurements of a run's network, and the main numbers on the screen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir, recorded, run_argument
from fc2conv.errors import ConfigError
from fc2conv.fields import spelled
from fc2conv.record.folder import CHECKPOINTS

MOVED = 1
"""Pixels of the shift whose equivariance errors are shown."""


@click.command()
@run_argument()
@click.argument("keys", metavar="[KEY=VALUE]...", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the files go.  [default: inspect/best in the run's folder]",
)
@in_runs_dir
def inspect(run: str, keys: Sequence[str], out: Path | None, runs_dir: Path) -> None:
    """What a run's network has learned: pictures and measurements.

    As python train.py task=inspect with the run's best checkpoint; it takes the same keys: inspect.images=[0,5].
    """
    folder, _ = recorded(run, runs_dir)
    ckpt = folder / CHECKPOINTS / "best.ckpt"
    if not ckpt.is_file():
        raise ConfigError("RUN", f"{folder} has no {CHECKPOINTS}/{ckpt.name}; there is one after an epoch of training")
    from fc2conv.compose import compose_config, override, parse_composed

    where = [override("inspect.folder", str(out))] if out else []
    composed, written, _ = compose_config(["task=inspect", override("ckpt", str(ckpt)), *keys, *where])
    config = parse_composed(composed)

    from fc2conv.config.unused import refuse_unused
    from fc2conv.instruments.inspection import NUMBERS
    from fc2conv.training.inspection import inspect as look
    from fc2conv.training.recorded import of_checkpoint

    config = of_checkpoint(config, written)
    refuse_unused(written, [config])
    target, paths = look(config)
    numbers = json.loads((target / NUMBERS).read_text(encoding="utf-8"))
    for shown in (layers(numbers), shifts(numbers["shift"])):
        screen.print_table(shown)
        screen.line()
    for line in structure(numbers.get("structure", {})):
        screen.line(line)
    for path in paths:
        screen.line(path)


def layers(numbers: Mapping[str, Any]) -> Table:
    """A row a layer: how far it is from equivariant, what it sees, and what it is as a matrix."""
    equivariance, matrices = numbers["equivariance"], numbers.get("matrix", {})
    at = equivariance["shifts"].index([0, MOVED])
    table = screen.table("layer", "stride", "wrap", "inside", "sees", "effective", "weights", "nonzeros")
    table.caption_justify = "left"
    table.caption = (
        f"wrap, inside: error of equivariance to a shift by {MOVED} pixel, of all units as on a torus, and of those "
        "that stay inside. sees, effective: receptive field, by its connections and by its gradient. weights, "
        "nonzeros: of its matrix."
    )
    for name, stride in equivariance["strides"].items():
        field, matrix = numbers.get("receptive_field", {}).get(name), matrices.get(name)
        table.add_row(
            screen.text(name),
            spelled((stride[0], stride[1])),
            *(_error(equivariance[edges][name][at]) for edges in ("wrap", "inside")),
            *((spelled(tuple(field["theoretical"])), f"{field['trained']['size']:.1f}") if field else ("", "")),
            *((f"{matrix['weights']:,}", f"{matrix['nonzeros']:,}") if matrix else ("", "")),
        )
    return table


def shifts(found: Mapping[str, Sequence[float]]) -> Table:
    """A column a shift: the accuracy there, and how many predictions are as without."""
    table = screen.table("shift by", *map(str, found["shifts"]))
    for name in ("accuracy", "consistency"):
        table.add_row(name, *(f"{value:.3f}" for value in found[name]))
    return table


def structure(found: Mapping[str, Any]) -> list[str]:
    """Of a dense layer that sees the image: each figure beside that of random weights, where there is one."""
    lines = [f"structure of {found['layer']}, windows of {found['window']} pixels"] if found else []
    for name, value in found.items():
        if not isinstance(value, float) or name.endswith(("_null", "_null_std", "_z")):
            continue
        by_chance = [f"{found[key]:.3g}" for key in (f"{name}_null", f"{name}_null_std") if key in found]
        lines.append(f"  {name} {value:.3g}" + (f", by chance {' ± '.join(by_chance)}" if by_chance else ""))
    return [*lines, ""] if lines else []


def _error(value: float | None) -> str:
    return screen.MISSING if value is None else f"{value:.1e}" if 0 < value < 1e-3 else f"{value:.3f}"
