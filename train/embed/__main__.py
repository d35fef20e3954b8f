"""`python -m train.embed`, as torchrun starts it."""

from functools import partial

from pipeline.cli import run_command
from train.distributed.process_exit import exit_without_destructors
from train.embed.command import embed

exit_without_destructors(partial(run_command, embed, "python -m train.embed"))
