"""Images: where they come from (sources), what is done to a batch (transforms), the DataModule of all models."""
