"""Many runs from one command: cells, their jobs, resume, sweep files. Imports torch in the jobs only."""
