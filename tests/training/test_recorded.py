"""recorded.py and a run with `release`: it begins as the function that its checkpoint computes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

import fc2conv
from fc2conv.compose import compose_config, parse_composed
from fc2conv.config.identity import differing, hashed, identity_of
from fc2conv.config.schema import Config
from fc2conv.errors import ConfigError, Pruned
from fc2conv.training.distributed import Processes
from fc2conv.training.recorded import released, sha256
from fc2conv.training.run import Request, _prepared, run

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = ("data.train_size=100", "data.val_size=50", "data.batch_size=50", "data.size=14", "data.normalise=unit")
QUIET = ("logger=csv", "trainer=cpu", "trainer.progress=false")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Callable[[str], Path]:
    """Constraint of the ladder, or softmax -> the best checkpoint of such a network."""
    top, known = tmp_path_factory.mktemp("trained"), {}

    def checkpoint(name: str) -> Path:
        if name not in known:
            ladder = ("model=ladder", f"model.constraint={name}", "model.channels=2")
            model = ladder if name != "softmax" else ("model=softmax",)
            where = (f"runs_dir={top}", f"name={name}", f"data.dir={data_dir}", "trainer.max_epochs=1")
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("fc2conv.pictures.folder.images", lambda *of: {})
                patch.setattr("fc2conv.pictures.folder.save_curves", lambda *of: [])
                fc2conv.run(*model, *SMALL, *QUIET, *where, "optim.lr=0.02", "seed=3")
            known[name] = top / name / "checkpoints" / "best.ckpt"
        return known[name]

    return checkpoint


@pytest.fixture
def conv(trained: Callable[[str], Path]) -> Path:
    return trained("conv")


def of(*overrides: str) -> Config:
    composed, written, _ = compose_config(overrides)
    return released(parse_composed(composed), written)


@pytest.mark.parametrize(
    ("constraint", "release", "left"),
    [
        ("conv", "sharing", "local"),
        ("conv", "locality", "shared"),
        ("conv", "both", "dense"),
        ("local", "locality", "dense"),
        ("shared", "sharing", "dense"),
    ],
)
def test_it_begins_as_the_same_function(
    trained: Callable[[str], Path], constraint: str, release: str, left: str
) -> None:
    ckpt = trained(constraint)
    config = of(f"ckpt={ckpt}", f"release={release}", "seed=1")
    assert getattr(config.model, "constraint", None) == left
    data, module, _ = _prepared(config, Processes())
    images = data.transformed(data.source.test_images[:40], torch.arange(40), "test")
    with torch.no_grad():
        logits, before = module.net(images), fc2conv.Classifier.load(str(ckpt)).net(images)
    assert before.std() > 0.01
    assert_close(logits, before, rtol=0, atol=1e-5)
    assert all(p.requires_grad for p in module.net.parameters())


def test_its_keys_are_the_checkpoints_where_none_are_written(conv: Path, tmp_path: Path) -> None:
    config = of(f"ckpt={conv}", "release=sharing", "data.batch_size=25", f"runs_dir={tmp_path}", "trainer.max_epochs=2")
    assert (config.data.size, config.data.batch_size, config.optim.lr, config.seed) == (14, 25, 0.02, 3)
    assert (config.trainer.max_epochs, config.runs_dir, config.name) == (2, str(tmp_path), None)


def test_the_record_and_the_identity_have_the_release_and_the_checkpoint(
    conv: Path, trained: Callable[[str], Path], tmp_path: Path
) -> None:
    result = fc2conv.run(f"ckpt={conv}", "release=sharing", *QUIET, f"runs_dir={tmp_path}", "name=on")
    assert result is not None
    assert (result.status, result.model, result.family) == ("done", "ladder", "ladder")
    assert result.config["model"]["constraint"] == "local"
    assert result.config["release"] == "sharing"
    assert result.config["ckpt_sha256"] == sha256(conv)
    config = of(f"ckpt={conv}", "release=sharing")
    assert result.identity == hashed(identity_of(config))
    fresh = replace(config, ckpt=None, release=None, ckpt_sha256=None)
    assert identity_of(config) == identity_of(fresh) | {"release": "sharing", "ckpt": sha256(conv)}
    assert differing(config, replace(config, ckpt_sha256="0")) == ["ckpt"]
    # its own checkpoint is tested, and released further, as any other
    own = tmp_path / "on" / "checkpoints" / "best.ckpt"
    tested = fc2conv.run("task=test", f"ckpt={own}")
    assert tested is not None
    assert tested.test == result.test
    assert getattr(of(f"ckpt={own}", "release=locality").model, "constraint", None) == "dense"


def test_it_goes_on_without_the_checkpoint_it_began_from(conv: Path, tmp_path: Path) -> None:
    """As the run that was not interrupted, to the bit."""
    mine = tmp_path / "mine.ckpt"
    mine.write_bytes(conv.read_bytes())
    config = of(f"ckpt={mine}", "release=both", *QUIET, f"runs_dir={tmp_path}", "trainer.max_epochs=2")
    whole = run(Request(replace(config, name="whole")))
    with pytest.raises(Pruned):
        run(Request(replace(config, name="part"), should_prune=lambda epoch, metrics: True))
    mine.unlink()
    on = fc2conv.run(f"resume={tmp_path}/part")
    assert on is not None
    assert whole is not None
    assert (on.identity, on.val, on.test, on.epochs) == (whole.identity, whole.val, whole.test, 2)


def test_a_checkpoint_that_changed_is_refused(conv: Path, tmp_path: Path) -> None:
    config = of(f"ckpt={conv}", "release=sharing", f"runs_dir={tmp_path}")
    with pytest.raises(ConfigError, match=r"ckpt: .*best\.ckpt is not what it was when the run began"):
        run(Request(replace(config, ckpt_sha256="0" * 64)))
    assert not list(tmp_path.iterdir())


MISTAKES: list[tuple[tuple[str, ...], str]] = [
    (("release=sharing",), "ckpt: got null, expected a trained network: ckpt=PATH release=sharing"),
    (("release=sharing", "ckpt=no.ckpt"), "ckpt: got no.ckpt, but there is no such file"),
    (("ckpt={conv}",), "ckpt: got {conv}, but task=train reads none; use task=test, release=sharing, or resume=RUN"),
    (("ckpt={conv}", "release=sharing", "task=test"), "release: got sharing, expected null with task=test"),
    (("ckpt={conv}", "release=sharing", "model.hidden=[3]", "model=mlp"), "model.hidden: got [3], but release takes"),
    (("ckpt={conv}", "release=sharing", "match.params=9"), "match.params: got 9, but release takes the network from"),
    (("ckpt={conv}", "release=sharing", "data.size=28"), "data: images are 1x28x28, but {conv} takes 1x14x14"),
    (("ckpt={conv}", "release=sharing", "ckpt_sha256=0"), "ckpt_sha256: got 0, but it is written by the run"),
    (("ckpt={conv}", "release=sharing", "debug=fast"), "debug: cannot be combined with release"),
    (
        ("ckpt={local}", "release=sharing"),
        "release: got sharing, but the network has constraint=local; expected loc",
    ),
    (
        ("ckpt={dense}", "release=both"),
        "release: got both, but the network has constraint=dense; nothing is left",
    ),
    (("ckpt={softmax}", "release=both"), "release: got both, but softmax cannot be released; ladder can"),
]


@pytest.mark.parametrize(("overrides", "message"), MISTAKES, ids=[" ".join(o) for o, _ in MISTAKES])
def test_mistakes(overrides: tuple[str, ...], message: str, trained: Callable[[str], Path], tmp_path: Path) -> None:
    paths = {name: trained(name) for name in re.findall(r"ckpt=\{(\w+)\}", " ".join(overrides))}
    with pytest.raises(ConfigError) as refused:
        fc2conv.run(*(o.format(**paths) if o.startswith("ckpt=") else o for o in overrides), f"runs_dir={tmp_path}")
    assert str(refused.value).startswith(message.format(**paths))
    assert not list(tmp_path.iterdir())
