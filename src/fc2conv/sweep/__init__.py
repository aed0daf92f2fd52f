"""Many runs from one command: trials, their jobs, resume, sweep files. Imports torch in the jobs only."""
