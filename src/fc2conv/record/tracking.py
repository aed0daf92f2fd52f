"""Weights & Biases: one W&B run for each of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import wandb
from lightning.pytorch.loggers import WandbLogger
from wandb.sdk.lib.wbauth import read_netrc_auth

from fc2conv.config.schema import WandbConfig
from fc2conv.record.mirror import Mirror, description, summary
from fc2conv.record.mirror import near as _near
from fc2conv.record.mirror import say as _say
from fc2conv.record.result import Result

INIT_TIMEOUT = 30.0
"""Seconds to wait for the server at the start, before going on offline."""
FINISH_TIMEOUT = 60.0
"""Seconds that W&B may take at the end for what it has not uploaded yet. Without it, an outage would hold the run for
as long as it lasts."""


class Tracker(Mirror, WandbLogger):
    """Lightning's W&B logger on a run that is ours alone."""

    label = "W&B"

    def __init__(self, run: wandb.Run, folder: Path):
        super().__init__(experiment=run, save_dir=folder)
        self.run, self.folder = run, folder

    def log_pictures(self, pictures: Mapping[str, Any]) -> None:
        self.run.log({name: wandb.Image(picture) for name, picture in pictures.items()})

    def close(self, result: Result, exit_code: int) -> None:
        """Summary and state: finished for exit code 0, else failed."""
        self.guarded("update the summary", lambda: self.run.summary.update(summary(result)))
        offline, where = self.run.settings._offline, self.run.settings.sync_dir
        self.guarded("finish", lambda: self.run.finish(exit_code=exit_code))
        if offline or self.broken:
            state = "is offline" if offline else "has not got all of this run, but it is kept"
            _say(f"W&B {state}; to upload this run: wandb sync {_near(Path(where))}")


def start(config: WandbConfig, result: Result, folder: Path, resumed: bool) -> Tracker | None:
    """Open the W&B run: online where a key is configured, else, or if the server does not answer, offline."""
    online = config.mode == "online" or (config.mode == "auto" and _key_configured())
    mode = None if config.mode == "auto" and os.environ.get("WANDB_MODE") else "online" if online else "offline"

    def init(mode: str | None) -> wandb.Run:
        return wandb.init(
            project=config.project,
            entity=config.entity,
            group=config.group,
            tags=config.tags or None,
            name=" ".join(result.overrides)[:128] if config.group and result.overrides else result.name,
            id=result.wandb_id,
            resume="allow" if resumed else None,
            dir=folder,
            config=description(result),
            mode=mode,  # type: ignore[arg-type]
            reinit="create_new",
            settings=wandb.Settings(
                console="off",
                silent=True,
                init_timeout=INIT_TIMEOUT,
                finish_timeout=float(os.environ.get("WANDB_FINISH_TIMEOUT") or FINISH_TIMEOUT),
                finish_timeout_raises=True,
            ),
        )

    try:
        run = init(mode)
    except Exception as error:
        if mode == "offline":
            _say(f"W&B cannot start ({type(error).__name__}: {error}); the run goes on without it", error=True)
            return None
        _say(f"W&B does not answer ({type(error).__name__}); this run is kept offline", error=True)
        try:
            run = init("offline")
        except Exception as second:
            _say(f"W&B cannot start ({type(second).__name__}: {second}); the run goes on without it", error=True)
            return None
    result.wandb_id = run.id
    tracker = Tracker(run, folder)
    for pattern in ("train/*", "val/*", "test/*"):
        tracker.guarded("define a metric", partial(run.define_metric, pattern, step_metric="epoch"))
    return tracker


def _key_configured() -> bool:
    """Whether W&B finds credentials in the environment, in netrc or in its settings. Asks nobody, checks nothing."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        settings = wandb.setup().settings
        return bool(settings.api_key or read_netrc_auth(host=settings.base_url))
    except (ValueError, wandb.Error):  # settings or a key that W&B refuses; `start` will say so
        return False
