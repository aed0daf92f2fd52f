"""Sweep files: ours are W&B's too, what is read of them, and what is refused by name."""

from __future__ import annotations

import copy
import importlib.util
import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from jsonschema import Draft7Validator
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from wandb_server import wandb_server

from fc2conv.compose import parse_composed, plan_of, register_schema
from fc2conv.config.schema import WandbConfig
from fc2conv.errors import ConfigError
from fc2conv.nets.build import build
from fc2conv.record.result import Result
from fc2conv.sweep.search_space import Hyperband, SweepFile, find, read

ROOT = Path(__file__).parent.parent.parent
FILES = sorted((ROOT / "sweeps").glob("*.yaml"))
GRIDS = [path for path in FILES if yaml.safe_load(path.read_text())["method"] == "grid"]

each = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
each_grid = pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)


def test_there_are_files() -> None:
    assert {read(path).method for path in FILES} >= {"grid", "bayes"}


# --- W&B's side


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    """W&B's own, out of its package `sweeps`, which is not imported: it warns."""
    package = importlib.util.find_spec("sweeps")
    if package is None or not package.submodule_search_locations:
        pytest.fail("W&B's package sweeps is not installed; run make setup")
    return Draft7Validator(json.loads((Path(package.submodule_search_locations[0]) / "config/schema.json").read_text()))


@each
def test_wandb_accepts(path: Path, schema: Draft7Validator) -> None:
    assert [error.message for error in schema.iter_errors(yaml.safe_load(path.read_text()))] == []


@each
def test_wandb_shows_what_it_is_about(path: Path) -> None:
    shown = yaml.safe_load(path.read_text())
    assert (shown["name"], shown["project"]) == (path.stem, WandbConfig().project)
    assert shown["description"].endswith((".", "?"))


@pytest.mark.parametrize(
    "change",
    [
        {"method": "gird"},
        {"metod": "grid"},
        {"parameters": {"seed": {"vales": [0]}}},
        {"parameters": {"seed": {"min": 0}}},
        {"run_cap": 0},
        {"early_terminate": {"type": "hyperband"}},
    ],
    ids=str,
)
def test_wandb_refuses_a_broken_file(change: dict[str, Any], schema: Draft7Validator) -> None:
    assert not schema.is_valid(yaml.safe_load(FILES[0].read_text()) | change)


def agent(point: dict[str, Any]) -> list[str]:
    """What W&B's agent puts in the place of ${args_no_hyphens}."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

    made = create_sweep_command_args({"args": {key: {"value": value} for key, value in point.items()}})
    return list(made["args_no_hyphens"])


def listed(path: Path) -> dict[str, list[Any]]:
    """Key -> its values by W&B's words; a range's are its ends."""
    parameters = yaml.safe_load(path.read_text())["parameters"]
    return {
        key: [p["value"]] if "value" in p else p["values"] if "values" in p else [p["min"], p["max"]]
        for key, p in parameters.items()
    }


def grid(path: Path) -> list[dict[str, Any]]:
    values = listed(path)
    return [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]


def corners(path: Path) -> list[dict[str, Any]]:
    """One point for each value of each key, the others at their first."""
    values = listed(path)
    first = {key: found[0] for key, found in values.items()}
    return [first, *(first | {key: value} for key, found in values.items() for value in found[1:])]


@pytest.fixture(scope="module")
def hydra() -> Iterator[None]:
    """Hydra at our conf/, for `compose`."""
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        yield


def points(path: Path) -> list[dict[str, Any]]:
    """All of a grid, or a search's corners; with one of its seeds."""
    found = [p for p in (grid(path) if path in GRIDS else corners(path)) if p.get("seed", 0) == 0]
    assert found
    return found


def quickly(overrides: list[str], bases: dict[str, DictConfig]) -> DictConfig:
    """`compose`, which takes a fifth of a second, once for each choice of a group; the values, which Hydra parses too,
    are then set in a copy."""
    parsed = OverridesParser.create().parse_overrides(overrides)
    choices = [str(o.input_line) for o in parsed if "." not in o.key_or_group]
    if str(choices) not in bases:
        bases[str(choices)] = compose("config", choices)
    config = copy.deepcopy(bases[str(choices)])
    for override in parsed:
        if "." in override.key_or_group:
            OmegaConf.update(config, override.key_or_group, override.value())
    return config


