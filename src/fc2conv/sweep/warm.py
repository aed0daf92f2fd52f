"""What every job needs, imported once by the server that jobs are forked from."""

from fc2conv.training.distributed import prepare_process

prepare_process()

import torch.distributed  # noqa: E402
import torch.optim.lr_scheduler  # noqa: E402, F401

import fc2conv.sweep.job  # noqa: E402
import fc2conv.training.launch  # noqa: E402, F401
from fc2conv.record.folder import about_the_code  # noqa: E402

about_the_code()
