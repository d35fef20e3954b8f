"""The metadata of a store's arrays (docs/store.md), as zarr itself writes it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from pipeline.errors import UserError
from pipeline.grid import AXES, FILL, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_HOUR
from pipeline.storage.folder import Folder
from pipeline.store.layout import ARRAYS, METADATA, Codec, array_metadata


def open_arrays(folder: Folder) -> dict[str, Any]:
    """The zarr arrays of a store, by name. Their lengths stay as they were when they were opened."""
    import zarr

    at = zarr.storage.LocalStore(folder.path) if folder.is_local else zarr.storage.FsspecStore.from_url(folder.url)
    root = zarr.open_group(at, mode="r+", zarr_format=3)
    return {name: root[name] for name in ARRAYS}


def codec_of(signal: dict[str, Any]) -> str:
    """The compressor that the metadata of `signal` name: lz4 or zstd."""
    (sharding,) = signal["codecs"]
    chain = {codec["name"]: codec["configuration"] for codec in sharding["configuration"]["codecs"][:2]}
    return str(chain["blosc"]["cname"])


def create_array(folder: Folder, name: str, counts_per_g: int, codec: Codec) -> None:
    """Write the metadata of an array with no slots; metadata that differ only in the number of slots are kept."""
    path, wanted = array_metadata(name), describe(name, counts_per_g, codec)
    if folder.create(path, json.dumps(wanted, indent=2).encode()):
        return
    found = json.loads(folder.read(path))
    if {**found, "shape": None} != {**wanted, "shape": None}:
        if found["shape"][0]:
            raise UserError(f"{folder.url}: an array with other settings exists here. Name another folder.")
        folder.write(path, json.dumps(wanted, indent=2).encode())


def describe(name: str, counts_per_g: int, codec: Codec) -> dict[str, Any]:
    """The metadata of an array with no slots."""
    import zarr
    from zarr.codecs import BloscCodec, BloscShuffle, BytesCodec, Crc32cCodec

    def blosc(size: int) -> BloscCodec:
        level = 5 if codec == "lz4" else 1
        return BloscCodec(cname=codec, clevel=level, shuffle=BloscShuffle.bitshuffle, typesize=size)

    files: dict[str, Any] = {}
    common: dict[str, Any] = {"store": zarr.storage.MemoryStore(files), "zarr_format": 3}
    if name == "signal":
        zarr.create_array(
            **common,
            shape=(0, AXES, TICKS_PER_DAY),
            dtype="int16",
            shards=(1, AXES, TICKS_PER_DAY),
            chunks=(1, AXES, TICKS_PER_HOUR),
            serializer=BytesCodec(endian="little"),
            compressors=[blosc(2), Crc32cCodec()],
            fill_value=FILL,
            dimension_names=("person_day", "axis", "tick"),
            attributes={"scale_factor": 1.0 / counts_per_g, "add_offset": 0.0, "_FillValue": FILL, "units": "g"},
        )
    else:
        dtype, size, fill, units = ("float32", 4, np.nan, "g") if name == "motion" else ("uint8", 1, 0, "1")
        zarr.create_array(
            **common,
            shape=(0, SECONDS_PER_DAY),
            dtype=dtype,
            chunks=(1, SECONDS_PER_DAY),
            serializer=BytesCodec(endian="little"),
            compressors=[blosc(size), Crc32cCodec()],
            fill_value=fill,
            dimension_names=("person_day", "second"),
            attributes={"units": units},
        )
    described: dict[str, Any] = json.loads(files[METADATA].to_bytes())
    return described
