"""The page's engine against torch, which gets the same 16-bit weights: what a network sees, answers and learns."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from playground.conftest import MODELS
from playground.torch_side import RUNGS

from fc2conv.data.image_data import ImageData
from fc2conv.data.sources import Images
from fc2conv.training.classifier import Classifier

pytestmark = pytest.mark.browser

Networks = dict[str, tuple[Classifier, ImageData]]
Open = Callable[..., Any]


@pytest.fixture
def described(playground_data: dict[str, Any]) -> dict[str, Any]:
    """Name -> description."""
    return {each["id"]: each for each in (*playground_data["networks"], *playground_data["rungs"])}


@pytest.fixture
def engine(engine_page: Path, open_page: Open) -> Any:
    """The open page."""
    return open_page(engine_page)


def pixels(images: torch.Tensor) -> list[list[int]]:
    found: list[list[int]] = images.flatten(1).tolist()
    return found


@pytest.mark.parametrize("name", [*MODELS, *RUNGS])
def test_it_gives_torchs_logits(name: str, small_networks: Networks, described: dict[str, Any], engine: Any) -> None:
    """Of 200 test images, to which it does all that the suite does: canvas, normalisation, permutation."""
    module, data = small_networks[name]
    indices = torch.arange(200)
    with torch.no_grad():
        expected = module(data.transformed(data.source.test_images[indices], indices, "test")).numpy()
    got = engine.evaluate(
        """([description, images]) => {
            const net = new network.Network(description);
            return images.map((pixels) => Array.from(net.forward(net.prepare(Uint8Array.from(pixels)))));
        }""",
        [described[name], pixels(data.source.test_images[indices])],
    )
    assert np.abs(np.array(got) - expected).max() < 1e-3
    assert (np.argmax(got, 1) == expected.argmax(1)).all()


@pytest.mark.parametrize("name", ["mlp", "mlp_permuted"])
@pytest.mark.parametrize("shift", [(3, 0), (-9, 2), (0, -20)])
def test_it_moves_images_as_the_suite_does(
    name: str, shift: tuple[int, int], small_networks: Networks, described: dict[str, Any], engine: Any
) -> None:
    """Partly out of sight, too; before the pixels are permuted."""
    data = small_networks[name][1]
    moved = ImageData(replace(data.config, shift=shift))
    moved.setup()
    seen = moved.seen(torch.arange(5))
    got = engine.evaluate(
        """([description, images, right, down]) => {
            const net = new network.Network(description);
            return images.map((pixels) => Array.from(net.seen(Uint8Array.from(pixels), 8 + right, 8 + down)));
        }""",
        [described[name], pixels(data.source.test_images[:5]), *shift],
    )
    assert got == pixels(seen)


def test_a_rung_averages_a_whole_image(small_networks: Networks, described: dict[str, Any], engine: Any) -> None:
    whole: Images = small_networks["mlp"][1].source
    small: Images = small_networks["dense"][1].source
    got = engine.evaluate(
        """([description, images]) => {
            const net = new network.Network(description);
            return images.map((pixels) => Array.from(net.seen(Uint8Array.from(pixels))));
        }""",
        [described["dense"], pixels(whole.test_images[:20])],
    )
    assert got == pixels(small.test_images[:20])


def test_probabilities_and_the_loss_are_torchs(engine: Any) -> None:
    logits = [0.5, -2.0, 30.0, 29.0]
    got = engine.evaluate(
        """logits => {
            const { loss, gradient } = network.crossEntropy(Float32Array.from(logits), 3);
            return [loss, Array.from(gradient), Array.from(network.softmax(Float32Array.from(logits)))];
        }""",
        logits,
    )
    given = torch.tensor([logits], requires_grad=True)
    loss = F.cross_entropy(given, torch.tensor([3]))
    (gradient,) = torch.autograd.grad(loss, given)
    assert got[0] == pytest.approx(loss.item(), rel=1e-6)
    assert got[1] == pytest.approx(gradient[0].tolist(), abs=1e-6)
    assert got[2] == pytest.approx(given.detach().softmax(1)[0].tolist(), abs=1e-6)


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "linear4", "output"])
def test_the_way_back_from_any_layer_is_autograds(
    layer: str, small_networks: Networks, described: dict[str, Any], engine: Any
) -> None:
    """From one unit of LeNet to the image, as for its receptive field; the weights' gradients stay as they are."""
    module, data = small_networks["lenet"]
    names = [row.name for row in module.geometry.rows]
    at = names.index(layer)
    image = data.source.test_images[:1]
    x = data.transformed(image, torch.arange(1), "test").requires_grad_()
    output = module.net[: at + 1](x).flatten()  # type: ignore[index]
    unit = int(output.argmax())
    (expected,) = torch.autograd.grad(output[unit], x)
    got, touched = engine.evaluate(
        """([description, image, at, unit]) => {
            const net = new network.Network(description);
            net.forward(net.prepare(Uint8Array.from(image)));
            const one = new Float32Array(net.outputs[at].length);
            one[unit] = 1;
            const back = Array.from(net.backward(one, at, { weights: false }));
            return [back, net.layers.some((each) => each.weightGradient?.some((g) => g !== 0))];
        }""",
        [described["lenet"], pixels(image)[0], at, unit],
    )
    assert near(got, expected)
    assert not touched


