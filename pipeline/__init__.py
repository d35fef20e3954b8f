"""What ingest and train share (store, storage, ids, settings, progress, command line), and commands on a store.

For your own code: `open_store`, and `UserError`, which every mistake that a user can fix raises (docs/api.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.lazy import lazy

if TYPE_CHECKING:
    from pipeline.errors import UserError
    from pipeline.store.reader import Day, StoreReader, open_store

__all__ = ["Day", "StoreReader", "UserError", "open_store"]

__getattr__ = lazy(
    __name__,
    {
        "Day": "pipeline.store.reader:Day",
        "StoreReader": "pipeline.store.reader:StoreReader",
        "UserError": "pipeline.errors:UserError",
        "open_store": "pipeline.store.reader:open_store",
    },
)
