"""The typed schema of everything in conf/, and the one home of every default.

Each group of keys is a frozen dataclass, which refuses values that cannot work together; a YAML file says only what
differs from it. parsing.py turns plain values into these classes. Nothing here imports torch or Hydra, so a wrong call
is answered at once.
"""

from __future__ import annotations

import typing
from dataclasses import asdict, dataclass
from typing import Any, Literal, Union, cast


class ConfigError(ValueError):
    """A value that cannot work: which key, what it got, what would do.

    Args:
        key: dotted name as written on the command line, e.g. ``model.kernel_size``
        message: what was found and what would be right
    """

    def __init__(self, key: str, message: str):
        super().__init__(f"{key}: {message}" if key else message)
        self.key = key


def require(condition: bool, key: str, got: object, want: str) -> None:
    """Raise ConfigError naming `key` unless `condition` holds."""
    if not condition:
        raise ConfigError(key, f"got {show(got)}, expected {want}")


def show(value: object) -> str:
    """A value as one would write it on the command line."""
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(show(v) for v in value) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- model

Activation = Literal["sigmoid", "tanh", "scaled_tanh", "relu", "leaky_relu", "elu", "gelu", "silu", "identity"]
Pool = Literal["average", "max", "blur", "strided", "none"]
Padding = Union[int, Literal["same", "valid"]]
PaddingMode = Literal["zeros", "reflect", "circular", "replicate"]
Norm = Literal["none", "batch", "layer"]
Init = Literal["torch", "xavier"]


@dataclass(frozen=True)
class SoftmaxConfig:
    """Softmax regression: one linear layer on the pixels (D2L 4)."""

    family: Literal["softmax"] = "softmax"
    init: Init = "xavier"
    """`xavier`: Glorot's uniform on every weight, as in the book; `torch`: each layer's own."""


@dataclass(frozen=True)
class MLPConfig:
    """Multilayer perceptron on the flattened image (D2L 5)."""

    family: Literal["mlp"] = "mlp"
    hidden: tuple[int, ...] = (256, 256)
    """Width of each hidden layer."""
    activation: Activation = "relu"
    dropout: float | tuple[float, ...] = 0.0
    """Probability of dropping a hidden unit; one value, or one for each hidden layer."""
    norm: Literal["none", "batch", "layer"] = "none"
    init: Init = "xavier"

    def __post_init__(self) -> None:
        require(all(h > 0 for h in self.hidden), "model.hidden", self.hidden, "widths of at least 1")
        for p in per_layer("model.dropout", self.dropout, len(self.hidden), "hidden layers"):
            _probability("model.dropout", p)


@dataclass(frozen=True)
class LadderConfig:
    """The chapter's argument as one class: image-shaped hidden units under ever stronger constraints (D2L 7.1).

    Moving `constraint` from `dense` over `local` or `shared` to `conv` changes nothing else in the network.
    """

    family: Literal["ladder"] = "ladder"
    constraint: Literal["dense", "local", "shared", "conv"] = "conv"
    """dense: every hidden unit sees every pixel (7.1.1). local: only pixels at most `half_width` away. shared: one
    kernel for all positions that reaches over the whole image (7.1.2). conv: local and shared (7.1.3)."""
    half_width: int = 2
    """Delta of equation 7.1.3: a window is (2 half_width + 1) wide. Used by `local` and `conv`."""
    channels: int = 1
    """Hidden maps (c_out); the input maps (c_in) are the data's bands."""
    activation: Activation = "relu"
    init: Init = "xavier"

    def __post_init__(self) -> None:
        require(self.half_width >= 0, "model.half_width", self.half_width, "0 or more pixels")
        require(self.channels >= 1, "model.channels", self.channels, "at least one hidden map")


