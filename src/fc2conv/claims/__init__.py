"""The chapter's sentences as experiments: each a claim with a sweep, comparisons and margins, and a verdict."""
