"""Between Hydra and the typed config: registers the schema, parses what Hydra composed, explains Hydra's errors."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, InterpolationResolutionError, OmegaConfBaseException

from fc2conv import errors
from fc2conv.architectures import ARCHITECTURES, plan
from fc2conv.architectures.plugins import load, load_installed
from fc2conv.architectures.trace import Geometry, Shape
from fc2conv.config.batches import check_batch_norm, has_single_valued_norm
from fc2conv.config.match import match_model
from fc2conv.config.parsing import parse, suggest, unknown
from fc2conv.config.schema import (
    DATASETS,
    GROUPS,
    KEYS,
    LISTS,
    LOGGERS,
    OF_CHECKPOINTS,
    TOP_LEVEL,
    Config,
    DataConfig,
    DatasetInfo,
    plain,
)
from fc2conv.config.unused import key_of
from fc2conv.data.array_file import describe
from fc2conv.data.folder import bands, class_names, training_images
from fc2conv.fields import pair, usable

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra


def register_schema() -> None:
    """Tell Hydra the defaults of the schema: `schema/<group>`, `schema/model/<family>`, `schema/logger/<name>`."""
    load_installed()
    store = ConfigStore.instance()
    for family in ARCHITECTURES:
        store.store(group="schema/model", name=family, node=defaults_of(family))
    for group, cls in GROUPS.items():
        store.store(group="schema", name=group, node=_node(cls()))
    for name, cls in LOGGERS.items():
        store.store(group="schema/logger", name=name, node=plain(cls()))
    run = OmegaConf.create({k: v for k, v in plain(Config()).items() if k in TOP_LEVEL} | {k: {} for k in LISTS})
    OmegaConf.set_struct(run.callbacks, False)  # their names and arguments are the user's own
    store.store(group="schema", name="run", node=run)
    OmegaConf.register_new_resolver("models", _models, replace=True)
    OmegaConf.register_new_resolver("keys", _keys, replace=True)


def defaults_of(family: str) -> DictConfig:
    """An architecture's config as Hydra composes it."""
    return _node(ARCHITECTURES[family].config())


def _node(config: Any) -> DictConfig:
    node = OmegaConf.create(plain(config))
    for value in node.values():
        if isinstance(value, DictConfig):  # a mapping whose keys are the user's own
            OmegaConf.set_struct(value, False)
    return node


