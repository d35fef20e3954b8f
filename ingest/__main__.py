"""`python -m ingest` is `persondays ingest`, also where the package is not installed (a Ray job's working folder)."""

import sys

from ingest.command import ingest
from pipeline.cli import run_command

if __name__ == "__main__":
    sys.exit(run_command(ingest, "python -m ingest"))
