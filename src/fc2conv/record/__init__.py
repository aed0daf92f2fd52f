"""What is kept and shown of a run: its folder, result.json, W&B, the terminal."""
