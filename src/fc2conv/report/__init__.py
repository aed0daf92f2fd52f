"""Results -> numbers, charts, tables and a page to look at. Reads records only: no torch, no network, no checkpoint."""
