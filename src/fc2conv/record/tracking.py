"""Weights & Biases: one W&B run for each of ours."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, get_args
from urllib.error import HTTPError, URLError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import wandb
from lightning.pytorch.loggers import WandbLogger
from wandb.errors import AuthenticationError
from wandb.sdk.lib.wbauth import read_netrc_auth

from fc2conv.config.schema import WandbConfig
from fc2conv.record import outage
from fc2conv.record.mirror import Mirror, description, near, say, summary
from fc2conv.record.result import Result

INIT_TIMEOUT = 30.0
"""Seconds to wait for the server at the start, before going on offline."""
MODES = get_args(wandb.Settings.model_fields["mode"].annotation)
"""What WANDB_MODE may be."""
FINISH_TIMEOUT = 60.0
"""Seconds that W&B may take at the end for what it has not uploaded yet. Without it, an outage would hold the run for
as long as it lasts."""


class Tracker(Mirror, WandbLogger):
    """Lightning's W&B logger on a run that is ours alone."""

    label = "W&B"

    def __init__(self, run: wandb.Run, folder: Path):
        super().__init__(experiment=run, save_dir=folder)
        self.run, self.folder = run, folder

    def guarded(self, what: str, action: Callable[[], object]) -> None:
        """As Mirror's; the next runs of a sweep need not wait for a server that has not answered."""

        def noted() -> None:
            try:
                action()
            except TimeoutError:
                outage.note()
                raise

        super().guarded(what, noted)

    def log_pictures(self, pictures: Mapping[str, Any]) -> None:
        self.run.log({f"pictures/{name}": wandb.Image(picture) for name, picture in pictures.items()})

    def close(self, result: Result, exit_code: int) -> None:
        """Summary and state: finished for exit code 0, else failed."""
        self.guarded("update the summary", lambda: self.run.summary.update(summary(result)))
        offline, where = self.run.settings._offline, self.run.settings.sync_dir
        self.guarded("finish", lambda: self.run.finish(exit_code=exit_code))
        if offline or self.broken:
            state = "is offline" if offline else "has not got all of this run, but it is kept"
            say(f"W&B {state}; to upload this run: wandb sync {near(Path(where))}")


def start(config: WandbConfig, result: Result, folder: Path, resumed: bool) -> Tracker | None:
    """Open the W&B run: online where a key is configured, else, or if the server does not answer, offline.

    Raises:
        Interrupted: a signal came while it waited for the server
    """
    outage.keep_quiet()
    mode = _mode(config)

    def init(mode: str) -> wandb.Run:
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
            say(f"W&B cannot start ({type(error).__name__}: {error}); the run goes on without it", error=True)
            return None
        say(f"{_reason(error)}; this run is kept offline", error=True)
        try:
            run = init("offline")
        except Exception as second:
            say(f"W&B cannot start ({type(second).__name__}: {second}); the run goes on without it", error=True)
            return None
    result.wandb_id = run.id
    tracker = Tracker(run, folder)
    for pattern in ("train/*", "val/*", "test/*"):
        tracker.guarded("define a metric", partial(run.define_metric, pattern, step_metric="epoch"))
    return tracker


def _mode(config: WandbConfig) -> str:
    """online, offline, or what else WANDB_MODE asks for; offline, and a word why, where online cannot be."""
    wanted = os.environ.get("WANDB_MODE") or None
    if wanted is not None and wanted not in MODES:
        say(f"WANDB_MODE: got {wanted}, expected one of {', '.join(MODES)}; this run is kept offline", error=True)
        os.environ["WANDB_MODE"] = "offline"  # W&B's library would not start with it
        return "offline"
    mode = config.mode
    if mode == "auto":
        mode = wanted or ("online" if _key_configured() else "offline")  # type: ignore[assignment]
    if mode in ("offline", "dryrun", "disabled"):
        return mode
    if outage.noted():
        say("W&B is out of reach, as another run of this sweep has found; this run is kept offline", error=True)
        return "offline"
    server = _server()
    if server and not answers(server):
        outage.note()
        say(f"W&B does not answer ({server}); this run is kept offline", error=True)
        return "offline"
    return mode


def _server() -> str | None:
    """W&B's address; None where its library would refuse it, or reaches it in a way of its own."""
    try:
        settings = wandb.setup().settings
    except (ValueError, wandb.Error):
        return None
    return None if settings.http_proxy or settings.https_proxy else settings.base_url


def answers(server: str) -> bool:
    """Whether anything comes back from the web server at the address `server`, were it an error, within INIT_TIMEOUT.

    W&B's own wait cannot be broken off: its service would go on with it when the process ends.
    """
    try:
        with urlopen(HttpRequest(server, method="HEAD"), timeout=INIT_TIMEOUT):
            return True
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # W&B may know other certificates
    except (OSError, HTTPException):
        return False


def _reason(error: Exception) -> str:
    """Why there is no W&B run online."""
    text = str(error).strip().split("\n")[0]
    if isinstance(error, AuthenticationError) or "not logged in" in text:
        return f"W&B refuses the API key ({text}); see wandb login --relogin"
    if "timed out" in text.lower():
        outage.note()
        return f"W&B does not answer ({text})"
    return f"W&B does not take the run ({type(error).__name__}: {text})"


def _key_configured() -> bool:
    """Whether W&B finds credentials in the environment, in netrc or in its settings. Asks nobody, checks nothing."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        settings = wandb.setup().settings
        return bool(settings.api_key or read_netrc_auth(host=settings.base_url))
    except (ValueError, wandb.Error):  # settings or a key that W&B refuses; `start` will say so
        return False