@dataclass(frozen=True)
class LeNetConfig:
    """LeNet as in D2L 7.6, and its variants as arguments of the same class.

    Keys that say "one, or one for each convolution" take a number or a list; a list shorter than `channels` goes on
    with its last value.
    """

    family: Literal["lenet"] = "lenet"
    channels: tuple[int, ...] = (6, 16)
    """Output channels, one number for each convolution."""
    kernel_size: int | tuple[int, ...] = 5
    """One, or one for each convolution."""
    padding: Padding | tuple[Padding, ...] = (2, 0)
    """Pixels on each side, `same` (output as large as input / stride) or `valid` (none); one, or one for each. The
    book's (2, 0) goes with a single convolution too."""
    padding_mode: PaddingMode = "zeros"
    stride: int | tuple[int, ...] = 1
    dilation: int | tuple[int, ...] = 1
    activation: Activation = "sigmoid"
    pool: Pool = "average"
    """2x2 with stride 2. `strided`: the convolution before it takes twice its stride instead. `blur`: maximum with
    stride 1, then a fixed binomial filter with stride 2 (Zhang 2019). `none`: no subsampling."""
    pool_after: tuple[int, ...] | None = None
    """Convolutions (1 is the first) that a pooling follows; null: all of them."""
    norm: Literal["none", "batch"] = "none"
    bias: bool = True
    """Bias of the convolutions; batch norm makes it redundant."""
    dropout: float = 0.0
    """In front of each hidden linear layer but the first, and of the output layer."""
    head: Literal["dense", "gap"] = "dense"
    """dense: flatten, `hidden` linear layers, output. gap: global average of each map, output."""
    hidden: tuple[int, ...] = (120, 84)
    separable: bool = False
    """Each convolution as depthwise then 1x1 (Howard et al. 2017)."""
    coordinates: bool = False
    """Two channels with each pixel's x and y in [-1, 1] join the input (Liu et al. 2018)."""
    init: Init = "xavier"

    def __post_init__(self) -> None:
        n = len(self.channels)
        require(n >= 1, "model.channels", self.channels, "at least one convolution, e.g. [6,16]")
        require(all(c > 0 for c in self.channels), "model.channels", self.channels, "at least 1 in each layer")
        if isinstance(self.padding, tuple) and self.padding == LeNetConfig.padding:
            # nobody wrote it, so it must not be refused for being too long
            object.__setattr__(self, "padding", self.padding[:n])
        for key, least in (("kernel_size", 1), ("stride", 1), ("dilation", 1), ("padding", 0)):
            for value in per_layer(f"model.{key}", getattr(self, key), n, "convolutions in model.channels"):
                require(isinstance(value, str) or value >= least, f"model.{key}", value, f"{least} or more")
        require(
            all(1 <= i <= n for i in self.pool_after or ()),
            "model.pool_after",
            self.pool_after,
            f"numbers from 1 to {n}",
        )
        require(all(h > 0 for h in self.hidden), "model.hidden", self.hidden, "widths of at least 1")
        _probability("model.dropout", self.dropout)


@dataclass(frozen=True)
class LeNet1Config:
    """LeNet-1 (LeCun et al. 1990): 4 maps, trained sub-sampling, 12 maps from pairs of them."""

    family: Literal["lenet1"] = "lenet1"
    init: Init = "xavier"


@dataclass(frozen=True)
class LeNet5Config:
    """LeNet-5 (LeCun et al. 1998) as published: connection table, trained sub-sampling, RBF output with its loss."""

    family: Literal["lenet5"] = "lenet5"
    train_rbf: bool = False
    """Let the centres of the output units (the 7x12 bitmaps) learn; published: fixed."""
    garbage: float = 1.0
    """j of the paper's equation 9: classes farther than this no longer push."""
    init: Init = "xavier"

    def __post_init__(self) -> None:
        require(self.garbage > 0, "model.garbage", self.garbage, "a positive number")


@dataclass(frozen=True)
class NiNConfig:
    """Network in Network (Lin et al. 2013; D2L 8.3): a convolution and two 1x1 in each block, global average."""

    family: Literal["nin"] = "nin"
    channels: tuple[int, ...] = (32, 64)
    """Blocks before the last, whose channels are the classes."""
    kernel_size: int | tuple[int, ...] = (5, 3, 3)
    """One, or one for each block, the last included."""
    norm: Literal["none", "batch"] = "none"
    dropout: float = 0.0
    """In front of the last block."""
    init: Init = "xavier"

    def __post_init__(self) -> None:
        require(all(c > 0 for c in self.channels), "model.channels", self.channels, "at least 1 in each block")
        for k in per_layer("model.kernel_size", self.kernel_size, len(self.channels) + 1, "blocks"):
            require(k >= 1, "model.kernel_size", k, "1 or more")
        _probability("model.dropout", self.dropout)


@dataclass(frozen=True)
class ResNetConfig:
    """Residual network of 6n+2 layers for small images (He et al. 2016, section 4.2), parameter-free shortcuts."""

    family: Literal["resnet"] = "resnet"
    n: int = 1
    """Residual blocks in each of the three stages."""
    width: int = 16
    """Channels of the first stage; the next two double them."""
    init: Init = "xavier"

    def __post_init__(self) -> None:
        require(self.n >= 1, "model.n", self.n, "1 or more blocks")
        require(self.width >= 1, "model.width", self.width, "1 or more channels")


