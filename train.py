"""Train one network, or many: `python train.py model=lenet`. `--help` shows the keys that matter."""

import hydra
from omegaconf import DictConfig

from fc2conv import entry


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    entry.start(config)


if __name__ == "__main__":
    entry.main(train)
