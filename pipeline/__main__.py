"""`python -m pipeline` is `persondays`."""

from pipeline.cli import main

main()
