"""fc2conv: from fully connected layers to convolutions, as experiments.

The names below are imported when they are first used, so that `import fc2conv` loads no torch.

Example:
    >>> import fc2conv
    >>> module = fc2conv.LeNet(kernel_size=3, padding="same")
    >>> sum(p.numel() for p in module.parameters())
    106154
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fc2conv.api import results as results
    from fc2conv.api import run as run
    from fc2conv.api import sweep as sweep
    from fc2conv.data.image_data import ImageData as ImageData
    from fc2conv.training.classifier import Classifier as Classifier

_HOMES = {
    "Classifier": "fc2conv.training.classifier",
    "ImageData": "fc2conv.data.image_data",
    "results": "fc2conv.api",
    "run": "fc2conv.api",
    "sweep": "fc2conv.api",
}


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    from fc2conv.architectures import ARCHITECTURES  # no torch yet, for a name that does not exist
    from fc2conv.architectures.plugins import load_installed

    if name[0].isupper():  # a class, perhaps of another package; a module of ours is asked for here, too
        load_installed()
    if name not in {a.name for a in ARCHITECTURES.values()}:
        raise AttributeError(f"module 'fc2conv' has no attribute {name!r}")
    return import_module("fc2conv.training.classifier").class_named(name)


def __dir__() -> list[str]:
    from fc2conv.architectures import ARCHITECTURES

    return sorted([*globals(), *_HOMES, *(a.name for a in ARCHITECTURES.values())])
