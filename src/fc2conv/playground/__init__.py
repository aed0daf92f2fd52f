"""The playground: one HTML page in which trained networks run, so that a reader can do what the chapter says."""
