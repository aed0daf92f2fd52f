"""task=inspect: looks into the network of a checkpoint, measures it, and draws what it finds.

Each look is a function of LOOKS; another is another entry there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fc2conv.config.schema import Config
from fc2conv.data.image_data import ImageData
from fc2conv.errors import ConfigError
from fc2conv.fields import usable
from fc2conv.instruments.features import feature_maps
from fc2conv.instruments.filters import all_filters, first_filters
from fc2conv.instruments.inspection import Measurements, measure
from fc2conv.pictures.confusion import confusion_picture
from fc2conv.pictures.examples import example_picture, name_of
from fc2conv.pictures.features import feature_picture
from fc2conv.pictures.filters import filter_picture
from fc2conv.pictures.folder import save
from fc2conv.record.arrays import Arrays
from fc2conv.record.folder import CHECKPOINTS
from fc2conv.training.arrays import Mistakes, examples
from fc2conv.training.classifier import Classifier
from fc2conv.training.distributed import Processes
from fc2conv.training.run import evaluate, loaded
from fc2conv.training.signals import Signals
from fc2conv.training.trainer import in_batches, torch_prepared, trainer_for

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Subject:
    """What is looked at, and how."""

    module: Classifier
    data: ImageData
    config: Config
    measured: Measurements


def inspect(config: Config) -> tuple[Path, list[Path]]:
    """Draw all that LOOKS has for the network of `ckpt`, and write down what the instruments measure on it. `config` is
    the checkpoint's own, as changed by the user.

    Returns:
        (the folder, the files written there)

    Raises:
        ConfigError: there are no such images, or nothing can be written there
    """
    assert config.ckpt is not None
    folder = Path(config.inspect.folder) if config.inspect.folder else beside(Path(config.ckpt))
    with Signals(), torch_prepared(config.trainer, Processes.of_environment(config.trainer)):
        module, data = loaded(config)
        there = len(data.test_indices)
        if missing := [i for i in config.inspect.images if i >= there]:
            raise ConfigError("inspect.images", f"got {missing[0]}, but there are {there} test images, from 0 on")
        with usable("inspect.folder", folder):
            folder.mkdir(parents=True, exist_ok=True)
            subject = Subject(module, data, config, measure(module, data))
            drawn = [path for look in LOOKS.values() for path in save(look(subject), folder)]
            return folder, [*drawn, *subject.measured.write_numbers(folder)]


def beside(ckpt: Path) -> Path:
    """Where the pictures of a checkpoint go: into the folder of its run, or else beside it.

    Example:
        >>> beside(Path("runs/a/checkpoints/best.ckpt")).as_posix(), beside(Path("best.ckpt")).as_posix()
        ('runs/a/inspect/best', 'inspect/best')
    """
    top = ckpt.parent.parent if ckpt.parent.name == CHECKPOINTS else ckpt.parent
    return top / "inspect" / ckpt.stem


def _filters(subject: Subject) -> Mapping[str, Image]:
    net = subject.module.net
    found = all_filters(net) or {"units": first_filters(net, subject.data.shape)}
    return {
        f"filters_{name}": filter_picture(weights.float().cpu().numpy(), f"Filters of {name}")
        for name, weights in found.items()
        if len(weights)
    }


def _features(subject: Subject) -> Mapping[str, Image]:
    pictures, data = {}, subject.data
    for index in subject.config.inspect.images:  # one by one, so that one image's maps are in memory
        maps = {name: found[0].numpy() for name, found in feature_maps(subject.module.net, data, [index]).items()}
        if maps:
            image, label = data.seen(data.test_indices[[index]])[0], int(data.source.test_labels[index])
            about = f"test image {index}: {name_of(label, data.classes)}"
            pictures[f"features_{index}"] = feature_picture(image.numpy(), about, maps)
    return pictures


def _mistakes(subject: Subject) -> Mapping[str, Image]:
    config, data = subject.config, subject.data
    mistakes = Mistakes(data, config.inspect.mistakes)
    settings = in_batches(config.trainer, data)
    trainer = trainer_for(settings, Processes.of_environment(config.trainer), [mistakes])
    _, confusion = evaluate(trainer, subject.module, data)
    found = {"confusion": confusion_picture(confusion.tolist(), data.classes)}
    if len(mistakes.indices):
        found["misclassified"] = example_picture(Arrays(**examples(data, mistakes)), data.classes)
    return found


LOOKS: dict[str, Callable[[Subject], Mapping[str, Image]]] = {
    "filters": _filters,
    "features": _features,
    "mistakes": _mistakes,
    "instruments": lambda subject: subject.measured.images(),
}
"""Name -> what it draws: pictures by the names of their files."""