@each
def test_what_wandbs_agent_calls_can_be_trained(path: Path, hydra: None) -> None:
    bases: dict[str, DictConfig] = {}
    configs = [parse_composed(quickly(agent(point), bases)) for point in points(path)]
    geometries = [plan_of(config) for config in configs]
    assert all(geometry.rows[-1].output == (10,) for geometry in geometries)
    assert len(set(configs)) == len(configs)  # no two points are the same run
    network = build(geometries[-1])
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == geometries[-1].params


@each
def test_hydra_composes_what_wandbs_agent_calls(path: Path, hydra: None) -> None:
    """One point all the way; below, all of them."""
    overrides = agent(points(path)[-1])
    assert parse_composed(compose("config", overrides)) == parse_composed(quickly(overrides, {}))


@pytest.mark.slow
@each
def test_hydra_composes_all_that_wandbs_agent_calls(path: Path, hydra: None) -> None:
    bases: dict[str, DictConfig] = {}
    for overrides in map(agent, points(path)):
        assert parse_composed(compose("config", overrides)) == parse_composed(quickly(overrides, bases))


def test_the_agents_values_arrive(hydra: None) -> None:
    """null is None there, a list has blanks, and text in a list its quotes."""
    point = {"model": "lenet_modern", "model.channels": [2, 4], "model.padding": ["same", 0], "data.train_size": None}
    overrides = agent(point)
    assert overrides[1:] == ["model.channels=[2, 4]", "model.padding=['same', 0]", "data.train_size=None"]
    config = parse_composed(compose("config", [*overrides, *agent({"model.bias": False, "optim.lr": 1e-3})]))
    model = config.model
    assert (model.channels, model.padding, model.bias) == ((2, 4), ("same", 0), False)  # type: ignore[union-attr]
    assert (config.data.train_size, config.optim.lr) == (None, 0.001)


@each
def test_the_command_is_wandbs_and_gives_hydras_overrides(path: Path) -> None:
    values = yaml.safe_load(path.read_text())
    assert values["command"] == ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
    assert (ROOT / values["program"]).is_file()
    assert values["metric"] == {"name": "val/acc", "goal": "maximize"}


@each_grid
def test_our_overrides_are_the_agents(path: Path) -> None:
    file = read(path)
    ours = [sorted([*file.constants(), *point]) for point in file.points()]
    assert ours == [sorted(agent(point)) for point in grid(path)]


# --- what is read


def written(folder: Path, text: str) -> Path:
    path = folder / "question.yaml"
    path.write_text(text)
    return path


