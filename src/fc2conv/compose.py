"""Between Hydra and the typed config: what Hydra must know of the schema, and what it composed, typed and planned."""

from __future__ import annotations

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from fc2conv.config import DATASETS, GROUPS, MODELS, TOP_LEVEL, Config, DataConfig, plain
from fc2conv.data.folder import bands, class_names
from fc2conv.geometry import Geometry, Shape
from fc2conv.models import plan
from fc2conv.parsing import parse


def register_schema() -> None:
    """Tell Hydra the defaults of config.py: `schema/<group>` and `schema/model/<family>`."""
    store = ConfigStore.instance()
    for family, cls in MODELS.items():
        store.store(group="schema/model", name=family, node=plain(cls()))
    for group, cls in GROUPS.items():
        store.store(group="schema", name=group, node=plain(cls()))
    store.store(group="schema", name="run", node={k: getattr(Config(), k) for k in TOP_LEVEL})


def typed(composed: DictConfig) -> Config:
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
        shape, classes = (bands(data), data.size, data.size), len(class_names(data))
    else:
        shape, classes = DATASETS[data.name].shape, DATASETS[data.name].classes
    edge = data.canvas or shape[1]
    return (data.bands or shape[0], edge, edge), classes


def planned(config: Config) -> Geometry:
    """The network's plan. Raises GeometryError where it does not fit the data."""
    return plan(config.model, *shape_of(config.data))
