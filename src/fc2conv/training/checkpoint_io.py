"""How Lightning's Trainer reads and writes checkpoints: as record/checkpoint.py does."""

from __future__ import annotations

import os
from typing import Any

from lightning.fabric.plugins import CheckpointIO

from fc2conv.record.checkpoint import load_checkpoint, save_checkpoint


class CheckedFiles(CheckpointIO):
    """Local files, written in place and checked when they are read. Lightning's own way writes to TMPDIR first, with a
    copy of all weights in memory."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_checkpoint(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        return load_checkpoint(path, map_location or "cpu")

    def remove_checkpoint(self, path: Any) -> None:
        os.unlink(path)
