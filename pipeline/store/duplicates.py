"""Recordings seen twice: the same samples under several names, perhaps as several people.

Ingest keeps a figure of each recording's samples, `content`. Copies are told and not refused: which of the names is
the right one, the program cannot know, and the order in which recordings are finished must not decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pipeline.store.store import Store

_CONTENT = r'"content": "(?P<content>[0-9a-f-]+)"'


def find_duplicates(store: Store) -> list[list[str]]:
    """Ids of recordings that hold the same samples, group by group."""
    recordings = store.recordings.read(["recording", "status", "figures"])
    done = recordings.filter(pc.equal(recordings["status"], "done"))
    found = pc.extract_regex(done["figures"], _CONTENT)
    content = pc.struct_field(found, [0]) if done.num_rows else pa.array([], pa.string())
    table = pa.table({"content": content, "recording": done["recording"]}).filter(pc.is_valid(content))
    groups = table.group_by("content", use_threads=False).aggregate([("recording", "list")])["recording_list"]
    return sorted(sorted(group) for group in groups.to_pylist() if len(group) > 1)