@dataclass(frozen=True)
class ConvNetConfig:
    """What LeNet's budget buys today: 3x3 convolutions, batch norm, global average."""

    family: Literal["convnet"] = "convnet"
    channels: tuple[int, ...] = (24, 32, 32, 40, 40, 48)
    """Output channels of each 3x3 convolution."""
    pool_after: tuple[int, ...] = (2, 4)
    """Convolutions (1 is the first) that a 2x2 maximum follows."""
    activation: Activation = "relu"
    residual: bool = True
    """Add a convolution's input to its output where the shapes agree."""
    dropout: float = 0.0
    """In front of the output layer."""
    init: Init = "xavier"

    def __post_init__(self) -> None:
        n = len(self.channels)
        require(n >= 1, "model.channels", self.channels, "at least one convolution")
        require(all(c > 0 for c in self.channels), "model.channels", self.channels, "at least 1 in each layer")
        require(
            all(1 <= i <= n for i in self.pool_after), "model.pool_after", self.pool_after, f"numbers from 1 to {n}"
        )
        _probability("model.dropout", self.dropout)


ModelConfig = Union[
    SoftmaxConfig,
    MLPConfig,
    LadderConfig,
    LeNetConfig,
    LeNet1Config,
    LeNet5Config,
    NiNConfig,
    ResNetConfig,
    ConvNetConfig,
]
MODELS: dict[str, type] = {cls.family: cls for cls in typing.get_args(ModelConfig)}


def per_layer(key: str, value: Any, n: int, layers: str) -> list[Any]:
    """One value for each of `n` layers: a single value goes to all, a short list goes on with its last one."""
    if not isinstance(value, tuple):
        return [value] * n
    require(
        0 < len(value) <= n or (n == 0 and not value),
        key,
        value,
        f"one value, or at most one for each of the {n} {layers}",
    )
    return [*value, *[value[-1]] * (n - len(value))] if value else []


def _probability(key: str, value: float) -> None:
    require(0 <= value < 1, key, value, "a probability from 0 up to, not including, 1")


# --- data


@dataclass(frozen=True)
class Published:
    """What is known of a named dataset before it is read."""

    shape: tuple[int, int, int]
    """(bands, height, width)"""
    classes: int
    train: int
    """Images in the official training set."""


DATASETS: dict[str, Published] = {
    "fashion_mnist": Published((1, 28, 28), 10, 60_000),
    "mnist": Published((1, 28, 28), 10, 60_000),
    "kmnist": Published((1, 28, 28), 10, 60_000),
    "emnist": Published((1, 28, 28), 47, 112_800),  # its `balanced` split
    "cifar10": Published((3, 32, 32), 10, 50_000),
    "cifar100": Published((3, 32, 32), 100, 50_000),
}


