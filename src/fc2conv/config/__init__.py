"""What can be said of a run: every key, its type and default; how plain values become it; what identifies it."""