ONE_CHOICE = ("model", "data", "optim", "trainer")
"""Groups of which a run has one choice."""
EMPTY = "got '', is a shell variable unset?"


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse what Hydra would take for something else than its writer meant.

    Raises:
        ConfigError: naming the key, and how to say it
    """
    for argument in arguments:
        key, _, text = argument.partition("=")
        if argument.startswith("="):
            raise errors.ConfigError("", f"{argument}: cannot be read as key=value (there is no key)")
        if argument.startswith("~") and (name := key_of(argument)).split(".")[0] in (*ONE_CHOICE, *TOP_LEVEL):
            raise errors.ConfigError(name, "cannot be deleted; write another value, or leave it out for its default")
        if key == "hydra.run.dir":
            raise errors.ConfigError(key, f"got {text}, but a run lies in runs_dir, under its name: runs_dir={text}")
        if key in (*ONE_CHOICE, "experiment", "plugins", "logger") and argument == f"{key}=":
            raise errors.ConfigError(key, EMPTY)
        if key in ONE_CHOICE and text.startswith("["):
            choices = OverridesParser.create().parse_override(argument).value()
            if isinstance(choices, list):
                several = ",".join(map(str, choices))
                raise errors.ConfigError(key, f"got {text}, expected one choice; to try several: -m {key}={several}")


def check_single(overrides: Sequence[str]) -> None:
    """Refuse overrides of Hydra's own config that only a sweep reads.

    Raises:
        ConfigError: naming the key
    """
    for override in overrides:
        key, _, value = override.lstrip("+").partition("=")
        if re.match(r"hydra[./](launcher|sweeper|sweep)\b", key):
            raise errors.ConfigError(key, f"got {value}, which is about sweeps; add -m: python train.py -m ...")


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
        if "" in value:
            raise errors.ConfigError("plugins", EMPTY)
        load([str(plugin) for plugin in value])


def _models(indent: int) -> str:
    """The choices of model=, of conf/model/ and the registry, wrapped for --help."""
    found = {*GlobalHydra.instance().config_loader().get_group_options("model"), *ARCHITECTURES}
    return textwrap.fill(", ".join(sorted(found)), 120 - indent).replace("\n", "\n" + " " * indent)


def _keys(indent: int) -> str:
    """Every key of every architecture and group, a paragraph for each, wrapped for --help."""
    margin = " " * indent
    of = {f"model={family}": [k for k in plain(a.config()) if k != "family"] for family, a in ARCHITECTURES.items()}
    of |= {group: list(plain(cls())) for group, cls in KEYS.items()}
    paragraphs = [
        textwrap.fill(", ".join(keys), 120, initial_indent=f"{margin}{name:<14} ", subsequent_indent=margin + " " * 15)
        for name, keys in of.items()
    ]
    return "\n".join(paragraphs).lstrip()


def parse_composed(composed: DictConfig) -> Config:
    """The typed config of what Hydra composed.

    Raises:
        ConfigError: an unknown key, a wrong type, an interpolation of what is not there, or values that cannot work
            together
    """
    try:
        values = OmegaConf.to_container(composed, resolve=True)
    except InterpolationResolutionError:
        try:
            _resolve_each(composed)
        except OmegaConfBaseException as error:  # the same, with its key
            raise errors.ConfigError(error.full_key or "", _value_message(error)) from error
        raise
    assert isinstance(values, dict)
    return parse(Config, values)  # type: ignore[arg-type]


def _resolve_each(node: DictConfig | ListConfig) -> None:
    """Look at all values, one by one: the error of the one that cannot be resolved then has its key."""
    for key in range(len(node)) if isinstance(node, ListConfig) else list(node):
        value = node[key]
        if isinstance(value, (DictConfig, ListConfig)):
            _resolve_each(value)


def shape_of(data: DataConfig) -> tuple[Shape, int]:
    """((C, H, W), classes) of what the network will see, from the config alone (and a folder's listing)."""
    if data.name == "folder":
        with usable("data.path", data.path):
            shape, classes = (bands(data), *pair(data.folder_size)), len(class_names(data))
    else:
        info = _info(data)
        shape, classes = info.shape, info.classes
    return (data.bands or shape[0], *data.canvas_of(data.size_of((shape[1], shape[2])))), classes


def _info(data: DataConfig) -> DatasetInfo:
    """What is known of a dataset that is no folder of images."""
    if data.name != "arrays":
        return DATASETS[data.name]
    with usable("data.path", data.path):
        return describe(data)


def matched(config: Config) -> Config:
    """`config` with the widths that its `match` asks for. What does not fit the data stays as it is: plan_of says why.

    Raises:
        ConfigError: there are no such widths
    """
    if config.match.budget is None:
        return config
    shape, classes = shape_of(config.data)
    try:
        return replace(config, model=match_model(config.model, config.match, shape, classes))
    except errors.GeometryError:
        return config


def plan_of(config: Config) -> Geometry:
    """The network's plan.

    Raises:
        GeometryError: it does not fit the data
        ConfigError: it cannot be trained on its batches
    """
    geometry = plan(config.model, *shape_of(config.data))
    if config.task not in OF_CHECKPOINTS and has_single_valued_norm(geometry):
        data, devices = config.data, config.trainer.devices
        images, _ = data.split(training_images(data) if data.name == "folder" else _info(data).train)
        check_batch_norm(geometry, images, data.batch_size, 1 if devices == "auto" else devices)
    return geometry


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
        if key == "callbacks" and not _is_plain(value):
            hint = 'names (["ema"]), or classes with their arguments ({"mine": {"_target_": "my_code.Callback", ...}})'
            raise errors.ConfigError(key, f"got objects, expected {hint}: the run's record must say how they are made")
        if sweep and isinstance(value, (list, range)):
            found.append(f"{key}={','.join(map(_spell, value))}")
        elif sweep and isinstance(value, str) and LISTED.fullmatch(value):
            found.append(f"{key}={value}")
        else:
            found.append(override(key, value))
    return found


def _is_plain(value: Any) -> bool:
    """Whether it holds text and other scalars only, however nested."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, bool, int, float))


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


PATHS = ("ckpt", "resume", "sweep", "runs_dir", "data.dir", "data.path")
"""Keys whose values are paths."""


def quote_path(argument: str) -> str:
    """The path of a file that is there, quoted if need be: the folders of a sweep's trials have = and , in their names,
    which mean something else to Hydra."""
    key, _, path = argument.partition("=")
    return override(key, path) if key in PATHS and not PLAIN.fullmatch(path) and Path(path).exists() else argument


def compose_config(overrides: Sequence[str]) -> tuple[DictConfig, list[str], str]:
    """(what Hydra composes of `overrides`, those that are about the run, the choice of conf/model/).

    Raises:
        ConfigError: it composes nothing of them
    """
    with our_hydra(overrides):
        whole = compose("config", list(overrides), return_hydra_config=True)
    check_single(as_written(whole.hydra.overrides.hydra))
    config = OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
    return config, as_written(whole.hydra.overrides.task), whole.hydra.runtime.choices.get("model") or ""


def as_written(overrides: Sequence[str]) -> list[str]:
    """Overrides as Hydra keeps them, with their interpolations: to go through the list would resolve these."""
    return cast(list[str], OmegaConf.to_container(overrides, resolve=False))


@contextmanager
def our_hydra(overrides: Sequence[str]) -> Iterator[Hydra]:
    """Hydra on our conf/, with the plugins that `overrides` name; afterwards as it was before, since the program may be
    using it. What it raises is a ConfigError."""
    check_arguments(overrides)
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
        groups = ", ".join(["model", *GROUPS, *LISTS, "experiment", "debug"])
        return 2, f"{groups}: got null for one of them, expected a choice, e.g. model=lenet, logger=[]; or leave it out"
    if isinstance(error, ValueError) and str(error).startswith("Only one of --run"):  # likewise
        return 2, str(error)
    return errors.explain(error)


EXTRAS = {"submitit": "slurm", "ray": "ray"}
"""Launchers that are plugins of their own: how their names begin -> the extra that installs them."""


def _hydra_message(error: Exception) -> str:
    """Hydra's and OmegaConf's messages, with the key they leave the reader to guess."""
    text = str(error)
    if isinstance(error, OmegaConfBaseException) and error.full_key and not isinstance(error, ConfigKeyError):
        return f"{error.full_key}: {_value_message(error)}"
    if match := re.search(r"Ambiguous value for argument '([\w./@+-]+)=(.*)'", text):
        key, value = match[1], match[2]
        listed = "" if key in ONE_CHOICE else f"; a list is written {key}=[{value}]"
        return f"{key}: got {value}, several values; to try each of them, add -m{listed}"
    if match := re.search(r"An item is already at '(.+)'", text):
        return f"{match[1]}: there is such a key; write it without the +"
    if match := re.match(r"Multiple values for (\w+)\.", text):
        return f"{match[1]}: it has a choice already; write it without the +"
    if text.startswith("Cannot find primary config"):
        return text.splitlines()[0]
    if (match := re.search(r"(?:Could not override|Key) '([\w./@-]+)'", text)) and "Available options" not in text:
        key = match[1]
        group, _, name = key.rpartition(".")
        if group == "model" and name in _known(group):
            return f"{key}: this model has no such key; others have"
        if (logger := group.removeprefix("logger.")) in LOGGERS and name in plain(LOGGERS[logger]()):
            return f"{key}: {logger} is not among the loggers; add it: logger=[{logger}]"
        return f"{key}: {unknown(key, _known(group))}"
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
    if match := re.search(rf"Could not load '({'|'.join(LISTS)})/([^']+)'", text):  # one of several choices
        options = sorted(file.stem for file in (conf() / match[1]).glob("*.yaml"))
        return f"{match[1]}: got {match[2]}, no such choice{suggest(match[2], options)}"
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    return text


def _value_message(error: OmegaConfBaseException) -> str:
    """What is wrong with the value of a key."""
    text = str(error.msg or error).splitlines()[0]
    if match := re.match(r"Interpolation key '(.*)' not found", text):
        return f"got ${{{match[1]}}}, but there is no key {match[1]}"
    return re.sub(r"^\w+ raised while resolving interpolation: ", "", text).strip('"')


def _known(group: str) -> list[str]:
    if not group:
        return [*TOP_LEVEL, "experiment", "model", *GROUPS, *LISTS]
    if group == "logger":
        return list(LOGGERS)
    if group.removeprefix("logger.") in LOGGERS:
        return list(plain(LOGGERS[group.removeprefix("logger.")]()))
    if group == "model":
        return sorted({name for a in ARCHITECTURES.values() for name in plain(a.config())})
    return list(plain(KEYS[group]())) if group in KEYS else [*GROUPS, "model", *LISTS]
