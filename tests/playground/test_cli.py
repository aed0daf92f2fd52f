"""`fc2conv playground` writes a page whole or not at all."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playground.made_up import checkpoint, record

from fc2conv.architectures.lenet import LeNetConfig
from fc2conv.architectures.softmax import SoftmaxConfig
from fc2conv.claims.arms import arms_of, trial
from fc2conv.claims.book import find
from fc2conv.cli import main
from fc2conv.playground import defaults, payload

NASTY = "</script><script>alert(1)</script>"


@pytest.fixture(autouse=True)
def at_the_top(data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the data lie in their usual place."""
    monkeypatch.chdir(Path(data_dir).parent)


def refused(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["playground", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_networks_of_ones_own(tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What their records say of them is text, whatever it is."""
    monkeypatch.setattr(defaults, "rungs", lambda runs_dir: [])
    monkeypatch.setattr(payload, "measured", partial(payload.measured, few=10))
    paths = [checkpoint(tmp_path / name, SoftmaxConfig(), data_dir) for name in ("one", "two")]
    record(tmp_path / "two", NASTY, (f"name={NASTY}",))
    page = tmp_path / "page.html"
    main(["playground", *map(str, paths), "--to", str(page)])
    text = page.read_text("utf-8")
    assert "alert(1)" in text
    assert NASTY not in text
    found = re.search(r'<script type="application/json" id="payload">(.*?)</script>', text, re.DOTALL)
    assert found
    networks: list[dict[str, Any]] = json.loads(found[1])["networks"]
    assert [(each["id"], each["title"]) for each in networks] == [("given1", "one"), ("given2", NASTY)]
    assert networks[1]["says"] == f"best.ckpt of two: name={NASTY}"
    assert networks[0]["curve"]["n"] == 1
    assert networks[0]["claim"] is None


def test_what_cannot_be_shown_leaves_no_page(
    tmp_path: Path, data_dir: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "rungs", lambda runs_dir: [])
    page = tmp_path / "page.html"
    page.write_text("the one before")
    blur = checkpoint(tmp_path / "blur", LeNetConfig(pool="blur"), data_dir)
    other = tmp_path / "notes.ckpt"
    other.write_text("no checkpoint")
    for path, said in (
        (tmp_path / "none.ckpt", "but there is no such file"),
        (other, "is damaged, or no checkpoint"),
        (blur, "the layer PoolLayer pool1 cannot be run"),
    ):
        assert refused(path, "--to", page) == 2
        assert said in capsys.readouterr().err
    assert page.read_text() == "the one before"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["blur", "notes.ckpt", "page.html"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused("--to", tmp_path / "none" / "page.html") == 2
    assert "--to: got" in capsys.readouterr().err


@pytest.mark.parametrize("default", [*defaults.NETWORKS[:5], defaults.RUNGS[3]], ids=lambda default: default.id)
def test_the_pages_own_networks_are_runs_of_the_claims(default: defaults.Default, tmp_path: Path) -> None:
    """The same folder, at the rate that the claim has chosen; what is no run of one has another."""
    (claim,) = find([default.claim])
    (arm,) = (arm for arm in arms_of(claim) if set(default.arm.split()) <= set(arm.overrides))
    found = defaults.trial_of(default, tmp_path)
    assert found.impossible is None
    assert found.config
    run = trial(arm, found.config.optim.lr, 0, tmp_path, quick=False)
    assert (found.folder == run.folder) == (not default.other)
    assert found.config.optim.lr in claim.rates
    assert set(default.other) <= set(found.overrides)


def test_a_missing_run_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Trained(Exception):
        pass

    def train(trials: Any, runs: Path) -> None:
        asked.append((len(trials), runs))
        raise Trained

    monkeypatch.setattr(defaults, "train", train)
    with pytest.raises(Trained):
        defaults.rungs(tmp_path)
    assert asked == [(4, tmp_path / "claims")]
