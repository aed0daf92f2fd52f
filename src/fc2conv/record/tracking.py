"""Weights & Biases: one W&B run for each of ours. It mirrors the record; whatever happens to it, training goes on."""

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

import torch
import wandb
from lightning.pytorch.loggers import WandbLogger
from torch import Tensor
from wandb.errors import AuthenticationError
from wandb.sdk.lib.wbauth import read_netrc_auth

from fc2conv.config.schema import Config
from fc2conv.errors import Interrupted
from fc2conv.record import outage
from fc2conv.record.folder import log
from fc2conv.record.result import Result
from fc2conv.record.terminal import console

INIT_TIMEOUT = 30.0
"""Seconds to wait for the server at the start, before going on offline."""
MODES = get_args(wandb.Settings.model_fields["mode"].annotation)
"""What WANDB_MODE may be."""
FINISH_TIMEOUT = 60.0
"""Seconds that W&B may take at the end for what it has not uploaded yet. Without it, an outage would hold the run for
as long as it lasts."""


class Tracker(WandbLogger):
    """Lightning's W&B logger on a run that is ours alone, and whose failures are said once and then ignored."""

    def __init__(self, run: wandb.Run, folder: Path):
        super().__init__(experiment=run, save_dir=folder)
        self.run, self.folder, self.broken = run, folder, False

    def guarded(self, what: str, action: Callable[[], object]) -> None:
        """Do `action`; if W&B fails, say so and leave W&B alone from then on."""
        if self.broken:
            return
        try:
            action()
        except Interrupted as error:
            self.broken = True
            _say(f"{error}: no longer waiting for W&B", error=True)
        except Exception as error:
            self.broken = True
            if isinstance(error, TimeoutError):
                outage.note()
            _say(f"W&B failed to {what} ({type(error).__name__}: {error}); the run goes on without it", error=True)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """An epoch's metrics get the numbers that metrics.csv has: Lightning counts epochs and steps from 0."""
        if step is not None and "epoch" in metrics and not any(name.startswith("test/") for name in metrics):
            metrics, step = {**metrics, "epoch": metrics["epoch"] + 1}, step + 1
        self.guarded("log", lambda: super(Tracker, self).log_metrics(metrics, step))

    def images(self, weight: Tensor | None, confusion: Tensor, classes: list[str]) -> None:
        """The first layer's filters (O, C, H, W), if it has any, and the test's confusion matrix (true, predicted)."""

        def send() -> None:
            pictures = {"test/confusion_matrix": wandb.Image(confusion_picture(confusion, classes))}
            if weight is not None:
                pictures["first_layer_filters"] = wandb.Image(filter_picture(weight))
            self.run.log(pictures)

        self.guarded("log images", send)

    def close(self, result: Result, exit_code: int) -> None:
        """Summary and state: finished for exit code 0, else failed."""
        values = {f"{split}/{k}": v for split in ("val", "test") for k, v in (getattr(result, split) or {}).items()}
        values |= {"status": result.status, "best_epoch": result.best_epoch, "seconds": result.seconds.get("total")}
        self.guarded("update the summary", lambda: self.run.summary.update(values))
        offline, where = self.run.settings._offline, self.run.settings.sync_dir
        self.guarded("finish", lambda: self.run.finish(exit_code=exit_code))
        if offline or self.broken:
            state = "is offline" if offline else "has not got all of this run, but it is kept"
            _say(f"W&B {state}; to upload this run: wandb sync {_near(Path(where))}")


