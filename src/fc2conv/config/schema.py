"""The typed schema of everything in conf/, and the one home of every default.

Each group of keys is a frozen dataclass, which refuses values that cannot work together; a YAML file says only what
differs from it. parsing.py turns plain values into these classes. Nothing here imports torch or Hydra, so a wrong call
is answered at once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Literal, cast

from fc2conv.architectures import ModelConfig, Release
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.errors import ConfigError
from fc2conv.fields import Pair, pair, require, spelled

# --- data


WorldName = Literal[
    "world_anywhere",
    "world_position",
    "world_border",
    "world_texture",
    "world_spectral",
    "world_tabular",
    "world_order",
]
"""Generated images whose rule is known (data/worlds/)."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a named dataset before it is read."""

    shape: tuple[int, int, int]
    """(bands, height, width)"""
    classes: int
    train: int
    """Images in the official training set."""
    test: int = 10_000
    """Images in the official test set."""


DataName = Literal[
    "fashion_mnist", "mnist", "kmnist", "emnist", "cifar10", "cifar100", "mnist1d", "folder", "arrays", WorldName
]
DATASETS: dict[str, DatasetInfo] = {
    "fashion_mnist": DatasetInfo((1, 28, 28), 10, 60_000),
    "mnist": DatasetInfo((1, 28, 28), 10, 60_000),
    "kmnist": DatasetInfo((1, 28, 28), 10, 60_000),
    "emnist": DatasetInfo((1, 28, 28), 47, 112_800, 18_800),  # its `balanced` split
    "cifar10": DatasetInfo((3, 32, 32), 10, 50_000),
    "cifar100": DatasetInfo((3, 32, 32), 100, 50_000),
    "mnist1d": DatasetInfo((1, 1, 40), 10, 4_000, 1_000),
    # generated (data/worlds/); conf/data/ keeps 1,000 of the training images for validation
    "world_anywhere": DatasetInfo((1, 32, 32), 10, 5_000, 2_000),
    "world_position": DatasetInfo((1, 32, 32), 4, 5_000, 2_000),
    "world_border": DatasetInfo((1, 32, 32), 2, 5_000, 2_000),
    "world_texture": DatasetInfo((1, 32, 32), 4, 5_000, 2_000),
    "world_spectral": DatasetInfo((64, 16, 16), 10, 5_000, 2_000),
    "world_tabular": DatasetInfo((1, 16, 16), 2, 5_000, 2_000),
    "world_order": DatasetInfo((1, 16, 128), 2, 5_000, 2_000),
}
FOLDER_SIZE = 28
"""Pixels on each side of a folder's images where nobody says more."""
PUBLISHED = ("fashion_mnist", "mnist", "kmnist", "emnist", "cifar10", "cifar100")
"""Datasets of images, which `data.size` averages down."""
DISTANCES = (7, 48)
"""From and to, of world_order: the edge of its patterns, beside each other; and what leaves the torus twice wider than
a receptive field of 40 pixels."""


