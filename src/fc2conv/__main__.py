"""`python -m fc2conv`: the command fc2conv, where its script is not on the path."""

from fc2conv.cli import main

main()
