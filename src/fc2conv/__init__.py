"""fc2conv: from fully connected layers to convolutions, as experiments."""

__version__ = "0.1.0"
