"""`fc2conv export RUN`: a run's network as one file for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click
from rich.filesize import decimal

from fc2conv.cli import screen
from fc2conv.cli.arguments import in_runs_dir, recorded, run_argument
from fc2conv.config.schema import ExportFormat
from fc2conv.errors import ConfigError
from fc2conv.record.folder import CHECKPOINTS

OWN = ("best", "last")


@click.command()
@run_argument()
@click.option(
    "--to", "to", type=click.Choice(get_args(ExportFormat)), required=True, help="The format: ONNX, or torch.export's."
)
@click.option(
    "--output", type=click.Path(path_type=Path), help="The file.  [default: CHECKPOINT.FORMAT in the run's folder]"
)
@click.option("--checkpoint", default="best", show_default=True, metavar="best|last|PATH", help="Whose weights.")
@click.option(
    "--allow", multiple=True, metavar="CODE", help="Code that the checkpoint may have imported. May be repeated."
)
@in_runs_dir
def export(
    run: str, runs_dir: Path, to: ExportFormat, output: Path | None, checkpoint: str, allow: tuple[str, ...]
) -> None:
    """A run's network as one file.

    It takes float32 images (batch, C, H, W), normalised as in training, and gives logits (batch, classes).

    The file is kept only if it gives the checkpoint's own logits. It carries the classes, and mean and std of the
    pixels, which an image is normalised by: (pixel - mean) / std, pixels from 0 to 255.
    """
    folder, _ = recorded(run, runs_dir)
    path = folder / CHECKPOINTS / f"{checkpoint}.ckpt" if checkpoint in OWN else Path(checkpoint)
    output = output or folder / f"{path.stem}.{to}"
    if output.suffix != f".{to}":
        raise ConfigError("--output", f"got {output}, expected a name that ends in .{to}")
    from fc2conv.training.export import BATCHES
    from fc2conv.training.export import export as write

    written = write(path, output, to, allow)
    batches = " and ".join(map(str, BATCHES))
    screen.line(f"{output}: {decimal(output.stat().st_size)}")
    screen.line(f"its logits are the checkpoint's, to {written.difference:.1e} (batches of {batches} {written.images})")
    if "mean" not in written.metadata:
        screen.line("the data are not prepared here: the file does not say by which mean and std to normalise")
