"""Run `align` as a process that commits each pair by itself and waits after the first commit, to be killed there.

python -m tests.ingest.align.held STORE RAY_ADDRESS FILE    (creates FILE once it waits)
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from ingest.align import run
from pipeline.store.alignments import Alignment
from pipeline.store.store import Store


def main() -> None:
    url, ray, waiting = sys.argv[1:]
    write = run.write_alignments

    def write_and_wait(store: Store, rows: list[Alignment]) -> None:
        write(store, rows)
        Path(waiting).touch()
        signal.pause()

    run.COMMIT_ROWS, run.write_alignments = 1, write_and_wait
    run.run_align(url, 1, ray)


if __name__ == "__main__":
    main()
