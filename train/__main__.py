"""`python -m train`, as torchrun starts it."""

from functools import partial

from pipeline.cli import run_command
from train.command import train
from train.distributed.process_exit import exit_without_destructors

exit_without_destructors(partial(run_command, train, "python -m train"))
