"""How Hydra finds model=NAME for each architecture that has no file in conf/model/ (conf/config.yaml names the source).

Hydra imports this file at each start, so it imports no more than Hydra.
"""

from __future__ import annotations

from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource

GROUP, SCHEMA = "model", "schema/model"


class Models(ConfigSource):
    """fc2conv://: `model/NAME` is what compose.register_schema has stored as `schema/model/NAME`. It comes after conf/,
    whose files win.

    (Nodes called `model/NAME` in Hydra's ConfigStore would not do: it takes one called as a file for that file's
    schema. But what is in the store reaches the workers of other launchers.)
    """

    @staticmethod
    def scheme() -> str:
        return "fc2conv"

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        node = ConfigStore.instance().load(self._stored(config_path)).node
        return ConfigResult(provider=self.provider, path=self.full_path(), config=node, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        return ConfigStore.instance().get_type(self._stored(config_path)) is ObjectType.CONFIG

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group, store = config_path.strip("/"), ConfigStore.instance()
        if group == GROUP and results_filter is not ObjectType.GROUP:
            stored = store.list(SCHEMA) if store.get_type(SCHEMA) is ObjectType.GROUP else []
            return sorted(name.removesuffix(".yaml") for name in stored)
        return [GROUP] if group == "" and results_filter is not ObjectType.CONFIG else []

    def _stored(self, config_path: str) -> str:
        """Where the store has it; "" for paths outside the group."""
        group, _, name = config_path.strip("/").rpartition("/")
        return f"{SCHEMA}/{self._normalize_file_name(name)}" if group == GROUP and name else ""
