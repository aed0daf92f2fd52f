"""The page's engine against torch, which gets the same 16-bit weights: logits, predictions, gradients, training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from playground.conftest import MODELS, RUNGS, trained

from fc2conv.playground.networks import describe

pytestmark = pytest.mark.browser
NETWORKS = {**MODELS, **RUNGS}


@pytest.mark.parametrize("name", NETWORKS)
def test_it_gives_torchs_logits(
    name: str, data_dir: str, playground_data: dict[str, Any], engine_page: Path, open_page: Callable[..., Any]
) -> None:
    """Of 200 test images, to which it does all that the suite does: canvas, normalisation, permutation."""
    module, data = trained(*NETWORKS[name], data_dir)
    description = describe(Path("made-up"), module, data)
    with torch.no_grad():
        for values in module.parameters():
            values.copy_(values.half())
        indices = torch.arange(200)
        expected = module(data.transformed(data.source.test_images[indices], indices, "test")).numpy()
    pixels = data.source.test_images[:200].flatten(1).tolist()
    got = open_page(engine_page).evaluate(
        """([description, images]) => {
            const net = new network.Network(description);
            return images.map((pixels) => Array.from(net.forward(net.prepare(Uint8Array.from(pixels)))));
        }""",
        [description, pixels],
    )
    assert np.abs(np.array(got) - expected).max() < 1e-3
    assert (np.argmax(got, 1) == expected.argmax(1)).all()
