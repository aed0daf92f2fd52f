"""What belongs to a process rather than to a network: memory, waiting threads, the garbage collector."""

from __future__ import annotations

import ctypes
import gc
import os
import sys


def process() -> None:
    """Settings for training on the CPU. Called by whatever starts, before torch is loaded; a second call does no harm.

    - The C library (glibc) keeps what a step has freed for the next one. It would give blocks of some MB back to the
      system and get them again at each step, empty, page by page: a fifth of the step of a small network.
    - Threads that wait for each other spin less long before they sleep. libgomp's default, some milliseconds, makes a
      step twenty times slower where another process wants the same core; this is long enough where none does.
    - The garbage collector comes more seldom. torch, Lightning and W&B are 400,000 objects that stay, and it would go
      through them again and again as they come.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(-3, 1 << 25)  # M_MMAP_THRESHOLD, its largest value
            mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # libgomp reads it when torch loads it
    gc.set_threshold(50_000, 20, 100)
