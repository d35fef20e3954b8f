"""A mapped recording is read in chunks, and holds no memory afterwards."""

from __future__ import annotations

import mmap
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ingest.devices.axivity import reader as axivity
from ingest.devices.geneactiv import pages as geneactiv_pages
from ingest.devices.io.mapped import release_pages
from ingest.devices.registry import decode
from ingest.recording import Recording
from ingest.simulate.recording import Kind, simulate_recording


def resident_kb(path: Path) -> int:
    """Return the memory of a mapped file that counts as this process's (Linux: proc(5), smaps)."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    found = 0
    for line in lines:
        if line.endswith(f" {path}"):
            found += next(int(each.split()[1]) for each in lines if each.startswith("Rss:"))
    return found


@pytest.mark.parametrize(
    ("kind", "module", "name", "chunk"),
    [("axivity", axivity, "CHUNK_BLOCKS", 7), ("geneactiv", geneactiv_pages, "CHUNK_BYTES", 10_000)],
)
def test_chunks_give_the_same_recording(
    kind: Kind, module: Any, name: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is damaged; chunks end within blocks and within pages."""
    path = tmp_path / "recording"
    simulate_recording(path, 1, 3, days=0.02, kind=kind)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x7F
    path.write_bytes(data)
    expected = decode(bytes(data), path.name)
    assert expected.damaged_blocks == 1
    monkeypatch.setattr(module, name, chunk)
    mapped = np.memmap(path, mode="r")
    found = decode(mapped, path.name)
    for field in fields(Recording):
        np.testing.assert_equal(getattr(found, field.name), getattr(expected, field.name), err_msg=field.name)
    if sys.platform == "linux":
        assert resident_kb(path) == 0
    compiled = axivity._unpack if kind == "axivity" else geneactiv_pages._read
    assert len({signature[1:] for signature in compiled.signatures}) == 1, "compiled once a kind of buffer"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_only_the_given_bytes_are_released(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (64 * mmap.PAGESIZE // 256))
    mapped = np.memmap(path, mode="r")
    total = int(mapped.sum())
    page = mmap.PAGESIZE
    assert resident_kb(path) == 64 * page // 1024
    release_pages(mapped, 2 * page + 5, 17 * page + 5)
    assert resident_kb(path) == (64 - 15) * page // 1024
    assert int(mapped.sum()) == total
    release_pages(mapped, 24 * page, 10**9)
    assert resident_kb(path) == 24 * page // 1024
    written = np.memmap(path, mode="c")
    written[5] ^= 255
    release_pages(written)
    assert written[5] == 250, "only in memory"
    release_pages(mapped[5:], 0)
    release_pages(b"bytes")
    assert int(mapped.sum()) == total