@dataclass(frozen=True)
class DataConfig:
    """Which images, how they are split, and how a batch of them is seen.

    A signal is an image one pixel high, (C, 1, W): what is one number for both sides of an image goes along it.
    """

    name: DataName = "fashion_mnist"
    """Which dataset; `folder`: images of your own, which lie in `path`; `arrays`: images or signals of your own, in the
    file `path`; `mnist1d`: signals; `world_...`: generated, by a rule that says who must fail."""
    dir: str = "data"
    """Where prepared caches lie."""
    path: str | None = None
    """For `folder`: one folder a class, or train/ and test/ with one folder a class each. For `arrays`: an .npz file
    with images (N, H, W) or (N, C, H, W), or signals (N, W) or (N, C, W), uint8 or float32, and labels (N,); or with
    train_images, train_labels, test_images and test_labels."""
    size: int | tuple[int, int] | None = None
    """So many pixels on each side, or [height, width]. Published images are averaged down to it, before all else, in
    blocks of equal size: 14 halves 28 x 28. null: as they are. Images of a `folder` are scaled to it, once; what stands
    out at two sides is cut. One number refuses images that would lose more than half; [height, width] cuts what it
    must. null: 28."""
    colour: bool | None = None
    """For `folder`: three bands (true) or one (false). null: as its first image shows."""
    test_size: float = 0.2
    """For a `folder`, or `arrays`, not divided into train and test: the fraction of each class kept for the test."""
    batch_size: int = 128
    """Images in a step, over all devices together."""
    val_size: int | float = 5000
    """Images of the official training set kept for validation: a number, or a fraction below 1."""
    train_size: int | None = None
    """Use only so many training images, class-balanced; smaller sets lie inside larger ones. null: all."""
    seed: int | None = 0
    """Draws the validation split, the subsets, the fixed permutation and the images of a generated world; apart from
    the run's own seed, so that runs with several seeds share one split. null: it is the run's own, so that a mean over
    seeds is one over these draws, too."""
    normalise: Literal["standard", "unit"] = "standard"
    """standard: zero mean and unit variance, per band, over the pixels of the training split as published. What
    `canvas` adds around them is not counted, so that a stroke has the same value on every canvas. unit: from 0 to 1, as
    in the book; float32 values stay as they are."""
    flip: bool = False
    """Augmentation: mirror half of the training images."""
    translate: int = 0
    """Augmentation: shift each training image by up to so many pixels in x and y; what enters is background."""
    erase: float = 0.0
    """Augmentation: probability of blanking a random rectangle of a training image (Zhong et al. 2020)."""
    canvas: int | tuple[int, int] | None = None
    """Place the images on a canvas of so many pixels on each side, or of [height, width]; around them is background, as
    `normalise` has it."""
    place: Literal["center", "random"] = "center"
    """Where on the canvas."""
    shift: tuple[int, int] = (0, 0)
    """Shift the test images by (dx, dy) pixels; what enters is background."""
    permutation: Literal["none", "fixed", "block", "block_order", "fresh", "sorted"] = "none"
    """Reorder the pixels: one fixed order for all images (`fixed`); a fixed order within each block of `block` x
    `block` pixels, 1 x `block` on signals (`block`), or of the blocks, which stay whole (`block_order`); a fresh order
    for each image (`fresh`); or each image's own pixels from dark to bright (`sorted`), which leaves of an image how
    often it has each value, and nothing of where."""
    block: int = 7
    """With permutation=block and block_order: pixels on each side of a block."""
    bands: int | None = None
    """Repeat a grey image into so many bands, or average neighbouring bands to so few. null: as the data has them."""
    distance: int = 24
    """Of `world_order`: pixels from the one pattern to the other."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "1 or more images")
        require(self.val_size > 0, "data.val_size", self.val_size, "a number of images, or a fraction between 0 and 1")
        require(
            self.val_size < 1 or self.val_size == int(self.val_size), "data.val_size", self.val_size, "a whole number"
        )
        require(self.train_size is None or self.train_size > 0, "data.train_size", self.train_size, "1 or more images")
        drawn = self.seed is None or 0 <= self.seed < 2**32
        require(drawn, "data.seed", self.seed, "a whole number from 0 to 4294967295, or null for the run's")
        if self.size is not None:
            object.__setattr__(self, "size", self._checked_size(self.size))
        require(0 < self.test_size < 1, "data.test_size", self.test_size, "a fraction between 0 and 1")
        require(self.translate >= 0, "data.translate", self.translate, "0 or more pixels")
        require(0 <= self.erase <= 1, "data.erase", self.erase, "a probability")
        require(self.bands is None or self.bands >= 1, "data.bands", self.bands, "1 or more bands")
        near, far = DISTANCES
        require(near <= self.distance <= far, "data.distance", self.distance, f"from {near} to {far} pixels")
        if self.name == "folder":
            require(self.path is not None, "data.path", self.path, "the folder of your images: data.path=DIR")
            known = {True: 3, False: 1, None: self.bands or 1}  # null shows when the folder is looked at
            self.check_transforms(known[self.colour], pair(self.folder_size))
        elif self.name == "arrays":
            require(self.path is not None, "data.path", self.path, "the file of your arrays: data.path=FILE.npz")
        else:
            bands, height, width = DATASETS[self.name].shape
            self.check_transforms(bands, self.size_of((height, width)))
            self.split(DATASETS[self.name].train)

    @property
    def known_seed(self) -> int:
        """`seed`, in whose place ImageData has put the run's where that is to draw."""
        assert self.seed is not None
        return self.seed

    def _checked_size(self, size: int | Pair) -> int | Pair | None:
        """`size` in its shortest spelling, null where that means the same, so that they are one run."""
        require(min(pair(size)) >= 1, "data.size", size, "1 or more pixels")
        if self.name == "folder":
            return None if size == FOLDER_SIZE else size
        require(
            self.name in PUBLISHED,
            "data.size",
            size,
            f"null with data={self.name}; a size is for data=folder and {', '.join(PUBLISHED)}",
        )
        published, (height, width) = DATASETS[self.name].shape[1:], pair(size)
        whole = published[0] % height == 0 and published[1] % width == 0
        require(whole, "data.size", size, f"a divisor of the image's {spelled(published)} pixels")
        if (height, width) == published:
            return None
        return height if height == width else (height, width)

    @property
    def folder_size(self) -> int | Pair:
        """`size` of the images of a folder."""
        return self.size or FOLDER_SIZE

    def size_of(self, published: Pair) -> Pair:
        """(height, width) to which images of so many pixels are averaged; a folder's come in their size already."""
        return published if self.size is None or self.name == "folder" else pair(self.size)

    def canvas_of(self, size: Pair) -> Pair:
        """(height, width) of what images of `size` lie on: the canvas, or themselves."""
        if size[0] == 1 and isinstance(self.canvas, int):
            return 1, self.canvas
        return pair(self.canvas or size)

    def block_of(self, height: int) -> Pair:
        """(height, width) of the blocks of images that are so high."""
        return (1 if height == 1 else self.block), self.block

    def check_transforms(self, bands: int, size: Pair) -> None:
        """Raise ConfigError if what is to be done with images of `size` cannot be."""
        canvas = self.canvas_of(size)
        fits = all(c >= s for c, s in zip(canvas, size, strict=True))
        require(fits, "data.canvas", self.canvas, f"at least the image's {spelled(size)} pixels")
        height, width = (s + (c - s) // 2 for s, c in zip(size, canvas, strict=True))
        visible = f"less than the {spelled((height, width))} pixels that move an image out of sight"
        seen = abs(self.shift[0]) < width and abs(self.shift[1]) < height
        require(seen, "data.shift", self.shift, visible)
        reach = width if height == 1 else min(height, width)
        require(self.translate < reach, "data.translate", self.translate, visible)
        if self.permutation in ("block", "block_order"):
            fits = self.block >= 1 and not any(
                edge % part for edge, part in zip(canvas, self.block_of(canvas[0]), strict=True)
            )
            require(fits, "data.block", self.block, f"a divisor of the image's {spelled(canvas)} pixels")
        if self.bands is not None:
            require(
                bands == 1 or self.bands <= bands,
                "data.bands",
                self.bands,
                f"at most {bands} (only grey images can be repeated)",
            )

    def split(self, images: int) -> tuple[int, int]:
        """(training, validation) images of an official training set of `images`.

        Raises:
            ConfigError: there are not so many
        """
        n_val = round(self.val_size * images) if self.val_size < 1 else int(self.val_size)
        require(0 < n_val < images, "data.val_size", self.val_size, f"fewer than the {images} training images in all")
        left = images - n_val
        if self.train_size is not None and self.train_size > left:
            raise ConfigError(
                "data.train_size", f"got {self.train_size}, but data.val_size={self.val_size} leaves {left}"
            )
        return self.train_size or left, n_val


EVALUATED = 512 * 28 * 28
"""Pixels, bands included, of a batch without gradients: small images are evaluated more at a time than trained."""


# --- fair comparison


@dataclass(frozen=True)
class MatchConfig:
    """A budget for the network: its widths are scaled to it, all by one factor. In a record, the budget that the widths
    of its model were scaled to."""

    params: int | None = None
    """Trainable parameters."""
    macs: int | None = None
    """Multiply-accumulates for one image, in place of params."""
    keys: tuple[str, ...] | None = None
    """Keys of the model whose widths are scaled: [channels]. null: all that are widths."""

    def __post_init__(self) -> None:
        for key in ("params", "macs"):
            value = getattr(self, key)
            require(value is None or value >= 1, f"match.{key}", value, "1 or more, or null")
        if self.params is not None and self.macs is not None:
            raise ConfigError("match.macs", f"got {self.macs}, beside match.params={self.params}; one budget at a time")
        require(self.keys != (), "match.keys", self.keys, "a list of the model's keys, or null for all its widths")

    @property
    def budget(self) -> tuple[Literal["params", "macs"], int] | None:
        """Which of the two, and how much; None where nothing is to be scaled."""
        if self.params is not None:
            return "params", self.params
        return None if self.macs is None else ("macs", self.macs)


# --- optimiser and schedule


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, learning-rate schedule and loss."""

    name: str = "adamw"
    """sgd, adam, adamw, or any other optimiser of torch.optim: rmsprop, NAdam, ... In capitals or not."""
    lr: float = 0.01
    """Peak learning rate."""
    momentum: float = 0.9
    """Of SGD only, as nesterov is; another optimiser has its momentum in `arguments`."""
    nesterov: bool = True
    """Needs momentum."""
    weight_decay: float = 0.0
    """On weights of layers; never on biases and norms."""
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)
    """What else the optimiser takes, by torch's names: {alpha: 0.9, centered: true} for rmsprop."""
    schedule: Literal["constant", "cosine", "onecycle"] = "onecycle"
    """cosine: from lr to 0. onecycle: up for the `warmup` fraction of the steps, then down to 0 (Smith 2018)."""
    warmup: float = 0.2
    """With schedule=onecycle: the fraction of the steps in which the learning rate rises."""
    label_smoothing: float = 0.0
    """Of the training loss (Szegedy et al. 2016). Validation and test losses are without it, so that they compare."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name.lower())  # one spelling, so that RMSprop and rmsprop are one run
        for key in ("lr", "weight_decay"):
            if key in self.arguments:
                raise ConfigError("optim.arguments", f"got {key}, which has a key of its own: optim.{key}")
        require(self.lr > 0, "optim.lr", self.lr, "a positive number")
        require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "0 or more")
        require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "a number from 0 up to, not including, 1")
        require(0 <= self.warmup < 1, "optim.warmup", self.warmup, "a fraction from 0 up to, not including, 1")
        require(0 <= self.label_smoothing < 1, "optim.label_smoothing", self.label_smoothing, "from 0 to below 1")


# --- trainer

LIMITS = ("limit_train_batches", "limit_val_batches", "limit_test_batches", "overfit_batches")
"""Keys of the trainer that are a number of batches, or a fraction of them."""
DURATION = re.compile(r"\d+:\d\d:\d\d:\d\d")
"""DD:HH:MM:SS"""


@dataclass(frozen=True)
class TrainerConfig:
    """How long and on what to train. What Lightning's Trainer has, too, has its name and meaning there."""

    max_epochs: int = 10
    """Passes over the training images."""
    max_steps: int | None = None
    """End after so many steps of the optimiser, if max_epochs does not come first. null: no such end."""
    max_time: str | None = None
    """Likewise, after so much time for training and validation: days, hours, minutes and seconds as DD:HH:MM:SS. How
    far a run comes depends on the machine then, and one that was interrupted does not repeat to the bit."""
    accumulate_grad_batches: int = 1
    """Batches whose gradients make up a step."""
    check_val_every_n_epoch: int = 1
    """Epochs from one validation to the next. The best epoch is one of those validated; the last one always is."""
    test_weights: Literal["best", "last"] = "best"
    """Which weights are tested, and kept as best.ckpt. best: those of the epoch with the best validation accuracy.
    last: those that training ends with, so that the validation images choose nothing."""
    limit_train_batches: int | float | None = None
    """So many batches of each epoch's order, or a fraction of them. null: all."""
    limit_val_batches: int | float | None = None
    """The first so many batches, or a fraction of them, as for the other two."""
    limit_test_batches: int | float | None = None
    """Likewise, of the test."""
    overfit_batches: int | float | None = None
    """Train on the same so many batches in each epoch, and limit the validation to as many."""
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    """auto: a GPU where there is one, else the CPU."""
    devices: int | Literal["auto"] = 1
    """Devices (processes) on each node; auto: all GPUs there are, or what torchrun or SLURM started."""
    num_nodes: int = 1
    """More than one only under torchrun or SLURM, which start the processes."""
    strategy: Literal["single", "ddp"] = "single"
    """ddp: one process for each device, which share every batch. trainer=ddp sets it."""
    cluster: Literal["none", "slurm"] = "none"
    """slurm: one process a task of srun; nodes and devices come from SLURM."""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    """32: float32 throughout. bf16-mixed, 16-mixed: torch's autocast, for a GPU."""
    threads: int | None = None
    """CPU threads of each process. null: the cores, divided among the processes."""
    gradient_clip: float | None = None
    """Largest norm of the gradient."""
    patience: int | None = None
    """Stop after so many epochs without a better validation accuracy. null: never."""
    kernels: bool = True
    """On the CPU, let the compiled kernels of speed/ compute what they can; false: torch alone."""
    compile: bool | str = False
    """Have torch.compile compile the network, in place of the kernels: true, or the name of one of its backends."""
    profiler: Literal["simple", "advanced"] | None = None
    """simple: Lightning's, of the parts of a step; advanced: Python's, of all functions. The reports lie in the run's
    folder: fit-profile.txt, test-profile.txt."""
    log_every_n_steps: int | None = 50
    """Send the training loss and the learning rate of every n-th step to the loggers, as train/loss_step and lr. null:
    none, and callbacks that log on their own do so every 50 steps."""
    progress: bool = True
    """Show the progress bar (a line an epoch where the output is no terminal)."""

    def __post_init__(self) -> None:
        require(self.max_epochs >= 1, "trainer.max_epochs", self.max_epochs, "1 or more")
        require(self.devices == "auto" or self.devices >= 1, "trainer.devices", self.devices, "1 or more, or auto")
        for key in ("accumulate_grad_batches", "check_val_every_n_epoch"):
            require(getattr(self, key) >= 1, f"trainer.{key}", getattr(self, key), "1 or more")
        for key in ("max_steps", "log_every_n_steps"):
            value = getattr(self, key)
            require(value is None or value >= 1, f"trainer.{key}", value, "1 or more, or null")
        duration = self.max_time is None or (DURATION.fullmatch(self.max_time) and re.search("[1-9]", self.max_time))
        require(bool(duration), "trainer.max_time", self.max_time, "DD:HH:MM:SS, e.g. 00:00:30:00 for half an hour")
        self._check_limits()
        require(self.num_nodes >= 1, "trainer.num_nodes", self.num_nodes, "1 or more")
        few = self.threads is None or 1 <= self.threads <= 1024
        require(few, "trainer.threads", self.threads, "from 1 to 1024 (more than there are cores help nobody), or null")
        require(
            self.gradient_clip is None or self.gradient_clip > 0,
            "trainer.gradient_clip",
            self.gradient_clip,
            "a positive number, or null",
        )
        require(self.patience is None or self.patience >= 1, "trainer.patience", self.patience, "1 or more, or null")
        if self.patience is not None and self.test_weights == "last":
            needs = "which waits for a best epoch; use trainer.test_weights=best"
            raise ConfigError("trainer.patience", f"got {self.patience}, {needs}")
        if self.strategy == "single" and self.devices != "auto" and self.devices > 1:
            raise ConfigError("trainer.devices", f"got {self.devices}, but trainer.strategy=single; use trainer=ddp")

    def limited(self, key: str, batches: int) -> int:
        """How many of so many batches trainer.`key`, one of LIMITS, leaves; at least one."""
        limit = getattr(self, key)
        if limit is None:
            return batches
        return min(batches, limit) if limit >= 1 else max(1, int(limit * batches))

    def of_epoch(self, batches: int) -> int:
        """How many of an epoch's batches are trained on."""
        return min(self.limited(key, batches) for key in ("limit_train_batches", "overfit_batches"))

    def epochs(self, batches: int) -> int:
        """How many epochs of so many batches there are, the last of which max_steps may cut short."""
        if self.max_steps is None:
            return self.max_epochs
        steps = math.ceil(self.of_epoch(batches) / self.accumulate_grad_batches)
        return min(self.max_epochs, math.ceil(self.max_steps / steps))

    def _check_limits(self) -> None:
        for key in LIMITS:
            value = getattr(self, key)
            # 1.0, which parsing keeps as it is, may be meant as all (so Lightning reads it) or as one batch
            good = value is None or 0 < value < 1 or (value >= 1 and isinstance(value, int))
            require(good, f"trainer.{key}", value, "a number of batches, a fraction below 1, or null for all")
        for key in ("limit_train_batches", "limit_val_batches"):
            if self.overfit_batches is not None and getattr(self, key) is not None:
                raise ConfigError(f"trainer.{key}", f"got {getattr(self, key)}, but overfit_batches limits it already")


# --- loggers


@dataclass(frozen=True)
class WandbConfig:
    """Weights & Biases: one of its runs for each of ours."""

    project: str = "fc2conv"
    """The project on W&B."""
    entity: str | None = None
    """A user or a team. null: your default there."""
    group: str | None = None
    """null: in a sweep, the sweep's name."""
    name: str | None = None
    """What W&B calls the run. null: as its folder. In a sweep its label, kernel_size=3 seed=0, comes behind it."""
    notes: str | None = None
    """Text beside the run there."""
    job_type: str | None = None
    """A word that tells kinds of runs apart there, e.g. baseline."""
    tags: tuple[str, ...] = ()
    """Words to find the run by."""
    log_model: bool = False
    """Have W&B keep best.ckpt of a run that is done: as the artifact model-<the W&B run>, with the aliases best and
    latest."""
    watch: Literal["gradients", "weights", "all"] | None = None
    """Histograms of each parameter's gradients, weights or both, every trainer.log_every_n_steps."""
    mode: Literal["auto", "online", "offline"] = "auto"
    """auto: online when an API key is configured, else offline."""


@dataclass(frozen=True)
class TensorBoardConfig:
    """TensorBoard: event files in the run's folder tensorboard/."""

    flush_seconds: int = 10
    """How often they are brought up to date."""

    def __post_init__(self) -> None:
        require(self.flush_seconds >= 1, "logger.tensorboard.flush_seconds", self.flush_seconds, "1 or more seconds")


@dataclass(frozen=True)
class MLflowConfig:
    """MLflow: one of its runs for each of ours."""

    experiment: str = "fc2conv"
    """The experiment in MLflow."""
    uri: str | None = None
    """Of a database or a server, e.g. sqlite:///mlflow.db. null: mlflow.db in the run's folder, with the pictures."""


@dataclass(frozen=True)
class LoggerConfig:
    """Where metrics go besides metrics.csv and result.json, which are always written. null: not there."""

    wandb: WandbConfig | None = None
    tensorboard: TensorBoardConfig | None = None
    mlflow: MLflowConfig | None = None

    def in_sweep(self, name: str, label: str) -> LoggerConfig:
        """W&B's group is `name`, unless the user gave another, and its run is called by its label there."""
        if self.wandb is None:
            return self
        called = " ".join(filter(None, [self.wandb.name, label]))
        return replace(self, wandb=replace(self.wandb, group=self.wandb.group or name, name=called))

    def require_installed(self) -> None:
        """Raise ConfigError if a package is missing."""
        for name in ("tensorboard", "mlflow"):
            if getattr(self, name) and find_spec(name) is None:
                raise ConfigError("logger", f"got {name}, which is not installed; pip install -e '.[{name}]'")


LOGGERS: dict[str, type] = {"wandb": WandbConfig, "tensorboard": TensorBoardConfig, "mlflow": MLflowConfig}
"""conf/logger/ has a file for each, and csv, which adds none of them."""

# --- callbacks

CALLBACK, WATCHES = "_target_", "_watches_"
"""Keys of a callback that are no arguments: its class, and whether it leaves weights and training as they are."""


def _check_callback(key: str, values: Any) -> None:
    require(isinstance(values, dict), key, values, f"{{{CALLBACK}: my_code.Callback, ...}}; ~{key} leaves it out")
    if CALLBACK not in values:
        hint = (
            f"choose a ready one (callbacks=[ema]), or say which class it is: +{key}={{{CALLBACK}: my_code.Callback}}"
        )
        raise ConfigError(key, f"has no {CALLBACK}; {hint}")
    target, watches = values[CALLBACK], values.get(WATCHES, False)
    require(isinstance(target, str) and target != "", f"{key}.{CALLBACK}", target, "a class, e.g. my_code.Callback")
    require(isinstance(watches, bool), f"{key}.{WATCHES}", watches, "true or false")
    for name in values:
        if name.startswith("_") and name not in (CALLBACK, WATCHES):
            raise ConfigError(
                f"{key}.{name}", f"no such key. Known: {CALLBACK}, {WATCHES}, and the arguments of {target}"
            )


# --- the whole

Task = Literal["train", "test", "inspect", "plan", "lr_find"]
OF_CHECKPOINTS: tuple[Task, ...] = ("test", "inspect")
"""Tasks that read `ckpt` in place of training."""
Debug = Literal["fast", "overfit", "limit", "profile"]
ExportFormat = Literal["onnx", "pt2"]
"""ONNX, or what torch.export saves."""


@dataclass(frozen=True)
class InspectConfig:
    """What task=inspect looks at."""

    images: tuple[int, ...] = (0, 1, 2)
    """Test images, by their place in the test set, whose feature maps are drawn."""
    mistakes: int = 60
    """So many of the misclassified test images, those that the network was most sure of."""
    folder: str | None = None
    """Where the pictures go. null: inspect/ in the run's folder, or beside `ckpt`."""

    def __post_init__(self) -> None:
        require(min(self.images, default=0) >= 0, "inspect.images", self.images, "places in the test set, from 0 on")
        require(self.mistakes >= 1, "inspect.mistakes", self.mistakes, "1 or more images")


@dataclass(frozen=True)
class Config:
    """One run, completely."""

    model: ModelConfig = LeNetConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    trainer: TrainerConfig = TrainerConfig()
    logger: LoggerConfig = LoggerConfig(wandb=WandbConfig())
    callbacks: dict[str, Any] = field(default_factory=dict, hash=False)
    """Callbacks of Lightning by names of your own: `_target_` is the class (`my_code.Callback`, or `FILE.py:NAME`), the
    rest its arguments, which may have a `_target_` of their own. They are part of the run's identity, unless one says
    `_watches_: true`: it only looks on."""
    match: MatchConfig = MatchConfig()
    """No part of the run's identity: that has the widths which come of it."""
    plugins: tuple[str, ...] = ()
    """Files (or importable modules) that register architectures of your own: plugins=[my_nets.py] model=my_net."""
    seed: int = 0
    """Initial weights, the order of the images, augmentation and dropout."""
    task: Task = "train"
    """train; test: the test metrics of `ckpt`; inspect: pictures and measurements of its network; plan: the layer
    table, without data or training; lr_find: the loss at rising learning rates, and one of them to try."""
    debug: Debug | None = None
    """The choice of conf/debug/ that changed the keys above, for the record: such a run is for looking, and no table
    has it."""
    ckpt: str | None = None
    """Checkpoint to test, to inspect, or to train on from, with `release`."""
    release: Release | None = None
    """Train on from `ckpt`, a trained network of the ladder, with a constraint released: sharing, locality, or both. It
    starts as the same function; keys that are not written are the checkpoint's."""
    ckpt_sha256: str | None = None
    """Of `ckpt`, for the record of a run with `release`, whose identity it is part of."""
    inspect: InspectConfig = InspectConfig()
    allow: tuple[str, ...] = ()
    """With task=test or inspect: the `model.target` that the checkpoint may have imported."""
    resume: str | None = None
    """A run's folder (or its name in runs_dir): go on where it stopped."""
    name: str | None = None
    """The run's folder in runs_dir. null: date, time, model and a short random part. With -m: the sweep's folder; null:
    the sweep file's name, or the keys that vary, with a hash behind it where another sweep has that."""
    runs_dir: str = "runs"
    """The folder in which runs and sweeps have theirs."""
    sweep: str | None = None
    """With -m: a sweep file, by its path or its name in sweeps/."""
    force: bool = False
    """With -m: retrain trials that are done."""
    fail_fast: bool = False
    """With -m: stop at the first failure."""
    report: bool = True
    """With -m: write the sweep's page, tables and figures into reports/, beside runs_dir, at its end."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "seed", self.seed, "a whole number from 0 to 4294967295")
        require(
            self.name is None or (self.name not in ("", ".", "..") and "/" not in self.name and "\\" not in self.name),
            "name",
            self.name,
            "a folder name without slashes; its parent is runs_dir",
        )
        require(self.name is None or len(self.name.encode()) <= 200, "name", self.name, "at most 200 bytes")
        hidden = self.name is not None and (self.name.startswith(".") or not self.name.isprintable())
        require(not hidden, "name", self.name, "a name that a listing shows: no dot in front, no control characters")
        if self.task in OF_CHECKPOINTS:
            require(
                self.ckpt is not None, "ckpt", self.ckpt, f"a checkpoint to {self.task}: task={self.task} ckpt=PATH"
            )
            require(self.release is None, "release", self.release, f"null with task={self.task}")
        elif self.release is not None:
            require(self.ckpt is not None, "ckpt", self.ckpt, f"a trained network: ckpt=PATH release={self.release}")
        elif self.ckpt is not None:
            hint = "use task=test, release=sharing, or resume=RUN"
            raise ConfigError("ckpt", f"got {self.ckpt}, but task={self.task} reads none; {hint}")
        require(self.task in OF_CHECKPOINTS or not self.allow, "allow", self.allow, f"[] with task={self.task}")
        for name, callback in self.callbacks.items():
            _check_callback(f"callbacks.{name}", callback)
        require(self.task == "train" or self.resume is None, "resume", self.resume, f"null with task={self.task}")
        watch = self.logger.wandb.watch if self.logger.wandb else None
        if watch and self.trainer.log_every_n_steps is None:
            raise ConfigError("logger.wandb.watch", f"got {watch}, which needs a trainer.log_every_n_steps")
        if self.task in ("lr_find", "inspect") and self.trainer.strategy != "single":
            raise ConfigError("trainer.strategy", f"got {self.trainer.strategy}, but task={self.task} takes one device")


TOP_LEVEL = (
    *("match", "plugins", "seed", "task", "debug", "ckpt", "release", "ckpt_sha256", "inspect", "allow", "resume"),
    *("name", "runs_dir", "sweep", "force", "fail_fast", "report"),
)
ABOUT_SWEEPS_ONLY = ("sweep", "force", "fail_fast", "report")
"""Without meaning for a single run, which has them at their defaults."""
ABOUT_SWEEPS = (*ABOUT_SWEEPS_ONLY, "name", "task")
"""With -m: they say what to do with the trials, and make none of them."""
GROUPS: dict[str, type] = {"data": DataConfig, "optim": OptimConfig, "trainer": TrainerConfig}
"""Groups with one choice each."""
KEYS: dict[str, type] = {"match": MatchConfig} | GROUPS | {"inspect": InspectConfig}
"""All groups whose keys are the same for each choice."""
LISTS = ("logger", "callbacks")
"""Groups of which several are chosen: logger=[wandb,tensorboard]. Each choice is a group of keys in theirs."""
MOVED = {f"logger.{key}": f"logger.wandb.{key}" for key in ("project", "entity", "group", "tags", "mode")}
MOVED |= {"logger.name": "logger=NAME or logger=[NAME,NAME]"}
"""Keys of earlier versions, and how the same is written today."""


def headings(names: Sequence[str]) -> list[str]:
    """Keys without their groups, where that leaves them different."""
    last = [name.rpartition(".")[2] for name in names]
    return [
        short if last.count(short) == 1 and short != "model" else name for short, name in zip(last, names, strict=True)
    ]


def plain(config: Any) -> dict[str, Any]:
    """A config as dicts, lists and scalars: what YAML, JSON and checkpoints hold."""
    return cast(dict[str, Any], _plain(asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def dotted(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values by the keys of the command line.

    Example:
        >>> dotted({"model": {"channels": [6, 16]}, "seed": 0})
        {'model.channels': [6, 16], 'seed': 0}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {prefix + key: value}
    return found