GRID = "method: grid\nparameters:\n  {}\n"
BAYES = "method: bayes\nmetric: {{name: val/acc, goal: maximize}}\nrun_cap: 9\nparameters:\n  {}\n"
E = math.e


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        # named
        ("{distribution: categorical, values: [3, 5]}", CategoricalDistribution(["3", "5"])),
        ("{distribution: int_uniform, min: 2, max: 5}", IntDistribution(2, 5)),
        ("{distribution: uniform, min: 0, max: 1}", FloatDistribution(0.0, 1.0)),
        ("{distribution: q_uniform, min: 2, max: 10, q: 4}", IntDistribution(2, 10, step=4)),
        ("{distribution: q_uniform, min: 2, max: 10}", IntDistribution(2, 10)),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.25}", FloatDistribution(0.0, 1.0, step=0.25)),
        ("{distribution: log_uniform, min: -2, max: 3}", FloatDistribution(E**-2, E**3, log=True)),
        ("{distribution: log_uniform_values, min: 0.001, max: 0.1}", FloatDistribution(0.001, 0.1, log=True)),
        ("{distribution: inv_log_uniform, min: -2, max: 3}", FloatDistribution(E**-3, E**2, log=True)),
        ("{distribution: inv_log_uniform_values, min: 0.5, max: 4}", FloatDistribution(0.5, 4.0, log=True)),
        ("{distribution: q_log_uniform_values, min: 8, max: 512, q: 1}", IntDistribution(8, 512, log=True)),
        ("{distribution: q_log_uniform_values, min: 8, max: 512}", IntDistribution(8, 512, log=True)),
        ("{distribution: q_log_uniform, min: 0, max: 3}", IntDistribution(1, 20, log=True)),  # e^3 = 20.09
        # implied
        ("{values: [relu, gelu]}", CategoricalDistribution(["relu", "gelu"])),
        ("{min: 2, max: 5}", IntDistribution(2, 5)),
        ("{min: 0.0, max: 0.5}", FloatDistribution(0.0, 0.5)),
        ("{min: 0, max: 0.5}", FloatDistribution(0.0, 0.5)),
        # as written on the command line, whatever it is
        (
            "{values: [null, true, 1.5, [6, 16], same, [same, 0]]}",
            CategoricalDistribution(["None", "True", "1.5", "[6, 16]", "same", "['same', 0]"]),
        ),
    ],
)
def test_distributions(values: str, distribution: Any, tmp_path: Path) -> None:
    (parameter,) = read(written(tmp_path, BAYES.format(f"a.b: {values}"))).varied()
    found = parameter.distribution()
    assert parameter.key == "a.b"
    assert type(found) is type(distribution)
    if isinstance(found, FloatDistribution):
        assert (found.low, found.high) == pytest.approx((distribution.low, distribution.high), rel=1e-12)
        assert (found.log, found.step) == (distribution.log, distribution.step)
    else:
        assert found == distribution
    first = parameter.first()
    if isinstance(found, CategoricalDistribution):
        assert str(first) == found.choices[0]
    else:
        assert first == found.low


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ("{value: 3}", "a=3"),
        ("{distribution: constant, value: 3}", "a=3"),
        ("{values: [3]}", "a=3"),
        ("{value: null}", "a=None"),
        ("{value: [6, 16]}", "a=[6, 16]"),
    ],
)
def test_a_constant_is_not_searched(values: str, want: str, tmp_path: Path) -> None:
    file = read(written(tmp_path, BAYES.format(f"a: {values}\n  b: {{min: 0, max: 9}}")))
    assert file.constants() == [want]
    assert [p.key for p in file.varied()] == ["b"]


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ("{values: [5, 3]}", (5, 3)),
        ("{values: [null, true, [6, 16]]}", (None, True, [6, 16])),
        ("{value: null}", (None,)),
        ("{min: 2, max: 5}", (2, 3, 4, 5)),
        ("{distribution: int_uniform, min: -1, max: 1}", (-1, 0, 1)),
        ("{distribution: q_uniform, min: 2, max: 12, q: 4}", (2, 6, 10)),
        ("{distribution: q_uniform, min: 0, max: 1, q: 0.25}", (0.0, 0.25, 0.5, 0.75, 1.0)),
    ],
)
def test_grids(values: str, want: tuple[Any, ...], tmp_path: Path) -> None:
    (parameter,) = read(written(tmp_path, GRID.format(f"a: {values}"))).parameters
    assert parameter.grid() == want
    assert parameter.count() == len(want)
    assert [type(v) for v in parameter.grid()] == [type(v) for v in want]


def test_points_are_all_combinations_in_the_files_order(tmp_path: Path) -> None:
    file = read(written(tmp_path, GRID.format("a: {values: [1, 2]}\n  m: {value: x}\n  b: {values: [null, false]}")))
    assert file.constants() == ["m=x"]
    assert file.points() == [["a=1", "b=None"], ["a=1", "b=False"], ["a=2", "b=None"], ["a=2", "b=False"]]


def test_a_grid_is_counted_without_being_made(tmp_path: Path) -> None:
    ranges = (
        "a: {min: 0, max: 999999999}\n  b: {distribution: q_uniform, min: 0, max: 1, q: 0.25}\n  c: {values: [1, 2]}"
    )
    assert read(written(tmp_path, GRID.format(ranges))).count() == 10**9 * 5 * 2


@pytest.mark.parametrize("value", ["[2, 0]", "'a,b'", "{x: 1, y: 2}", "a b"])
def test_text_with_a_comma_that_is_one_value(value: str, tmp_path: Path) -> None:
    (parameter,) = read(written(tmp_path, GRID.format(f'a: {{value: "{value}"}}'))).parameters
    assert parameter.values == (value,)


def test_what_decides_how_a_search_proceeds(tmp_path: Path) -> None:
    """Not how many runs it makes, nor what all of them share."""
    text = BAYES.format("a: {values: [1, 2]}\n  b: {value: 3}")
    file = read(written(tmp_path, text))
    assert file.traits() == {"parameters.a": "CategoricalDistribution(choices=('1', '2'))"}
    assert read(written(tmp_path, text.replace("run_cap: 9", "run_cap: 99"))).traits() == file.traits()
    stopped = read(written(tmp_path, text + "early_terminate: {type: hyperband, min_iter: 1}\n"))
    assert stopped.traits() == file.traits() | {"early_terminate": {"min_iter": 1, "max_iter": None, "eta": 3}}
    assert read(written(tmp_path, GRID.format("a: {values: [1, 2]}"))).traits() == {}


