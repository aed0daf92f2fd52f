"""Between Hydra and the typed config: registers the schema, parses what Hydra composed, explains Hydra's errors."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fc2conv import errors
from fc2conv.architectures import ARCHITECTURES, plan
from fc2conv.architectures.plugins import load, load_installed
from fc2conv.architectures.trace import Geometry, Shape
from fc2conv.config.parsing import parse, suggest
from fc2conv.config.schema import DATASETS, GROUPS, TOP_LEVEL, Config, DataConfig, plain
from fc2conv.data.folder import bands, class_names
from fc2conv.fields import usable

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra


def register_schema() -> None:
    """Tell Hydra the defaults of the schema: `schema/<group>` and `schema/model/<family>`."""
    load_installed()
    store = ConfigStore.instance()
    for family in ARCHITECTURES:
        store.store(group="schema/model", name=family, node=defaults_of(family))
    for group, cls in GROUPS.items():
        store.store(group="schema", name=group, node=plain(cls()))
    store.store(group="schema", name="run", node={k: v for k, v in plain(Config()).items() if k in TOP_LEVEL})
    OmegaConf.register_new_resolver("models", _models, replace=True)


def defaults_of(family: str) -> DictConfig:
    """An architecture's config as Hydra composes it."""
    node = OmegaConf.create(plain(ARCHITECTURES[family].config()))
    for value in node.values():
        if isinstance(value, DictConfig):  # a mapping whose keys are the user's own
            OmegaConf.set_struct(value, False)
    return node


def load_plugins(arguments: Sequence[str]) -> None:
    """Load the plugins that the command line names, before Hydra looks for the models they bring.

    Raises:
        ConfigError: as architectures.plugins.load, or they are no list
    """
    parser = OverridesParser.create()
    for argument in arguments:
        if not re.match(r"\+{0,2}plugins=", argument):
            continue
        override = parser.parse_override(argument)
        value = override.value()
        if override.is_sweep_override() or not isinstance(value, list):
            name = argument.partition("=")[2]
            raise errors.ConfigError("plugins", f"got {name}, expected a list: plugins=[{name}]")
        load([str(plugin) for plugin in value])


def _models(indent: int) -> str:
    """The choices of model=, of conf/model/ and the registry, wrapped for --help."""
    found = {*GlobalHydra.instance().config_loader().get_group_options("model"), *ARCHITECTURES}
    return textwrap.fill(", ".join(sorted(found)), 120 - indent).replace("\n", "\n" + " " * indent)


def parse_composed(composed: DictConfig) -> Config:
    """The typed config of what Hydra composed.

    Raises:
        ConfigError: an unknown key, a wrong type, or values that cannot work together
    """
    values = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(values, dict)
    return parse(Config, values)  # type: ignore[arg-type]


def shape_of(data: DataConfig) -> tuple[Shape, int]:
    """((C, H, W), classes) of what the network will see, from the config alone (and a folder's listing)."""
    if data.name == "folder":
        with usable("data.path", data.path):
            shape, classes = (bands(data), data.size, data.size), len(class_names(data))
    else:
        shape, classes = DATASETS[data.name].shape, DATASETS[data.name].classes
    edge = data.canvas or shape[1]
    return (data.bands or shape[0], edge, edge), classes


def plan_of(config: Config) -> Geometry:
    """The network's plan. Raises GeometryError where it does not fit the data."""
    return plan(config.model, *shape_of(config.data))


# --- from Python: values as overrides, and what Hydra makes of them

PLAIN = re.compile(r"[\w./@%+-]+")
"""Text that means itself on the command line; any other is quoted."""
LISTED = re.compile(r"[\w.-]+(,[\w.-]+)+")
"""Values of a sweep as the command line has them: mlp,lenet."""
READ_AS_OTHERS = re.compile(r"(null|true|false|nan|[+-]?inf|[+-]?[\d._]+(e[+-]?\d+)?)", re.IGNORECASE)
"""Text that Hydra would read as a number, a boolean or null; it is quoted."""


def overrides_of(values: Mapping[str, Any], sweep: bool = False) -> list[str]:
    """Keyword arguments as Hydra's overrides. With `sweep`, a list or a range holds several values.

    Example:
        >>> overrides_of({"model.channels": (6, 16), "data.train_size": None, "name": "my run"})
        ['model.channels=[6,16]', 'data.train_size=null', "name='my run'"]
        >>> overrides_of({"seed": range(2), "model": "mlp,lenet"}, sweep=True)
        ['seed=0,1', 'model=mlp,lenet']
    """
    found = []
    for key, value in values.items():
        if sweep and hasattr(value, "tolist"):
            value = value.tolist()
        if sweep and isinstance(value, (list, range)):
            found.append(f"{key}={','.join(map(_spell, value))}")
        elif sweep and isinstance(value, str) and LISTED.fullmatch(value):
            found.append(f"{key}={value}")
        else:
            found.append(override(key, value))
    return found


