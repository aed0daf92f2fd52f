"""Every architecture: builds, learns, and comes back from its checkpoint."""

from __future__ import annotations

import math
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import fc2conv
from fc2conv import LeNet, LeNet5
from fc2conv.architectures import ARCHITECTURES, ModelConfig
from fc2conv.architectures.convnet import ConvNetConfig
from fc2conv.architectures.ladder import LadderConfig
from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.lenet1 import LeNet1Config
from fc2conv.architectures.lenet5 import LeNet5Config
from fc2conv.architectures.mlp import MLPConfig
from fc2conv.architectures.nin import NiNConfig
from fc2conv.architectures.resnet import ResNetConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.config.schema import OptimConfig, plain
from fc2conv.errors import ConfigError
from fc2conv.training.classifier import Classifier, class_of
from fc2conv.training.metrics import Confusion

MODERN = LeNetConfig(activation="relu", pool="max", norm="batch", bias=False)
CONFIGS: dict[str, ModelConfig] = {
    "softmax": SoftmaxConfig(),
    "mlp": MLPConfig(),
    "mlp_dropout": MLPConfig(hidden=(64, 32), dropout=(0.2, 0.1), norm="batch"),
    "mlp_layer_norm": MLPConfig(hidden=(64,), norm="layer", activation="gelu"),
    "ladder_dense": LadderConfig(constraint="dense"),
    "ladder_local": LadderConfig(constraint="local", channels=2),
    "ladder_shared": LadderConfig(constraint="shared", channels=2),
    "ladder_conv": LadderConfig(constraint="conv", channels=2),
    "lenet_torch_init": LeNetConfig(init="torch"),
    "lenet_xavier": LeNetConfig(init="xavier"),
    "lenet_modern": MODERN,
    "lenet_allconv": replace(MODERN, pool="strided"),
    "lenet_blur": replace(MODERN, pool="blur"),
    "lenet_coord": replace(MODERN, coordinates=True),
    "lenet_dilated": replace(MODERN, kernel_size=3, dilation=(1, 2), padding="same"),
    "lenet_gap": replace(MODERN, head="gap"),
    "lenet_separable": replace(MODERN, separable=True),
    "lenet1": LeNet1Config(),
    "lenet5": LeNet5Config(),
    "lenet5_trained": LeNet5Config(train_rbf=True),
    "nin": NiNConfig(channels=(8, 16), norm="batch"),
    "resnet": ResNetConfig(width=8),
    "convnet": ConvNetConfig(channels=(16, 16, 32, 32), pool_after=(2, 4), residual=False),
    "convnet_residual": ConvNetConfig(channels=(16, 16, 32, 32), pool_after=(2, 4), residual=True),
}
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings(
        "ignore:.*LeafSpec.*:FutureWarning",  # raised inside Lightning by torch
        "ignore:.*than the logging interval.*",  # one step is meant
    ),
]
every = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
LABELS = torch.tensor([3, 1, 4, 1, 5, 9, 2, 6])


def classifier(config: ModelConfig, shape: tuple[int, int, int] = (1, 28, 28), **more: Any) -> Classifier:
    torch.manual_seed(0)
    return class_of(config)(config, shape, 10, **more)


def images(n: int = 8, shape: tuple[int, int, int] = (1, 28, 28)) -> Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(1))  # not the weights' numbers


def test_every_family_is_here() -> None:
    assert {config.family for config in CONFIGS.values()} == set(ARCHITECTURES) - {"module"}  # test_module.py has that
    for architecture in ARCHITECTURES.values():
        cls = getattr(fc2conv, architecture.name)
        assert cls.config_class is architecture.config
        assert cls is class_of(architecture.config())
        assert pickle.loads(pickle.dumps(cls)) is cls
        assert architecture.name in dir(fc2conv)


@every
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (5, 28, 28)], ids=str)
def test_starts_sane(config: ModelConfig, shape: tuple[int, int, int]) -> None:
    """Ten outputs an image, a guess's loss, and a gradient for all that learns."""
    module = classifier(config, shape)
    x = images(8, shape)
    outputs = module(x)
    assert outputs.shape == (8, 10)
    loss = module.loss(outputs, LABELS)
    assert loss.shape == (8,)
    if config.family != "lenet5":  # its loss is a distance, not a likelihood
        assert 0.7 * math.log(10) < loss.mean().item() < 3 * math.log(10)
    loss.sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert sum(p.numel() for p in module.parameters()) == module.geometry.params