@dataclass(frozen=True)
class DataConfig:
    """Which images, how they are split, and how a batch of them is seen."""

    name: Literal["fashion_mnist", "mnist", "kmnist", "emnist", "cifar10", "cifar100", "folder"] = "fashion_mnist"
    dir: str = "data"
    """Where prepared caches lie."""
    path: str | None = None
    """For `folder`: one folder a class, or train/ and test/ with one folder a class each."""
    size: int = 28
    """For `folder`: images are resized to size x size, once."""
    colour: bool | None = None
    """For `folder`: three bands (true) or one (false). null: as its first image is."""
    test_size: float = 0.2
    """For a `folder` without train/ and test/: the part of each class kept for the test."""
    batch_size: int = 128
    """Images in a step, over all devices together."""
    val_size: int | float = 5000
    """Images of the official training set kept for validation: a number, or a part below 1."""
    train_size: int | None = None
    """Use only so many training images, class-balanced; smaller sets lie inside larger ones. null: all."""
    seed: int = 0
    """Draws the validation part, the subsets and the fixed permutation; apart from the run's own seed, so that runs
    with several seeds share one split."""
    normalise: Literal["standard", "unit"] = "standard"
    """standard: zero mean and unit variance over the training part, per band. unit: from 0 to 1, as in the book."""
    flip: bool = False
    """Augmentation: mirror half of the training images."""
    translate: int = 0
    """Augmentation: shift each training image by up to so many pixels in x and y; what enters is background."""
    erase: float = 0.0
    """Augmentation: probability of blanking a random rectangle of a training image (Zhong et al. 2020)."""
    canvas: int | None = None
    """Place the images on a canvas of so many pixels on each side."""
    place: Literal["center", "random"] = "center"
    """Where on the canvas."""
    shift: tuple[int, int] = (0, 0)
    """Shift the test images by (dx, dy) pixels; what enters is background."""
    permutation: Literal["none", "fixed", "block", "fresh"] = "none"
    """Reorder the pixels: one fixed order for all images, a fixed order within blocks of `block` x `block`, or a fresh
    order for each image."""
    block: int = 7
    bands: int | None = None
    """Repeat a grey image into so many bands. null: as the data has them."""

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "data.batch_size", self.batch_size, "1 or more images")
        require(self.val_size > 0, "data.val_size", self.val_size, "a number of images, or a part between 0 and 1")
        require(
            self.val_size < 1 or self.val_size == int(self.val_size), "data.val_size", self.val_size, "a whole number"
        )
        require(self.train_size is None or self.train_size > 0, "data.train_size", self.train_size, "1 or more images")
        require(0 <= self.seed < 2**32, "data.seed", self.seed, "a whole number from 0 to 4294967295")
        require(self.size >= 1, "data.size", self.size, "1 or more pixels")
        require(0 < self.test_size < 1, "data.test_size", self.test_size, "a part between 0 and 1")
        require(self.translate >= 0, "data.translate", self.translate, "0 or more pixels")
        require(0 <= self.erase <= 1, "data.erase", self.erase, "a probability")
        require(self.bands is None or self.bands >= 1, "data.bands", self.bands, "1 or more bands")
        if self.name == "folder":
            require(self.path is not None, "data.path", self.path, "the folder of your images: data.path=DIR")
        if self.name in DATASETS:
            self._check_views(*DATASETS[self.name].shape[:2])
            self.split(DATASETS[self.name].train)
        else:
            known = {True: 3, False: 1, None: self.bands or 1}  # null shows when the folder is looked at
            self._check_views(known[self.colour], self.size)

    def _check_views(self, bands: int, edge: int) -> None:
        if self.canvas is not None:
            require(self.canvas >= edge, "data.canvas", self.canvas, f"at least the image's {edge} pixels")
        if self.permutation == "block":
            edge = self.canvas or edge
            fits = self.block >= 1 and edge % self.block == 0
            require(fits, "data.block", self.block, f"a divisor of the image's {edge} pixels")
        if self.bands is not None:
            require(bands in (1, self.bands), "data.bands", self.bands, "only grey images can be repeated")

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


