"""One run: the LightningModule, its metrics and callbacks, the processes it needs, and the signals that end it."""
