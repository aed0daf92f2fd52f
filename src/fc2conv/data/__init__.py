"""Images: where they come from (sources), how a batch is seen (views), and the DataModule that all models share."""