def near(got: Any, expected: torch.Tensor, tolerance: float = 1e-4) -> bool:
    """Whether they agree relative to the largest value."""
    want = expected.detach().double().flatten()
    difference = (torch.tensor(got, dtype=torch.float64).flatten() - want).abs().max()
    return bool(difference <= tolerance * want.abs().max())


OPTIMIZERS: dict[str, tuple[str, Callable[[list[torch.Tensor]], torch.optim.Optimizer]]] = {
    "AdamW": (
        "new optimizer.AdamW(net, { lr: 0.02, weightDecay: 0.1 })",
        lambda parameters: torch.optim.AdamW(parameters, lr=0.02, weight_decay=0.1),
    ),
    "AdamW, other betas": (
        "new optimizer.AdamW(net, { lr: 0.01, betas: [0.5, 0.9], eps: 1e-3 })",
        lambda parameters: torch.optim.AdamW(parameters, lr=0.01, betas=(0.5, 0.9), eps=1e-3),
    ),
    "SGD": (
        "new optimizer.SGD(net, { lr: 0.1, momentum: 0.9, weightDecay: 0.01 })",
        lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_learn_as_torchs_do(name: str, engine: Any) -> None:
    """Five steps with the same gradients, of four images each."""
    made, torchs = OPTIMIZERS[name]
    torch.manual_seed(0)
    weight, bias = torch.nn.Parameter(torch.randn(3, 7)), torch.nn.Parameter(torch.randn(3))
    start = [weight.flatten().tolist(), bias.tolist()]
    gradients = [(torch.randn(3, 7), torch.randn(3)) for _ in range(5)]
    learner = torchs([weight, bias])
    for weight.grad, bias.grad in gradients:
        learner.step()
    got = engine.evaluate(
        """([[weight, bias], gradients]) => {
            const shapes = { weight: { shape: [3, 7] }, bias: { shape: [3] } };
            const only = { name: "output", kind: "linear", input: [7], output: [3], ...shapes };
            const net = new network.Network({ input: [7], layers: [only] });
            const [layer] = net.layers;
            layer.weight.set(weight);
            layer.bias.set(bias);
            const learner = MADE;
            for (const [weights, biases] of gradients) {
                layer.weightGradient.set(weights.map((g) => 4 * g));
                layer.biasGradient.set(biases.map((g) => 4 * g));
                learner.step(4);
                net.zeroGradients();
            }
            return [Array.from(layer.weight), Array.from(layer.bias)];
        }""".replace("MADE", made),
        [start, [[w.flatten().tolist(), b.tolist()] for w, b in gradients]],
    )
    assert near(got[0], weight, 1e-5)
    assert near(got[1], bias, 1e-5)


@pytest.mark.parametrize("name", RUNGS)
def test_a_page_describes_the_rungs_as_the_suite_does(name: str, described: dict[str, Any], engine: Any) -> None:
    got = engine.evaluate("name => network.describe(name, 4, 2, [1, 14, 14], 10)", name)
    expected = deepcopy(described[name])  # all tests share the payload
    for layer in expected["layers"]:
        for part in ("weight", "bias"):
            if part in layer:
                del layer[part]["data"]
    assert got["layers"] == expected["layers"]
    keys = ("input", "image", "fill", "permutation", "params", "macs")
    assert {key: got[key] for key in keys} == {key: expected[key] for key in keys}


@pytest.mark.parametrize("name", RUNGS)
def test_fresh_weights_are_glorots(name: str, engine: Any) -> None:
    """Uniform between the bounds of nets/build.py, biases between torch's; another seed draws others."""
    fans = {"dense": (196, 784), "local": (25, 100), "shared": (196, 784), "conv": (25, 100)}[name]
    draw = """([name, seed]) => {
        const net = network.Network.fresh(network.describe(name, 4, 2, [1, 14, 14], 10), seed);
        return [0, 3].flatMap((i) => [Array.from(net.layers[i].weight), Array.from(net.layers[i].bias)]);
    }"""
    found, again, other = (engine.evaluate(draw, [name, seed]) for seed in (1, 1, 2))
    bounds = ((6 / sum(fans)) ** 0.5, fans[0] ** -0.5, (6 / (784 + 10)) ** 0.5, 784**-0.5)
    assert found == again
    for values, others, bound in zip(found, other, bounds, strict=True):
        assert values != others
        assert max(map(abs, values)) <= bound * (1 + 1e-6)
        if len(values) > 90:
            assert np.std(values) == pytest.approx(bound / 3**0.5, rel=0.15)


def test_a_fresh_rung_learns(playground_data: dict[str, Any], engine: Any) -> None:
    got = engine.evaluate(
        """([rung, {train}]) => {
            const net = network.Network.fresh(rung, 0);
            const learner = new optimizer.AdamW(net, { lr: 0.01 });
            const [pixels, labels] = [half.bytes(train.pixels), half.bytes(train.labels)];
            const image = (i) => net.prepare(pixels.subarray(196 * i, 196 * (i + 1))).slice();
            const images = Array.from({ length: 300 }, (_, i) => image(i));
            const before = network.accuracy(net, images, labels);
            for (let epoch = 0; epoch < 5; epoch++) {
                images.forEach((x, i) => {
                    net.backward(network.crossEntropy(net.forward(x), labels[i]).gradient);
                    if (i % 20 === 19) { learner.step(20); net.zeroGradients(); }
                });
            }
            return [before, network.accuracy(net, images, labels)];
        }""",
        [playground_data["rungs"][3], playground_data["small"]],
    )
    assert got[0] < 0.3
    assert got[1] > 0.8


def test_all_16_bit_floats_are_read_exactly(engine: Any) -> None:
    import base64

    bits = np.arange(2**16, dtype="<u2")
    expected = bits.view(np.float16).astype(np.float64)
    got = engine.evaluate("text => Array.from(half.halves(text), String)", base64.b64encode(bits.tobytes()).decode())
    assert np.array_equal(np.array([float(text) for text in got]), expected, equal_nan=True)


def test_a_seed_repeats_a_shuffle(engine: Any) -> None:
    shuffle = "seed => Array.from(random.shuffled(500, random.generator(seed)))"
    one, again, other = (engine.evaluate(shuffle, seed) for seed in (7, 7, 8))
    assert one == again != other
    assert sorted(one) == list(range(500))
