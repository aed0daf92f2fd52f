"""Imports of what is large."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import in it: the garbage collector waits, and leaves what is there then alone.

    torch, Lightning and W&B come as 400,000 objects that stay. The collector would go through them again and again as
    they come, a fifth of the start, and for 0.2 s now and then in a run.
    """
    if not gc.isenabled():
        yield
        return
    modules = len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) > modules:  # else only what is not meant to stay would be kept
            gc.freeze()
        gc.enable()
