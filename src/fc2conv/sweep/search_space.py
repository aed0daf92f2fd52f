"""Sweep files: W&B's format, read here as the search space of a local sweep.

`wandb sweep FILE` and `wandb agent` run the same file with W&B's own controller. What that does and this does not is
refused by name.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ValueType
from hydra.errors import HydraException

from fc2conv.config.parsing import suggest
from fc2conv.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

METRIC = "val/acc"
KEYS = ("program", "command", "method", "metric", "parameters", "early_terminate", "run_cap")
ABOUT = ("name", "description", "project", "entity")
"""Keys that W&B shows on its pages; a local sweep does not need them."""
MOST_EXPONENT = 700
"""e to the 709 is the largest number there is."""


@dataclass(frozen=True)
class Parameter:
    """One key's values: listed (`values`), or a range."""

    key: str
    values: tuple[Any, ...] | None = None
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    log: bool = False
    whole: bool = False

    def count(self) -> int:
        """How many values it has.

        Raises:
            ConfigError: there are infinitely many
        """
        if self.values is not None:
            return len(self.values)
        if self.log or not (self.whole or self.step):
            raise ConfigError(f"parameters.{self.key}", "has no list of values, which method grid needs")
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9) + 1

    def grid(self) -> tuple[Any, ...]:
        """All values. Raises ConfigError as `count`."""
        if self.values is not None:
            return self.values
        found = [self.low + i * (self.step or 1) for i in range(self.count())]
        return tuple(int(v) for v in found) if self.whole else tuple(found)

    def first(self) -> Any:
        """One of the values."""
        return self.values[0] if self.values is not None else int(self.low) if self.whole else self.low

    def distribution(self) -> BaseDistribution:
        """As Optuna has it. Listed values go by what is written on the command line, which may be a list."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values is not None:
            return CategoricalDistribution([str(v) for v in self.values])
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)


@dataclass(frozen=True)
class Hyperband:
    """early_terminate: when a run is worse than its peers after so many epochs, it stops."""

    min_iter: int = 1
    max_iter: int | None = None
    """null: trainer.max_epochs"""
    eta: int = 3


@dataclass(frozen=True)
class SweepFile:
    path: Path
    method: Literal["grid", "random", "bayes"]
    parameters: tuple[Parameter, ...]
    run_cap: int | None = None
    early_terminate: Hyperband | None = None

    def constants(self) -> list[str]:
        """Overrides that all runs have in common."""
        return [f"{p.key}={p.values[0]}" for p in self.parameters if p.values is not None and len(p.values) == 1]

    def varied(self) -> tuple[Parameter, ...]:
        return tuple(p for p in self.parameters if p.values is None or len(p.values) > 1)

    def count(self) -> int:
        """Trials of the grid, or of the search. Raises ConfigError for a grid that is infinite."""
        return math.prod(p.count() for p in self.parameters) if self.method == "grid" else self.run_cap or 0

    def first(self) -> list[str]:
        """A point to begin with, as overrides of the varied keys."""
        return [f"{p.key}={p.first()}" for p in self.varied()]

    def traits(self) -> dict[str, Any]:
        """What decides how a search proceeds, besides its method: ranges and stopping; nothing of a grid.

        A search draws from the ranges that it began with. Its number of runs may be raised, so it is not among these.
        """
        if self.method == "grid":
            return {}
        ranges = {f"parameters.{p.key}": str(p.distribution()) for p in self.varied()}
        stop = {"early_terminate": asdict(self.early_terminate)} if self.early_terminate else {}
        return ranges | stop

    def points(self) -> list[list[str]]:
        """The grid, as overrides of the varied keys."""
        named = [[f"{p.key}={v}" for v in p.grid()] for p in self.varied()]
        return [list(point) for point in itertools.product(*named)]


def find(name: str, folder: Path) -> Path:
    """The file that `sweep=NAME` means: a path, or a name in `folder`.

    Raises:
        ConfigError: there is none
    """
    for path in (Path(name), folder / f"{name}.yaml"):
        if path.is_file():
            return path
    known = sorted(p.stem for p in folder.glob("*.yaml"))
    raise ConfigError(
        "sweep", f"got {name}, but there is no such file nor {folder / f'{name}.yaml'}{suggest(name, known)}"
    )


def read(path: Path) -> SweepFile:
    """Raises ConfigError, naming the file and the key, for what cannot be read or is not done here."""
    try:
        values = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError("sweep", f"{path} cannot be read: {error}") from None
    try:
        return _parsed(path, values)
    except ConfigError as error:
        raise ConfigError("sweep", f"{path}: {error}") from None


def _parsed(path: Path, values: Any) -> SweepFile:
    _mapping("", values)
    _known("", values, (*KEYS, *ABOUT))
    method = values.get("method")
    if method not in ("grid", "random", "bayes"):
        raise ConfigError("method", f"got {method}, expected one of grid, random, bayes")
    _check_metric(values.get("metric"), method)
    parameters = _mapping("parameters", values.get("parameters"))
    found = tuple(_parameter(str(key), _mapping(f"parameters.{key}", p)) for key, p in parameters.items())
    cap = values.get("run_cap")
    if cap is not None and (not _whole(cap) or cap < 1):
        raise ConfigError("run_cap", f"got {cap}, expected the number of runs")
    if cap is not None and method == "grid":
        raise ConfigError("run_cap", "is not done here with method grid, only with random and bayes")
    if method != "grid" and cap is None:
        raise ConfigError("run_cap", f"is missing: how many runs method {method} makes here")
    stop = values.get("early_terminate")
    if stop is not None and method == "grid":
        raise ConfigError("early_terminate", "is not done here with method grid, only with random and bayes")
    file = SweepFile(path, method, found, cap, _hyperband(stop) if stop is not None else None)
    file.count()
    return file


def _check_metric(metric: Any, method: str) -> None:
    if metric is None and method != "bayes":
        return
    _known("metric", _mapping("metric", metric), ("name", "goal"))
    if metric.get("name") != METRIC:
        raise ConfigError("metric.name", f"got {metric.get('name')}; the choice is made by {METRIC} here")
    if metric.get("goal", "minimize") != "maximize":
        raise ConfigError("metric.goal", f"got {metric.get('goal', 'minimize')}; {METRIC} is to maximize")


def _hyperband(values: Any) -> Hyperband:
    _known(
        "early_terminate", _mapping("early_terminate", values), ("type", "min_iter", "max_iter", "s", "eta", "strict")
    )
    if values.get("type") != "hyperband":
        raise ConfigError("early_terminate.type", f"got {values.get('type')}, expected hyperband")
    if values.get("strict"):
        raise ConfigError("early_terminate.strict", "is not done here")
    for key in ("min_iter", "max_iter", "s", "eta"):
        value = values.get(key, 2)
        if not _whole(value) or value < (2 if key == "eta" else 1):
            raise ConfigError(f"early_terminate.{key}", f"got {value}, expected a whole number")
    eta, least, most = values.get("eta", 3), values.get("min_iter"), values.get("max_iter")
    if least is None:
        if most is None or values.get("s") is None:
            raise ConfigError("early_terminate", "needs min_iter, or max_iter and s")
        least = max(1, most // eta ** values["s"])  # W&B's brackets: max_iter / eta, ..., max_iter / eta^s
    return Hyperband(least, most, eta)


def _parameter(key: str, values: Mapping[str, Any]) -> Parameter:
    where = f"parameters.{key}"
    names = ("value", "values", "distribution", "min", "max", "q", "mu", "sigma", "probabilities", "parameters")
    _known(where, values, names)
    kind = values.get("distribution") or _implied(where, values)
    ranges = ("int_uniform", "uniform", "q_uniform")
    logs = ("log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values")
    q_logs = ("q_log_uniform", "q_log_uniform_values")
    if kind not in (known := ("constant", "categorical", *ranges, *logs, *q_logs)):
        raise ConfigError(f"{where}.distribution", f"got {kind}, which is not done here. Done: {', '.join(known)}")
    edges = {"constant": ("value",), "categorical": ("values",)}.get(kind, ("min", "max"))
    for name in values:
        if name not in ("distribution", *edges, *(["q"] if kind.startswith("q_") else [])):
            raise ConfigError(f"{where}.{name}", f"does not go with distribution {kind}")
    if kind == "constant":
        value = _required(where, values, "value")
        _check_single(f"{where}.value", key, value)
        return Parameter(key, (value,))
    if kind == "categorical":
        listed = _required(where, values, "values")
        if not isinstance(listed, list) or not listed:
            raise ConfigError(f"{where}.values", f"got {listed}, expected a list")
        for value in listed:
            _check_single(f"{where}.values", key, value)
        return Parameter(key, tuple(listed))
    low, high = (_number(where, _required(where, values, edge), edge) for edge in edges)
    if low >= high:
        raise ConfigError(where, f"min {low:g} is not below max {high:g}")
    if kind in ranges:
        step = _number(where, values.get("q", 1), "q") if kind == "q_uniform" else None
        if step is not None and step <= 0:
            raise ConfigError(f"{where}.q", f"got {step:g}, expected a positive number")
        whole = all(v.is_integer() for v in (low, high, step or 1.0))
        if kind == "int_uniform" and not whole:
            raise ConfigError(where, f"min {low:g} and max {high:g} are not whole, which {kind} needs")
        return Parameter(key, None, low, high, step, whole=whole and kind != "uniform")
    if not kind.endswith("_values"):  # the edges are exponents
        if max(abs(low), abs(high)) > MOST_EXPONENT:
            raise ConfigError(where, f"min and max of {kind} are exponents of e; for the values, {kind}_values")
        low, high = (math.exp(-high), math.exp(-low)) if kind.startswith("inv") else (math.exp(low), math.exp(high))
    if low <= 0:
        raise ConfigError(f"{where}.min", f"got {low:g}; a logarithmic range lies above 0")
    if kind in q_logs:
        if values.get("q", 1) != 1:
            raise ConfigError(f"{where}.q", f"got {values['q']}; {kind} is done here with q 1 only")
        return Parameter(key, None, max(1, round(low)), max(1, round(high)), log=True, whole=True)
    return Parameter(key, None, low, high, log=True)


def _check_single(where: str, key: str, value: Any) -> None:
    """Refuse text that the command line, where it goes (here, or from W&B's agent), reads as several values."""
    if not isinstance(value, str):
        return
    with suppress(HydraException):  # what cannot be read at all is explained where it is composed
        read = OverridesParser.create().parse_override(f"{key}={value}")
        if read.is_sweep_override():
            listed = ", ".join(value.split(","))
            instead = f"for a list, write [{listed}]" if read.value_type is ValueType.SIMPLE_CHOICE_SWEEP else ""
            advice = "; ".join(filter(None, [instead, "for several values, list each by itself"]))
            raise ConfigError(where, f"got the text {value}, which Hydra reads as several values; {advice}")


def _implied(where: str, values: Mapping[str, Any]) -> str:
    """The distribution where none is named, by W&B's rules."""
    if "parameters" in values:
        raise ConfigError(
            f"{where}.parameters", "nested parameters are not done here; write the dotted key, e.g. optim.lr"
        )
    if "probabilities" in values:
        raise ConfigError(f"{where}.probabilities", "is not done here")
    if "value" in values:
        return "constant"
    if "values" in values:
        return "categorical"
    edges = [values.get("min"), values.get("max")]
    return "int_uniform" if all(_whole(e) for e in edges) else "uniform"


def _required(where: str, values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise ConfigError(where, f"needs {name}")
    return values[name]


def _number(where: str, value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{where}.{name}", f"got {value}, expected a number")
    return float(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _mapping(where: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(where, "expected keys and values" if where else "no sweep file: expected keys and values")
    return value


def _known(where: str, values: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in values:
        if name not in names:
            raise ConfigError(f"{where}.{name}" if where else str(name), "is not done here" + suggest(str(name), names))