def test_a_file_of_constants_is_one_point(tmp_path: Path) -> None:
    file = read(written(tmp_path, GRID.format("a: {value: 1}")))
    assert (file.constants(), file.points()) == (["a=1"], [[]])


def test_the_whole_of_a_file(tmp_path: Path) -> None:
    text = "name: n\ndescription: d\nproject: p\nentity: e\nprogram: train.py\nmethod: random\nrun_cap: 12\n"
    path = written(tmp_path, text + "parameters: {a: {value: 1}}\nearly_terminate: {type: hyperband, min_iter: 2}\n")
    file = read(path)
    assert isinstance(file, SweepFile)
    assert (file.path, file.method, file.run_cap, file.early_terminate) == (path, "random", 12, Hyperband(2, None, 3))


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ("{type: hyperband, min_iter: 4}", Hyperband(4, None, 3)),
        ("{type: hyperband, min_iter: 4, eta: 2, strict: false}", Hyperband(4, None, 2)),
        ("{type: hyperband, min_iter: 4, max_iter: 30}", Hyperband(4, 30, 3)),
        ("{type: hyperband, max_iter: 27, s: 2}", Hyperband(3, 27, 3)),  # 27 / 3^2
        ("{type: hyperband, max_iter: 100, s: 3, eta: 2}", Hyperband(12, 100, 2)),  # 100 / 2^3 = 12.5
        ("{type: hyperband, max_iter: 5, s: 9}", Hyperband(1, 5, 3)),
    ],
)
def test_hyperband(values: str, want: Hyperband, tmp_path: Path) -> None:
    file = read(written(tmp_path, BAYES.format("a: {value: 1}") + f"early_terminate: {values}\n"))
    assert file.early_terminate == want


# --- what is refused

HEAD = {"method": "random", "run_cap": 3, "parameters": {"a": {"values": [1, 2]}}}
MAXIMIZE = {"name": "val/acc", "goal": "maximize"}


def parameter(**values: Any) -> dict[str, Any]:
    return HEAD | {"parameters": {"a.b": values}}


def stop(**values: Any) -> dict[str, Any]:
    return HEAD | {"early_terminate": {"type": "hyperband", "min_iter": 1} | values}


