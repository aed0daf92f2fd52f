"""How Hydra finds model=NAME for each architecture that has no file in conf/model/ (conf/config.yaml names the source).

Hydra imports this file at each start, so it imports what it needs only once that is used.
"""

from __future__ import annotations

from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource

GROUP = "model"


class Models(ConfigSource):
    """fc2conv://: model/<family>, the defaults of each registered architecture. It comes after conf/, whose files win.

    (Nodes in Hydra's ConfigStore would not do: it takes one called as a file for that file's schema.)
    """

    @staticmethod
    def scheme() -> str:
        return "fc2conv"

    def available(self) -> bool:
        return True

    def load_config(self, config_path: str) -> ConfigResult:
        from fc2conv.compose import defaults_of

        family = self._family(config_path)
        if family not in self._families():
            raise ConfigLoadError(f"there is no {config_path}")
        node = defaults_of(family)
        return ConfigResult(provider=self.provider, path=self.full_path(), config=node, header={"package": None})

    def is_group(self, config_path: str) -> bool:
        return config_path.strip("/") in ("", GROUP)

    def is_config(self, config_path: str) -> bool:
        return self._family(config_path) in self._families()

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        group = config_path.strip("/")
        if group == GROUP and results_filter is not ObjectType.GROUP:
            return sorted(self._families())
        return [GROUP] if group == "" and results_filter is not ObjectType.CONFIG else []

    @staticmethod
    def _families() -> set[str]:
        from fc2conv.architectures import ARCHITECTURES

        return set(ARCHITECTURES)

    @staticmethod
    def _family(config_path: str) -> str:
        """The family that a path of the group names; "" for other paths."""
        group, _, name = config_path.strip("/").rpartition("/")
        return name.removesuffix(".yaml") if group == GROUP else ""
