"""Recordings that hold the same samples: one file under several names, perhaps as several participants.

Ingest stores a digest of each recording's samples, the figure `content`. Duplicates are reported and not refused:
the program cannot know which name is the right one, and the order in which recordings finish must not decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.figures import read_figures

if TYPE_CHECKING:
    from pipeline.store.store import Store


def find_duplicates(store: Store) -> list[list[str]]:
    """Ids of recordings that hold the same samples, group by group."""
    recordings = store.recordings.read(["recording", "status", "figures"])
    done = recordings.filter(pc.equal(recordings["status"], "done"))
    content = read_figures(done["figures"], ["content"])["content"]
    table = pa.table({"content": content, "recording": done["recording"]}).filter(pc.is_valid(content))
    groups = table.group_by("content", use_threads=False).aggregate([("recording", "list")])["recording_list"]
    return sorted(sorted(group) for group in groups.to_pylist() if len(group) > 1)