@every
def test_learns_eight_images(config: ModelConfig) -> None:
    module = classifier(config)
    saturates = config.family == "lenet" and config.activation == "sigmoid"  # type: ignore[union-attr]
    optimizer = torch.optim.Adam(module.net.parameters(), lr=0.01 if saturates else 0.003)
    x, losses = images(), []
    for _ in range(150):
        outputs = module.net(x)
        loss = module.loss(outputs, LABELS).mean()
        losses.append(loss.item())
        if losses[-1] < 0.5 and (outputs.argmax(1) == LABELS).all():
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"the loss went from {losses[0]:.2f} to {losses[-1]:.2f}")


# --- what LeNet-5 minimises


@pytest.mark.parametrize("garbage", [1.0, 10.0])
def test_lenet5s_loss_is_equation_9(garbage: float) -> None:
    """y_D + log(e^-j + sum of e^-y_i), y the squared distances."""
    module = LeNet5(LeNet5Config(garbage=garbage))
    distances = [[0.5, 3.0, 7.0, 20.0], [4.0, 0.0, 1.0, 2.0]]
    want = [
        y[label] + math.log(math.exp(-garbage) + sum(math.exp(-d) for d in y))
        for y, label in zip(distances, (1, 0), strict=True)
    ]
    assert module.loss(-torch.tensor(distances), torch.tensor([1, 0])).tolist() == pytest.approx(want, rel=1e-5)
    # hundreds away, e^-y is nothing at all: the loss is then the distance less j, and finite
    assert module.loss(torch.full((1, 10), -400.0), torch.tensor([0])).item() == pytest.approx(400 - garbage)


# --- how it learns


@every
def test_weights_decay_and_biases_and_norms_do_not(config: ModelConfig) -> None:
    """As OptimConfig says, whatever the shape in which a layer keeps them."""
    module = classifier(config, optim=OptimConfig(schedule="constant", weight_decay=0.1))
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in module.net.named_parameters():
        spared = name.endswith("bias") or "norm" in name
        assert decay[id(parameter)] == (0 if spared else 0.1), name


def test_dropout_differs_from_seed_to_seed_and_step_to_step() -> None:
    """On the CPU too, whose generator looks at 32 bits of its seed only."""
    draws = []
    for seed in (0, 1, 2, 256, 4096, 2**24, 2**32 - 1):
        module = classifier(MLPConfig(hidden=(2,), dropout=0.5), seed=seed)
        module._trainer = SimpleNamespace(global_rank=0, current_epoch=0)
        for _ in range(2):
            module._seed_dropout(0)
            draws.append(torch.rand(8))
    for first, again in zip(draws[::2], draws[1::2], strict=True):
        assert torch.equal(first, again)
    assert len({tuple(draw.tolist()) for draw in draws}) == len(draws) // 2


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
@pytest.mark.parametrize("steps", [1, 2, 5, 10])
def test_schedules_of_a_few_steps(schedule: Any, steps: int) -> None:
    """Five steps, of which a warmup of 0.2 is one, leave torch's OneCycleLR nothing to divide by."""
    module = classifier(SoftmaxConfig(), optim=OptimConfig(schedule=schedule))
    trainer = trained(module, steps)
    assert trainer.global_step == steps


def test_a_model_of_another_family_is_refused() -> None:
    with pytest.raises(TypeError, match="LeNet takes a LeNetConfig, got MLPConfig"):
        LeNet(MLPConfig())
    with pytest.raises(TypeError, match="needs a model's config"):
        Classifier()
    assert LeNet().config == LeNetConfig()
    assert Classifier({"family": "mlp", "hidden": [9]}).config == MLPConfig(hidden=(9,))


# --- checkpoints


def batches(shape: tuple[int, int, int], steps: int) -> DataLoader[tuple[Tensor, ...]]:
    """Eight images a step."""
    return DataLoader(TensorDataset(images(8 * steps, shape), LABELS.repeat(steps)), batch_size=8)


def trained(module: Classifier, steps: int = 1) -> Trainer:
    """After `steps` steps of eight images."""
    trainer = untrained()
    loader = batches(tuple(module.hparams["input_shape"]), steps)
    trainer.fit(module, loader, loader)
    return trainer


