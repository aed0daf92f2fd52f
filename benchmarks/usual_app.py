"""The usual pipeline as a Hydra application, for benchmarks/sweep.py: many runs with -m and Hydra's own launcher.

python benchmarks/usual_app.py -m +seed=0,1 +folder=DIR
"""

from pathlib import Path

import hydra
import lightning
import torch
from omegaconf import DictConfig
from throughput import usual


@hydra.main(version_base="1.3", config_path=None)
def run(config: DictConfig) -> None:
    lightning.seed_everything(config.seed, verbose=False)
    usual("lenet_modern", Path(config.folder), torch.get_num_threads(), test=True)


if __name__ == "__main__":
    run()
