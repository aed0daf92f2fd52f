"""What every job needs, imported once by the server that jobs are forked from."""

from fc2conv.imports import uncollected

with uncollected():
    import torch.distributed
    import torch.optim.lr_scheduler  # noqa: F401

    import fc2conv.cli
    import fc2conv.launch
    import fc2conv.sweep.job  # noqa: F401
    from fc2conv.record import about_the_code

about_the_code()
