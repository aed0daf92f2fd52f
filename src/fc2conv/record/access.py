"""How W&B is reached: the address of its server, and whether there is a key for it. Writes nothing, starts no run."""

from __future__ import annotations

import os
import ssl
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import wandb
from wandb.sdk.lib.wbauth import read_netrc_auth

TIMEOUT = 30.0
"""Seconds to wait for the server."""


def server_address() -> str | None:
    """W&B's address; None where its library would refuse it, or reaches it in a way of its own."""
    try:
        settings = wandb.setup().settings
    except (ValueError, wandb.Error):
        return None
    return None if settings.http_proxy or settings.https_proxy else settings.base_url


def answers(server: str) -> bool:
    """Whether anything comes back from the web server at the address `server`, were it an error, within TIMEOUT.

    W&B's own wait cannot be broken off: its service would go on with it when the process ends.
    """
    try:
        with urlopen(HttpRequest(server, method="HEAD"), timeout=TIMEOUT):
            return True
    except HTTPError:
        return True
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)  # W&B may know other certificates
    except (OSError, HTTPException):
        return False


def key_configured() -> bool:
    """Whether W&B finds credentials in the environment, in netrc or in its settings. Asks nobody, checks nothing."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    try:
        settings = wandb.setup().settings
        return bool(settings.api_key or read_netrc_auth(host=settings.base_url))
    except (ValueError, wandb.Error):  # settings or a key that W&B refuses; `start` will say so
        return False