def start(config: Config, result: Result, folder: Path, resumed: bool) -> Tracker | None:
    """Open the W&B run: online where a key is configured, else, or if the server does not answer, offline.

    Raises:
        Interrupted: a signal came while it waited for the server
    """
    outage.keep_quiet()
    mode = _mode(config)
    values = {
        **{k: v for k, v in result.config.items() if k not in ("ckpt", "resume", "runs_dir", "logger")},
        "parameters": result.params["total"],
        "macs": result.macs,
        "receptive_field": result.receptive_field,
        "identity": result.identity,
    }

    def init(mode: str) -> wandb.Run:
        return wandb.init(
            project=config.logger.project,
            entity=config.logger.entity,
            group=config.logger.group,
            tags=config.logger.tags or None,
            name=" ".join(result.overrides)[:128] if config.logger.group and result.overrides else result.name,
            id=result.wandb_id,
            resume="allow" if resumed else None,
            dir=folder,
            config=values,
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
    except Interrupted:
        raise
    except Exception as error:
        if mode == "offline":
            _say(f"W&B cannot start ({type(error).__name__}: {error}); the run goes on without it", error=True)
            return None
        _say(f"{_reason(error)}; this run is kept offline", error=True)
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


def _mode(config: Config) -> str:
    """online, offline, or what else WANDB_MODE asks for; offline, and a word why, where online cannot be."""
    wanted = os.environ.get("WANDB_MODE") or None
    if wanted is not None and wanted not in MODES:
        _say(f"WANDB_MODE: got {wanted}, expected one of {', '.join(MODES)}; this run is kept offline", error=True)
        os.environ["WANDB_MODE"] = "offline"  # W&B's library would not start with it
        return "offline"
    mode = config.logger.mode
    if mode == "auto":
        mode = wanted or ("online" if _key_configured() else "offline")  # type: ignore[assignment]
    if mode in ("offline", "dryrun", "disabled"):
        return mode
    if outage.noted():
        _say("W&B is out of reach, as another run of this sweep has found; this run is kept offline", error=True)
        return "offline"
    server = _server()
    if server and not answers(server):
        outage.note()
        _say(f"W&B does not answer ({server}); this run is kept offline", error=True)
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


def _near(path: Path) -> Path:
    """`path` as seen from here, if it lies here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _say(text: str, error: bool = False) -> None:
    log.warning(text) if error else log.info(text)
    console.print(text, markup=False, soft_wrap=True)


def filter_picture(weight: Tensor, scale: int = 16) -> Any:
    """The filters (O, C, H, W) side by side, one row an input channel, each from its least (black) to its largest
    weight (white)."""
    from torchvision.utils import make_grid

    maps = weight.detach().float().cpu().transpose(0, 1).flatten(0, 1)[:, None]
    big = maps.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    grid = make_grid(big, nrow=weight.shape[0], normalize=True, scale_each=True, padding=2, pad_value=0.5)
    return (grid * 255).byte().permute(1, 2, 0).numpy()


def confusion_picture(confusion: Tensor, classes: list[str]) -> Any:
    """Rows are the true classes, columns the predicted; darker is a larger fraction of the row. Up to 50 classes have
    their names, more smaller squares."""
    from PIL import Image, ImageDraw

    n, left = len(classes), 110
    edge = max(1, min(40, 2000 // n))
    shades = (255 * (1 - confusion / confusion.sum(1, keepdim=True).clamp_min(1))).byte()
    squares = torch.stack([shades, shades, torch.full_like(shades, 255)], -1)
    squares = squares.repeat_interleave(edge, 0).repeat_interleave(edge, 1)
    picture = Image.new("RGB", (left + n * edge, n * edge + 20), "white")
    picture.paste(Image.fromarray(squares.numpy()), (left, 0))
    draw = ImageDraw.Draw(picture)
    for row in range(n if n <= 50 else 0):
        draw.text((4, row * edge + edge // 2 - 6), classes[row][:16], fill="black")
        draw.text((left + row * edge + 4, n * edge + 4), classes[row][:5], fill="black")
        for column in range(n if n <= 20 else 0):
            if count := int(confusion[row, column]):
                fill = "white" if shades[row, column] < 128 else "black"
                draw.text((left + column * edge + 6, row * edge + edge // 2 - 6), str(count), fill=fill)
    return picture


def first_filters(state: Mapping[str, Tensor]) -> Tensor | None:
    """The first convolution's weights (O, C, H, W) among a network's tensors, if they are worth a look."""
    first = next((tensor for tensor in state.values() if tensor.ndim == 4), None)
    return first if first is not None and max(first.shape[2:]) > 1 else None
