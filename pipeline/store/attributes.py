"""The attributes of a store's root group: format, grid, processing settings and the check value of its key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.errors import UserError
from pipeline.grid import COUNTS_PER_G, SAMPLE_RATE_HZ
from pipeline.identity import Key
from pipeline.settings import fingerprint
from pipeline.storage.folder import Folder
from pipeline.store.layout import METADATA

FORMAT = "persondays-store"
VERSION = 1

People = Literal["named", "alone", ""]
"""How participants are known: by a map or an expression, or each recording is its own participant."""


@dataclass(frozen=True)
class Attributes:
    """What a store says of itself."""

    key_check: str
    processing: dict[str, Any]
    fingerprint: str
    sample_rate_hz: int = SAMPLE_RATE_HZ
    counts_per_g: int = COUNTS_PER_G
    people: str = ""
    """See People."""
    format: str = FORMAT
    version: int = VERSION

    def require(self, key: Key, processing: dict[str, Any], url: str) -> None:
        """Raise UserError unless the store was made with this key and these processing settings."""
        if key.check != self.key_check:
            raise UserError(
                f"{url}: the store was made with another key, which would give every participant a second identity. "
                "Use the store's own key, or another store."
            )
        if fingerprint(processing) != self.fingerprint:
            ours = self.processing
            names = sorted(name for name in {*ours, *processing} if ours.get(name) != processing.get(name))
            changes = "; ".join(f"{name}: store {ours.get(name)!r}, now {processing.get(name)!r}" for name in names)
            raise UserError(
                f"{url}: the store was made with other processing settings ({changes}). "
                "Use the store's settings, or another store."
            )


def read_attributes(folder: Folder) -> Attributes:
    """The attributes of the store in a folder; raises UserError where there is none, or one of another format."""
    try:
        found = json.loads(folder.read(METADATA)).get("attributes", {})
    except (FileNotFoundError, ValueError):
        raise UserError(
            f"{folder.url}: expected a window store, found none. Check the path or URL: it is the --store of an "
            "ingest run."
        ) from None
    if found.get("format") != FORMAT:
        raise UserError(f"{folder.url}: expected a window store, found a Zarr group of another kind.")
    if found.get("version") != VERSION:
        raise UserError(
            f"{folder.url}: expected a store of version {VERSION}, found version {found.get('version')}. "
            "Read it with the release of persondays that wrote it, or ingest into a new store."
        )
    if found.get("sample_rate_hz") != SAMPLE_RATE_HZ:
        raise UserError(
            f"{folder.url}: expected samples at {SAMPLE_RATE_HZ} Hz, found {found.get('sample_rate_hz')} Hz. "
            "Ingest into a new store."
        )
    known = Attributes.__dataclass_fields__
    return Attributes(**{name: value for name, value in found.items() if name in known})


def create_root(folder: Folder, attributes: Attributes) -> None:
    """Write the metadata of the root group; raises UserError where another run has just done so."""
    root = {"zarr_format": 3, "node_type": "group", "attributes": asdict(attributes)}
    if not folder.create(METADATA, json.dumps(root, indent=2).encode()):
        raise UserError(f"{folder.url}: another run has just created this store. Run the same command again.")