def override(key: str, value: Any) -> str:
    """`key=value` as Hydra's grammar reads it back.

    Example:
        >>> override("name", "it's mine")
        "name='it\\'s mine'"
    """
    return f"{key}={_spell(value)}"


def _spell(value: Any) -> str:
    if hasattr(value, "tolist"):  # of numpy or torch
        value = value.tolist()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{k}:{_spell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (list, tuple, range)):
        return "[" + ",".join(map(_spell, value)) + "]"
    text = str(value)
    if PLAIN.fullmatch(text) and not READ_AS_OTHERS.fullmatch(text):
        return text
    quoted = re.sub(r"(\\*)(')", r"\1\1\\\2", text)  # Hydra: backslashes count in front of a quote only
    return "'" + re.sub(r"(\\+)$", r"\1\1", quoted) + "'"


def compose_config(overrides: Sequence[str]) -> tuple[DictConfig, list[str], str]:
    """(what Hydra composes of `overrides`, those that are about the run, the choice of conf/model/).

    Raises:
        ConfigError: it composes nothing of them
    """
    with our_hydra(overrides):
        whole = compose("config", list(overrides), return_hydra_config=True)
    config = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    return config, list(whole.hydra.overrides.task), whole.hydra.runtime.choices.get("model") or ""


@contextmanager
def our_hydra(overrides: Sequence[str]) -> Iterator[Hydra]:
    """Hydra on our conf/, with the plugins that `overrides` name; afterwards as it was before, since the program may be
    using it. What it raises is a ConfigError."""
    load_plugins(overrides)
    register_schema()
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf()), job_name="fc2conv", version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            yield hydra
    except (HydraException, OmegaConfBaseException) as error:
        raise errors.ConfigError("", explain(error)[1]) from error
    finally:
        GlobalHydra.instance().hydra = before


def conf() -> Path:
    """The folder conf/: in an installed package beside this file, else at the top of the repository. sweeps/ is its
    neighbour.

    Raises:
        FileNotFoundError: neither is there
    """
    here = Path(__file__).resolve().parent
    for top in (here, here.parent.parent):
        if (top / "conf" / "config.yaml").is_file():
            return top / "conf"
    raise FileNotFoundError(
        f"conf/config.yaml lies neither in {here} nor in {here.parent.parent}; install fc2conv anew"
    )


# --- errors


def explain(error: BaseException) -> errors.Explanation:
    """As errors.explain; Hydra's and OmegaConf's errors, too."""
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        return 2, _hydra_message(error)
    if "Config group override must be a string" in str(error):  # a plain ValueError of Hydra's
        return 2, "model, data, optim, trainer, logger: got null for one of them, expected a choice, e.g. model=lenet"
    return errors.explain(error)


EXTRAS = {"submitit": "slurm", "ray": "ray"}
"""Launchers that are plugins of their own: how their names begin -> the extra that installs them."""


def _hydra_message(error: Exception) -> str:
    """Hydra's and OmegaConf's messages, with the key they leave the reader to guess."""
    text = str(error)
    if (match := re.search(r"(?:Could not override|Key) '([\w./@-]+)'", text)) and "Available options" not in text:
        key = match[1]
        group, _, name = key.rpartition(".")
        if group == "model" and name in _known(group):
            return f"{key}: this model has no such key; others have"
        return f"{key}: no such key{suggest(name, _known(group))}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: cannot be read as key=value ({str(error.message).splitlines()[0]})"
    if match := re.search(
        r"Could not find '([\w/.-]+)'\s+Available options in '([\w/]+)':(.*?)(?:Config search|$)", text, re.S
    ):
        group, options = match[2], match[3].split()
        if extra := next((e for start, e in EXTRAS.items() if match[1].startswith(f"hydra/launcher/{start}")), None):
            return f"hydra/launcher: its plugin is not installed; pip install -e '.[{extra}]'"
        wanted = match[1].removeprefix(f"{group}/")
        return f"{group}: got {wanted}, no such choice{suggest(wanted, options)}"
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    return text


def _known(group: str) -> list[str]:
    if not group:
        return [*TOP_LEVEL, "experiment", "model", *GROUPS]
    if group == "model":
        return sorted({name for a in ARCHITECTURES.values() for name in plain(a.config())})
    return list(plain(GROUPS[group]())) if group in GROUPS else [*GROUPS, "model"]
