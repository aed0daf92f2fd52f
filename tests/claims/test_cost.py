"""What networks cost: counted by arithmetic, timed without a look at the times."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fc2conv.architectures import ARCHITECTURES
from fc2conv.claims import timing
from fc2conv.claims.cost import MODELS, OPERATIONS, PARALLEL, count
from fc2conv.claims.evidence import Arm, Evidence, Run
from fc2conv.compose import conf

pytestmark = pytest.mark.usefixtures("one_thread")


def test_every_model_is_there() -> None:
    """Of conf/model/, and the architectures that need no file; but for a module of the user's own."""
    named = {model.split()[0].removeprefix("model=") for model in MODELS}
    built_in = {name for name, architecture in ARCHITECTURES.items() if architecture.built_in}
    assert {path.stem for path in (conf() / "model").glob("*.yaml")} | built_in - {"module"} == named


def test_what_is_counted() -> None:
    """As in the tables of the models. An MLP keeps its image, both hidden layers, the logarithms of its outputs,
    and the label, of 8 bytes."""
    mlp = timing.cost("model=mlp")
    assert (mlp.params, mlp.macs, mlp.weights) == (269_322, 268_800, 16 * 269_322)
    assert mlp.kept == 4 * (784 + 256 + 256 + 10) + 8
    lenet = timing.cost("model=lenet")
    assert (lenet.params, lenet.macs) == (61_706, 416_520)
    # the image; maps before and after both poolings; hidden layers; outputs and label
    assert lenet.kept == 4 * (784 + 6 * 28**2 + 6 * 14**2 + 16 * 10**2 + 16 * 5**2 + 120 + 84 + 10) + 8


def test_a_tensor_that_two_layers_keep_counts_once() -> None:
    square = nn.Sequential(nn.Flatten(), nn.Linear(784, 8, bias=False), nn.Sigmoid(), nn.Sigmoid())
    # of each image its pixels, what each sigmoid gives, the loss's outputs and label; and the sum of the loss's weights
    assert timing.kept_bytes(square, 2) == 2 * (4 * (784 + 8 + 8 + 8) + 8) + 4


def test_the_identities_hold() -> None:
    assert all(check.holds for check in count())


def test_a_step_trains_and_a_prediction_does_not() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    before = [p.clone() for p in net.parameters()]
    images, labels = torch.randn(4, 1, 28, 28), torch.tensor([0, 1, 2, 3])
    assert not timing.prediction(net, images)().requires_grad
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))
    timing.training_step(net, images, labels)()
    assert not any(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


def test_models_are_timed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "REPETITIONS", 2)
    monkeypatch.setattr(timing, "LEAST", 0.0)
    threads = torch.get_num_threads()
    found = timing.time_models(["model=softmax", "model=mlp"])
    assert [(each.arm, each.repetition) for each in found] == [
        (model, repetition) for repetition in range(2) for model in ("model=softmax", "model=mlp")
    ]
    assert all(each.figures["train"] > 0 < each.figures["predict"] for each in found)
    assert found[0].figures["params"] == 7850
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_two_processes_train_together() -> None:
    found = timing.time_processes(["model=softmax"], [64])
    one, two = (f"model=softmax data.batch_size=64 trainer.devices={n}" for n in (1, 2))
    assert [each.arm for each in found] == [one, two] * timing.REPETITIONS
    for alone, together in zip(found[::2], found[1::2], strict=True):
        assert alone.figures["speedup"] == 1
        ratio = together.figures["images_per_second"] / alone.figures["images_per_second"]
        assert together.figures["speedup"] == pytest.approx(ratio)


def timed(arm: str, **figures: float) -> Arm:
    return Arm(arm, tuple(arm.split()), tuple(Run(i, figures) for i in range(11)))


def test_words_and_figure_of_the_models() -> None:
    figures = {"params": 1000.0, "macs": 7000.0, "train": 90.0, "predict": 30.0, "weights": 2048.0, "kept": 1536.0}
    evidence = Evidence("operations", (timed("model=mlp", **figures), timed("model=lenet", **figures)))
    assert OPERATIONS.describe
    assert "| mlp | 1,000 | 7,000 | 7.0 | 90 | 30 | 2 | 1.5 |" in OPERATIONS.describe(evidence)
    assert OPERATIONS.figure
    assert "Memory, bytes an image" in OPERATIONS.figure(evidence).to_json()


def test_words_and_figure_of_the_processes() -> None:
    evidence = Evidence(
        "parallel",
        tuple(
            timed(f"model={model} data.batch_size=32 trainer.devices={n}", images_per_second=1000.0 * n, speedup=n)
            for model in ("mlp", "lenet_modern")
            for n in (1, 2)
        ),
    )
    assert PARALLEL.describe
    lines = PARALLEL.describe(evidence)
    assert "| MLP | 32 | 1,000 | 2,000 | 2.00 |" in lines
    assert "GPUs: **undecided**" in lines[0]
    assert PARALLEL.figure
    assert "LeNet, two" in PARALLEL.figure(evidence).to_json()