def untrained() -> Trainer:
    return Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@every
def test_comes_back_from_its_checkpoint(config: ModelConfig, tmp_path: Path) -> None:
    shape, optim = (3, 28, 28), OptimConfig(lr=0.01, schedule="constant")
    module = classifier(config, shape, optim=optim, seed=5, extra={"config": {"name": "x"}})
    path = str(tmp_path / "x.ckpt")
    trained(module).save_checkpoint(path)
    assert torch.load(path, weights_only=True)["hyper_parameters"]["model"] == plain(config)
    x = images(4, shape)
    want = module.eval()(x)
    torch.manual_seed(1)  # nothing of the networks that come back is left to chance
    for loaded in (type(module).load_from_checkpoint(path), Classifier.load(path)):
        assert type(loaded) is type(module)
        assert (loaded.config, loaded.optim, loaded.seed) == (config, optim, 5)
        assert loaded.hparams["extra"] == {"config": {"name": "x"}}
        assert torch.equal(loaded.eval()(x), want)


def test_rows_of_the_confusion_are_the_true_classes() -> None:
    counts = Confusion(3)
    counts.update(torch.eye(3)[[0, 1, 1, 2]], torch.tensor([0, 0, 1, 0]))
    counts.update(torch.eye(3)[[2]], torch.tensor([0]))
    assert counts.compute().tolist() == [[1, 1, 2], [0, 1, 0], [0, 0, 0]]


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    """Unless asked to, load_from_checkpoint reads plain values and tensors only."""

    class Code:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").touch, ()

    module = LeNet()
    path = tmp_path / "a.ckpt"
    values = {
        "state_dict": module.state_dict(),
        "hyper_parameters": dict(module.hparams),
        "pytorch-lightning_version": "2",
    }
    torch.save({**values, "code": Code()}, path)
    with pytest.raises(pickle.UnpicklingError):
        LeNet.load_from_checkpoint(path)
    assert not (tmp_path / "ran").exists()
    torch.save(values, path)
    assert LeNet.load_from_checkpoint(path).config == LeNetConfig()


@pytest.mark.parametrize("load", [LeNet.load_from_checkpoint, Classifier.load])
def test_a_checkpoint_imports_nothing(load: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by way of Lightning's instantiator, which imports the class that a checkpoint names."""
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    module = LeNet()
    hyper = {
        **module.hparams,
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
        "model": {"family": "lenet", "class_path": "evil.Net"},
    }
    path = str(tmp_path / "a.ckpt")
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": hyper, "pytorch-lightning_version": "2"}, path)
    with pytest.raises(ConfigError, match="class_path"):
        load(path)
    assert "evil" not in sys.modules


class Tied(torch.nn.Module):
    """One weight used twice, and an attention, whose bias has another name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(784, 784), torch.nn.Linear(784, 784)
        self.b.weight = self.a.weight
        self.attention = torch.nn.MultiheadAttention(784, 1)
        self.out = torch.nn.Linear(784, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.a(x.flatten(1)))
        return self.out(self.attention(x, x, x)[0])


def test_tied_weights_are_stepped_once_and_no_bias_decays() -> None:
    module = fc2conv.Module(target=f"{__file__}:Tied", optim=OptimConfig(schedule="constant", weight_decay=0.1))
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, torch.optim.Optimizer)
    decay = [(p, group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]]
    names = {p: name for name, p in module.net.named_parameters()}
    assert sorted(names[p] for p, _ in decay) == sorted(names.values())
    assert {names[p] for p, weight_decay in decay if not weight_decay} == {n for n in names.values() if "bias" in n}


def test_kernels_lie_channels_last() -> None:
    weight = LeNet(LeNetConfig(channels=(6, 16))).net.get_parameter("conv2.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert not weight.is_contiguous()


@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_a_single_step_is_made_at_the_learning_rate(schedule: Any) -> None:
    """Plain SGD moves the weights by the rate times the gradient."""
    module = classifier(SoftmaxConfig(), optim=OptimConfig(name="sgd", lr=0.01, momentum=0.0, schedule=schedule))
    before = module.net[1].weight.detach().clone()
    module.loss(module(images()), LABELS).mean().backward()
    gradient = module.net[1].weight.grad.clone()
    trained(module)
    torch.testing.assert_close(module.net[1].weight.detach(), before - 0.01 * gradient)
