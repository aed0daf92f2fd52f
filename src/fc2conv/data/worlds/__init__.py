"""Worlds with a known winner: images made by a rule, so that it can be said beforehand which networks must fail."""
