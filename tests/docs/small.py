"""Gives a command of a page, with few images and one epoch where it trains: `small.py PYTHON [-m MODULE] ARGUMENTS`."""

from __future__ import annotations

import os
import sys

KEPT = ("--help", "--cfg", "task=test", "task=inspect", "resume=")
"""Calls that train nothing, or go on with what they find."""
FLAGS = ("-m", "--help", "--cfg", "job")


def smaller(arguments: list[str]) -> list[str]:
    """The same call of train.py, over less data. What does not train stays as it is."""
    if any(each.startswith(KEPT) for each in arguments):
        return arguments
    added = [] if "data=folder" in arguments else ["data.train_size=256"]
    if not any(each.startswith("debug=") for each in arguments):
        added += ["trainer.max_epochs=1", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
    if "-m" in arguments and not any(each.startswith("seed=") for each in arguments):
        added += ["seed=0"]
    return [*arguments, *added]


if __name__ == "__main__":
    program = sys.argv[1:]
    if "train.py" in program:
        program = smaller(program)
    os.execv(program[0], program)