SEVERAL = "which Hydra reads as several values; "
REFUSED: list[tuple[Any, str]] = [
    # text that the command line would take apart
    (
        parameter(values=["same", "2,0"]),
        f"parameters.a.b.values: got the text 2,0, {SEVERAL}for a list, write [2, 0]; ",
    ),
    (parameter(value="a,b"), f"parameters.a.b.value: got the text a,b, {SEVERAL}for a list, write [a, b]; for several"),
    (
        parameter(value="range(0,3)"),
        f"parameters.a.b.value: got the text range(0,3), {SEVERAL}for several values, list",
    ),
    # the file
    ([1, 2], "no sweep file: expected keys and values"),
    (None, "no sweep file: expected keys and values"),
    (HEAD | {"metod": "grid"}, "metod: is not done here; did you mean method?"),
    (HEAD | {"controller": {"type": "local"}}, "controller: is not done here. Known: program, "),
    (HEAD | {"method": "custom"}, "method: got custom, expected one of grid, random, bayes"),
    ({k: v for k, v in HEAD.items() if k != "method"}, "method: got None, expected one of grid, random, bayes"),
    ({k: v for k, v in HEAD.items() if k != "run_cap"}, "run_cap: is missing: how many runs method random makes"),
    ({"method": "bayes", "metric": MAXIMIZE, "parameters": {}}, "run_cap: is missing: how many runs method bayes"),
    *((HEAD | {"run_cap": n}, f"run_cap: got {n}, expected the number of runs") for n in (0, -1, 1.5, True, "3")),
    (HEAD | {"method": "grid"}, "run_cap: is not done here with method grid"),
    # metric
    (HEAD | {"metric": {"name": "test/acc", "goal": "maximize"}}, "metric.name: got test/acc; the choice is made by "),
    (HEAD | {"metric": {"goal": "maximize"}}, "metric.name: got None; "),
    (HEAD | {"metric": {"name": "val/acc", "goal": "minimize"}}, "metric.goal: got minimize; val/acc is to maximize"),
    (HEAD | {"metric": {"name": "val/acc"}}, "metric.goal: got minimize; "),  # W&B's default
    (HEAD | {"metric": MAXIMIZE | {"target": 0.9}}, "metric.target: is not done here"),
    (HEAD | {"metric": "val/acc"}, "metric: expected keys and values"),
    (HEAD | {"method": "bayes"}, "metric: expected keys and values"),
    # parameters
    ({"method": "grid"}, "parameters: expected keys and values"),
    (HEAD | {"parameters": {"a.b": 3}}, "parameters.a.b: expected keys and values"),
    (parameter(vales=[1]), "parameters.a.b.vales: is not done here; did you mean values?"),
    *(
        (parameter(distribution=kind), f"parameters.a.b.distribution: got {kind}, which is not done here. Done: const")
        for kind in ("normal", "q_normal", "log_normal", "beta", "categorical_w_probabilities")
    ),
    (parameter(mu=0, sigma=1), "parameters.a.b.mu: does not go with distribution uniform"),
    (parameter(parameters={"c": {"value": 1}}), "parameters.a.b.parameters: nested parameters are not done here"),
    (parameter(values=[1, 2], probabilities=[0.1, 0.9]), "parameters.a.b.probabilities: is not done here"),
    (
        parameter(distribution="categorical", values=[1, 2], probabilities=[0.1, 0.9]),
        "parameters.a.b.probabilities: does not go with distribution categorical",
    ),
    (parameter(values=3), "parameters.a.b.values: got 3, expected a list"),
    (parameter(values=[]), "parameters.a.b.values: got [], expected a list"),
    (parameter(value=1, values=[1, 2]), "parameters.a.b.values: does not go with distribution constant"),
    (parameter(distribution="constant"), "parameters.a.b: needs value"),
    (parameter(distribution="categorical"), "parameters.a.b: needs values"),
    (parameter(max=1), "parameters.a.b: needs min"),
    (parameter(min=1), "parameters.a.b: needs max"),
    (parameter(), "parameters.a.b: needs min"),
    (parameter(min="0", max=1), "parameters.a.b.min: got 0, expected a number"),
    (parameter(min=False, max=True), "parameters.a.b.min: got False, expected a number"),
    (parameter(min=0, max=math.inf), "parameters.a.b.max: got inf, expected a number"),
    (parameter(min=1, max=1), "parameters.a.b: min 1 is not below max 1"),
    (parameter(min=0.5, max=0.1), "parameters.a.b: min 0.5 is not below max 0.1"),
    (parameter(min=0, max=9, q=3), "parameters.a.b.q: does not go with distribution int_uniform"),
    (parameter(distribution="int_uniform", min=1.5, max=4), "parameters.a.b: min 1.5 and max 4 are not whole"),
    (parameter(distribution="q_uniform", min=0, max=1, q=0), "parameters.a.b.q: got 0, expected a positive number"),
    (parameter(distribution="q_uniform", min=0, max=1, q=-2), "parameters.a.b.q: got -2, expected a positive number"),
    (parameter(distribution="q_uniform", min=0, max=1, q="x"), "parameters.a.b.q: got x, expected a number"),
    (parameter(distribution="log_uniform_values", min=0, max=1), "parameters.a.b.min: got 0; a logarithmic range lies"),
    (parameter(distribution="inv_log_uniform_values", min=-1, max=1), "parameters.a.b.min: got -1; a logarithmic "),
    (
        parameter(distribution="q_log_uniform", min=8, max=1024),
        "parameters.a.b: min and max of q_log_uniform are exponents of e; for the values, q_log_uniform_values",
    ),
    (
        parameter(distribution="q_log_uniform_values", min=8, max=64, q=2),
        "parameters.a.b.q: got 2; q_log_uniform_values is done here with q 1 only",
    ),
    *(
        (
            {"method": "grid", "parameters": {"a.b": values}},
            "parameters.a.b: has no list of values, which method grid needs",
        )
        for values in (
            {"min": 0.0, "max": 1.0},
            {"distribution": "log_uniform_values", "min": 1, "max": 2},
            {"distribution": "q_log_uniform_values", "min": 1, "max": 2},
        )
    ),
    # early_terminate
    (
        {"method": "grid", "parameters": {"a": {"value": 1}}, "early_terminate": {"type": "hyperband", "min_iter": 1}},
        "early_terminate: is not done here with method grid",
    ),
    (HEAD | {"early_terminate": "hyperband"}, "early_terminate: expected keys and values"),
    (stop(strict=True), "early_terminate.strict: is not done here"),
    (stop(type="envelope"), "early_terminate.type: got envelope, expected hyperband"),
    (stop(min_itr=1), "early_terminate.min_itr: is not done here; did you mean min_iter?"),
    *((stop(min_iter=n), f"early_terminate.min_iter: got {n}, expected a whole") for n in (0, 1.5, None, True)),
    (stop(eta=1), "early_terminate.eta: got 1, expected a whole number"),
    (stop(eta=None), "early_terminate.eta: got None, expected a whole number"),
    (HEAD | {"early_terminate": {"type": "hyperband"}}, "early_terminate: needs min_iter, or max_iter and s"),
    (HEAD | {"early_terminate": {"type": "hyperband", "max_iter": 9}}, "early_terminate: needs min_iter, or max_iter"),
]


