"""process(): what it sets, in a fresh interpreter; importing the package sets nothing."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import pytest

STATE = """
import gc, json, os, sys
def state():
    return [os.environ.get("GOMP_SPINCOUNT"), gc.get_threshold(), gc.isenabled(), "torch" in sys.modules]
before = state()
import fc2conv.speed
imported = state()
fc2conv.speed.process()
once = state()
fc2conv.speed.process()
print(json.dumps([before, imported, once, state()]))
"""


def states(code: str = STATE, **environment: str) -> list[list[object]]:
    """What the interpreter prints: before the import, after it, after a call of process() and after a second."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**inherited, **environment}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_an_import_sets_nothing() -> None:
    """The whole package's; fc2conv.speed does not load torch either."""
    before, imported, *_ = states()
    assert imported[1:] == before[1:] == [[700, 10, 10], True, False]


@pytest.mark.parametrize(
    ("environment", "spin"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
    ids=["not set", "set", "another policy"],
)
def test_threads_spin_as_long_as_the_user_says(environment: dict[str, str], spin: str | None) -> None:
    *_, once, twice = states(**environment)
    assert once == twice == [spin, [50_000, 20, 100], True, False]


LOADED = """
import fc2conv.speed
fc2conv.speed.process()
import gc, json
import torch, lightning.pytorch
print(json.dumps([[s["collections"] for s in gc.get_stats()]]))
"""


def test_no_full_collection_while_all_is_imported() -> None:
    """A collection of the oldest generation goes through some 400,000 objects."""
    ((young, middle, old),) = states(LOADED)
    assert old == 0
    assert isinstance(young, int)
    assert isinstance(middle, int)
    assert 0 < young < 50
    assert middle <= 2


FAULTS = """
import fc2conv.speed
import json, resource
import torch
torch.set_num_threads(1)
counts = []
for _ in range(2):
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(10):
            blocks = [torch.ones(1000 * n) for n in (300, 1200, 75, 1200)]
            del blocks
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    counts.append(faults)
    fc2conv.speed.process()
print(json.dumps([counts]))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc")
def test_memory_that_a_step_has_freed_is_there_for_the_next() -> None:
    """Ten times 11 MB, in a process whose C library gives blocks back at once."""
    ((before, after),) = states(FAULTS, MALLOC_MMAP_THRESHOLD_="65536", MALLOC_TRIM_THRESHOLD_="65536")
    pages = 10 * 11_100_000 // 4096
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert before > pages * 0.9
    assert after < pages * 0.01
