"""The descriptions of architectures made into torch modules."""