@pytest.mark.parametrize(("values", "message"), REFUSED, ids=[message for _, message in REFUSED])
def test_refuses_by_name(values: Any, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, yaml.safe_dump(values))
    with pytest.raises(ConfigError) as refused:
        read(path)
    assert str(refused.value).startswith(f"sweep: {path}: {message}")


@pytest.mark.parametrize("text", ["method: [grid\n", "a: b: c\n", "\tmethod: grid\n"])
def test_refuses_broken_yaml(text: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read(path)
    assert str(refused.value).startswith(f"sweep: {path} cannot be read: ")


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe\x00")], ids=["folder", "binary"])
def test_refuses_what_is_no_text(make: Any, tmp_path: Path) -> None:
    make(tmp_path / "it")
    with pytest.raises(ConfigError, match=r"^sweep: .*it cannot be read: "):
        read(tmp_path / "it")


# --- where it is


def test_finds_by_name_and_by_path() -> None:
    wanted = ROOT / "sweeps" / "padding.yaml"
    assert find("padding", ROOT / "sweeps") == wanted
    assert find(str(wanted), ROOT / "nowhere") == wanted


@pytest.mark.parametrize("name", ["paddin", "padding.yml"])
def test_suggests_a_file_that_there_is(name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        find(name, ROOT / "sweeps")
    message = str(refused.value)
    assert message.startswith(f"sweep: got {name}, but there is no such file nor ")
    assert f"{Path('sweeps') / name}.yaml; did you mean padding? Known: activation, channels, " in message


@pytest.mark.slow
def test_wandbs_own_commands_run_a_file(tmp_path: Path, data_dir: str) -> None:
    """`wandb sweep` and `wandb agent` themselves, with a controller that gives out two trials of the file."""
    small = {"data.dir": data_dir, "data.train_size": 200, "data.val_size": 100, "trainer.max_epochs": 1}
    with wandb_server() as server:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WANDB_")},
            "WANDB_API_KEY": "0" * 40,
            "WANDB_BASE_URL": server.url,
            "WANDB_DIR": str(tmp_path),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }

        def wandb(*arguments: str) -> str:
            done = subprocess.run(
                [sys.executable, "-m", "wandb", *arguments],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
            )
            assert done.returncode == 0, done.stderr
            return done.stderr

        assert "wandb agent tester/fc2conv/s1" in wandb("sweep", "--project=fc2conv", "sweeps/kernel_size.yaml")
        file = yaml.safe_load(server.sweep or "")
        assert file["parameters"]["model.kernel_size"]["values"] == [1, 3, 5, 7, 9, 11]
        fixed = {"model": "lenet_modern", "model.padding": "same", "seed": 0}
        server.trials = [{**fixed, "model.kernel_size": k, **small, "runs_dir": str(tmp_path / "runs")} for k in (1, 7)]
        wandb("agent", "tester/fc2conv/s1")
        assert server.exit_codes() == [0, 0]
    results = [Result.read(folder) for folder in sorted((tmp_path / "runs").iterdir())]
    assert [r.status for r in results] == ["done", "done"]
    # each is the run that the controller asked for
    assert [r.wandb_id for r in results] == ["agent2", "agent1"]
    assert [r.config["model"]["kernel_size"] for r in results] == [1, 7]
