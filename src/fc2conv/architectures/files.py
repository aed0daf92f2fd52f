"""Python files of the user's own, as modules."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

PREFIX = "fc2conv_plugin_"
"""How the modules of files are called."""


def from_file(file: str) -> ModuleType:
    """The module in `file`, executed once, under a name of its own.

    Raises:
        FileNotFoundError, and whatever it raises
    """
    path = Path(file).resolve()
    if not path.is_file():
        raise FileNotFoundError("there is no such file")
    name = f"{PREFIX}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sha256(path)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        sha256.cache_clear()  # it may be another text the next time
        raise
    return module


@cache
def sha256(file: Path) -> str:
    """SHA-256 of the file, read once in a process."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
