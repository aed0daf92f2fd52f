"""fc2conv: from fully connected layers to convolutions, as experiments."""

import os

__version__ = "0.1.0"

# Threads that wait for each other spin before they sleep. libgomp's default, some milliseconds, makes a step twenty
# times slower where another process wants the same core; this is long enough where none does. Read by torch's import.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
