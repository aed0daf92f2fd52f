"""The workspace and the report as objects: what they show of which records. No run, no server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from fc2conv.record.result import Result
from fc2conv.report import workspace as room
from fc2conv.report.workspace import PANELS, Sweep, sweeps_of


def run(*overrides: str, group: str | None = "kernel_size", model: str = "lenet", wandb_id: str | None = "a") -> Result:
    said = dict(o.split("=") for o in overrides)
    config = {"logger": {"wandb": {"group": group}}}
    return Result(
        "done",
        "0" * 16,
        "name",
        model,
        int(said.get("seed", 0)),
        list(overrides),
        config,
        {"total": 5},
        wandb_id=wandb_id,
    )


def grid(group: str = "kernel_size") -> list[Result]:
    return [
        run("model.padding=same", f"model.kernel_size={k}", f"seed={s}", "trainer.threads=1", group=group)
        for k in (3, 5)
        for s in (0, 1)
    ]


def made(sweeps: Sequence[Sweep]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON of workspace and report."""
    objects: list[Any] = [room.workspace("ada", "p", sweeps), room.report("ada", "p", sweeps)]
    first, second = (each._to_model().spec.model_dump_json(by_alias=True, exclude_none=True) for each in objects)
    return json.loads(first), json.loads(second)


def sections(space: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = space["section"]["panelBankConfig"]["sections"]
    return found


def test_a_section_for_each_sweep() -> None:
    runs = [*grid("b"), *grid("A"), run("model=mlp", group=None), run(group="not there", wandb_id=None)]
    sweeps = sweeps_of(runs)
    assert [(s.name, s.group, len(s.runs)) for s in sweeps] == [("A", "A", 4), ("b", "b", 4), ("Single runs", None, 1)]
    space, report = made(sweeps)
    assert [section["name"] for section in sections(space)] == ["A", "b", "Single runs"]
    assert [len(section["panels"]) for section in sections(space)] == [len(PANELS)] * 2 + [len(PANELS) - 1]
    texts = [b["children"][0]["text"] for b in report["blocks"] if b["type"] in ("heading", "paragraph")]
    assert texts[1:3] == ["A", "4 runs, 2 seeds. What varies: kernel_size."]
    assert texts[5:7] == ["Single runs", "1 run, 1 seed. Nothing but the seed varies."]


@pytest.mark.parametrize(
    ("runs", "keys"),
    [
        (grid(), ["kernel_size"]),
        ([run("seed=0"), run("seed=1")], []),
        ([run("model=mlp", model="mlp"), run("model=lenet")], ["model"]),
        ([run(model="mlp"), run()], ["model"]),
        ([run("optim.lr=0.1"), run("optim.lr=0.2", "optim.name=sgd")], ["lr", "optim_name"]),
        ([run("data.batch_size=1", "name=a"), run("data.batch_size=2", "name=b")], ["batch_size"]),
        ([run("optim=sgd"), run("optim=adamw")], ["optim"]),
    ],
)
def test_only_keys_that_vary_are_axes(runs: list[Result], keys: list[str]) -> None:
    (sweep,) = sweeps_of(runs)
    assert sweep.varied() == keys
    parallel = [p for p in sections(made([sweep])[0])[0]["panels"] if p["viewType"] == "Parallel Coordinates Plot"]
    axes = [[column["accessor"] for column in p["config"]["columns"]] for p in parallel]
    want = [f"config:{key}.value" for key in keys]
    assert axes == ([[*want, "config:parameters.value", "summary:val/acc"]] if keys else [])


def test_what_the_panels_show() -> None:
    space, report = made(sweeps_of(grid()))
    panels = sections(space)[0]["panels"]
    (grid_block,) = (block for block in report["blocks"] if block["type"] == "panel-grid")
    assert [p["viewType"] for p in panels] == [
        p["viewType"] for p in grid_block["metadata"]["panelBankSectionConfig"]["panels"]
    ]
    scatter = [p["config"] for p in panels if p["viewType"] == "Scatter Plot"]
    assert [(c["xAxis"], c["yAxis"], c["xAxisLogScale"]) for c in scatter] == [
        ("config:parameters.value", "summary:val/acc", True),
        ("config:macs.value", "summary:val/acc", True),
    ]
    curves = [p["config"] for p in panels if p["viewType"] == "Run History Line Plot"]
    assert [c["metrics"] for c in curves] == [["val/acc"], ["train/loss"], ["images_per_second"]]
    for curve in curves:  # one line for each configuration, over its seeds
        assert (curve["xAxis"], curve["groupBy"], curve["aggregate"]) == ("epoch", "configuration.value", True)
        assert (curve["groupAgg"], curve["groupArea"]) == ("mean", "stddev")
    charts = [p["config"] for p in panels if p["viewType"] == "Vega2"]
    assert [c["panelDefId"] for c in charts] == ["wandb/confusion_matrix/v1", "wandb/bar/v0"]
    (importance,) = (p["config"] for p in panels if p["viewType"] == "Parameter Importance")
    assert importance["targetKey"] == "val/acc"


def test_panels_do_not_overlap() -> None:
    (grid_block,) = (block for block in made(sweeps_of(grid()))[1]["blocks"] if block["type"] == "panel-grid")
    taken: set[tuple[int, int]] = set()
    for panel in grid_block["metadata"]["panelBankSectionConfig"]["panels"]:
        at = panel["layout"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


@pytest.mark.parametrize("name", ["kernel_size", "a=b", "it's", 'say "x"', "a < b >= c", "not in", "日本 <script>"])
def test_a_sweep_of_any_name_finds_its_runs(name: str) -> None:
    """W&B's text form of filters changes some of these."""
    space, report = made(sweeps_of([*grid(name), run(group=None)]))
    group = {"key": {"section": "run", "name": "group"}, "disabled": False}
    assert space["section"]["runSets"][0]["filters"]["filters"] == [
        group | {"op": "IN", "value": [name]},
        group | {"op": "=", "value": None, "connector": "OR"},
    ]
    blocks = [block for block in report["blocks"] if block["type"] == "panel-grid"]
    found = [block["metadata"]["runSets"][0]["filters"]["filters"] for block in blocks]
    assert found == [[group | {"op": "IN", "value": [name]}], [group | {"op": "=", "value": None}]]


def test_the_table_has_the_keys_that_vary_first() -> None:
    space, report = made(sweeps_of(grid()))
    (grid_block,) = (block for block in report["blocks"] if block["type"] == "panel-grid")
    for runset in (space["section"]["runSets"][0], grid_block["metadata"]["runSets"][0]):
        columns = runset["runFeed"]["columnOrder"]
        assert columns[:3] == ["run:displayName", "config:kernel_size.value", "config:seed.value"]
        assert "summary:test/acc" in columns
        assert runset["sort"]["keys"] == [{"key": {"section": "summary", "name": "val/acc"}, "ascending": False}]


def test_it_is_the_same_each_time() -> None:
    """Also the ids of panels: what a reader changes in one is kept by its id."""
    (one, report), (other, again) = made(sweeps_of(grid())), made(sweeps_of(grid()))
    assert (one, report["blocks"]) == (other, again["blocks"])
    ids = [
        panel["__id__"]
        for section in sections(made(sweeps_of([*grid(), *grid("b")]))[0])
        for panel in section["panels"]
    ]
    assert len(ids) == len(set(ids)) == 2 * len(PANELS)
