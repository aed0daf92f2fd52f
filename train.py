"""Train one network, or many: `python train.py model=lenet`. `--help` shows the keys that matter."""

import hydra
from omegaconf import DictConfig

from fc2conv import cli


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(config: DictConfig) -> None:
    cli.start(config)


if __name__ == "__main__":
    cli.main(train)
