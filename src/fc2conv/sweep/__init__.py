"""Many runs from one command: trials, their jobs, resume, sweep files. Imports torch in the jobs only.

An import of this room takes the place of the function fc2conv.sweep, whose name it has. So the room can be called,
too, and does what fc2conv.api.sweep does.

Example:
    fc2conv.sweep(model=["mlp", "lenet"], seed=range(3), **{"trainer.max_epochs": 2})
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *overrides: str, **values: Any) -> Any:
        from fc2conv.api import sweep

        return sweep(*overrides, **values)


sys.modules[__name__].__class__ = _Callable