# --- optimiser and schedule


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, learning-rate schedule and loss."""

    name: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: float = 0.01
    """Peak learning rate."""
    momentum: float = 0.9
    nesterov: bool = True
    """SGD only; needs momentum."""
    weight_decay: float = 0.0
    """On weights of layers; never on biases and norms."""
    schedule: Literal["constant", "cosine", "onecycle"] = "onecycle"
    """cosine: from lr to 0. onecycle: up for the `warmup` part of the steps, then down to 0 (Smith 2018)."""
    warmup: float = 0.2
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        require(self.lr > 0, "optim.lr", self.lr, "a positive number")
        require(self.weight_decay >= 0, "optim.weight_decay", self.weight_decay, "0 or more")
        require(0 <= self.momentum < 1, "optim.momentum", self.momentum, "a number from 0 up to, not including, 1")
        require(0 <= self.warmup < 1, "optim.warmup", self.warmup, "a part of the run from 0 up to, not including, 1")
        require(0 <= self.label_smoothing < 1, "optim.label_smoothing", self.label_smoothing, "from 0 to below 1")


# --- trainer


@dataclass(frozen=True)
class TrainerConfig:
    """How long and on what to train."""

    max_epochs: int = 10
    accelerator: Literal["auto", "cpu", "gpu", "mps"] = "auto"
    devices: int | Literal["auto"] = 1
    """Devices (processes) on each node; auto: all GPUs there are, or what torchrun or SLURM started."""
    num_nodes: int = 1
    """More than one only under torchrun or SLURM, which start the processes."""
    strategy: Literal["single", "ddp"] = "single"
    cluster: Literal["none", "slurm"] = "none"
    """slurm: one process a task of srun; nodes and devices come from SLURM."""
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    threads: int | None = None
    """CPU threads of each process. null: the cores, divided among the processes."""
    gradient_clip: float | None = None
    """Largest norm of the gradient."""
    patience: int | None = None
    """Stop after so many epochs without a better validation accuracy. null: never."""
    progress: bool = True
    """Show the progress bar (a line an epoch where the output is no terminal)."""

    def __post_init__(self) -> None:
        require(self.max_epochs >= 1, "trainer.max_epochs", self.max_epochs, "1 or more")
        require(self.devices == "auto" or self.devices >= 1, "trainer.devices", self.devices, "1 or more, or auto")
        require(self.num_nodes >= 1, "trainer.num_nodes", self.num_nodes, "1 or more")
        require(self.threads is None or self.threads >= 1, "trainer.threads", self.threads, "1 or more, or null")
        require(
            self.gradient_clip is None or self.gradient_clip > 0,
            "trainer.gradient_clip",
            self.gradient_clip,
            "a positive number, or null",
        )
        require(self.patience is None or self.patience >= 1, "trainer.patience", self.patience, "1 or more, or null")
        if self.strategy == "single" and self.devices != "auto" and self.devices > 1:
            raise ConfigError("trainer.devices", f"got {self.devices}, but trainer.strategy=single; use trainer=ddp")


@dataclass(frozen=True)
class LoggerConfig:
    """Where metrics go besides metrics.csv and result.json, which are always written."""

    name: Literal["wandb", "csv"] = "wandb"
    project: str = "fc2conv"
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    mode: Literal["auto", "online", "offline"] = "auto"
    """auto: online when an API key is configured, else offline."""


# --- the whole

Task = Literal["train", "test", "plan"]


@dataclass(frozen=True)
class Config:
    """One run, completely."""

    model: ModelConfig = LeNetConfig()
    data: DataConfig = DataConfig()
    optim: OptimConfig = OptimConfig()
    trainer: TrainerConfig = TrainerConfig()
    logger: LoggerConfig = LoggerConfig()
    seed: int = 0
    """Initial weights, the order of the images, augmentation and dropout."""
    task: Task = "train"
    """train; test: the test figures of `ckpt`; plan: the layer table, without data or training."""
    ckpt: str | None = None
    """Checkpoint to test."""
    resume: str | None = None
    """A run's folder (or its name in runs_dir): go on where it stopped."""
    name: str | None = None
    """The run's folder in runs_dir. null: date, time, model and a short random part. With -m: the sweep's folder; null:
    the sweep file's name, or the keys that vary."""
    runs_dir: str = "runs"
    sweep: str | None = None
    """With -m: a sweep file, by its path or its name in sweeps/."""
    force: bool = False
    """With -m: train cells that are done once more."""
    fail_fast: bool = False
    """With -m: stop at the first failure."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "seed", self.seed, "a whole number from 0 to 4294967295")
        require(
            self.name is None or (self.name not in ("", ".", "..") and "/" not in self.name and "\\" not in self.name),
            "name",
            self.name,
            "a folder name without slashes; its parent is runs_dir",
        )
        require(self.name is None or len(self.name.encode()) <= 200, "name", self.name, "at most 200 bytes")
        if self.task == "test":
            require(self.ckpt is not None, "ckpt", self.ckpt, "a checkpoint to test: task=test ckpt=PATH")
        elif self.ckpt is not None:
            raise ConfigError("ckpt", f"got {self.ckpt}, but task={self.task} reads none; use task=test, or resume=RUN")
        require(self.task == "train" or self.resume is None, "resume", self.resume, f"null with task={self.task}")


TOP_LEVEL = ("seed", "task", "ckpt", "resume", "name", "runs_dir", "sweep", "force", "fail_fast")
GROUPS: dict[str, type] = {"data": DataConfig, "optim": OptimConfig, "trainer": TrainerConfig, "logger": LoggerConfig}


def plain(config: Any) -> dict[str, Any]:
    """A config as dicts, lists and scalars: what YAML, JSON and checkpoints hold."""
    return cast(dict[str, Any], _plain(asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def identity_of(config: Config) -> dict[str, Any]:
    """What decides a run's outcome: model, data, optimiser, schedule, seed; not where it runs or is written."""
    values = plain(config)
    values["data"].pop("dir")
    if config.data.name != "folder":
        for key in ("path", "size", "colour", "test_size"):
            values["data"].pop(key)
    trainer = {k: values["trainer"][k] for k in ("max_epochs", "precision", "gradient_clip", "patience")}
    return {**{k: values[k] for k in ("model", "data", "optim", "seed")}, "trainer": trainer}
