"""`python -m train`, as torchrun starts it."""

import sys

from pipeline.cli import run_command
from train.command import train

sys.exit(run_command(train, "python -m train"))
