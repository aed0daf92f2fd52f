"""What HTML pages have in common: putting all into one file, colours, and the arithmetic of shapes in JavaScript."""
