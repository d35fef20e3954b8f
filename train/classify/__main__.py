"""`python -m train.classify`, as torchrun starts it."""

from functools import partial

from pipeline.cli import run_command
from train.classify.command import classify
from train.distributed.process_exit import exit_without_destructors

exit_without_destructors(partial(run_command, classify, "python -m train.classify"))
