"""The content of a file decides which module reads it; wrappings are opened, and bombs are rejected."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.io import wrapped
from ingest.devices.io.ends import DAY_US, is_near_median
from ingest.devices.registry import decode, devices, is_recording, probe
from pipeline.errors import UserError
from tests.ingest.devices.cwa_file import block, header

SECRET = "Jane_Doe"
CWA = header() + b"".join(block([(0, 0, 256)] * 120, [2] * 120, sequence=k) for k in range(300))


def probe_bytes(data: bytes, name: str) -> Any:
    return probe(io.BytesIO(data), name, len(data))


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


COUNTS_CN = decode(CWA, "a.cwa").counts_CN
WRAPPED = {
    "plain": CWA,
    "gz": gzip.compress(CWA),
    "zip": zipped({"a.cwa": CWA}),
    "stored": zipped({"a.cwa": CWA}, zipfile.ZIP_STORED),
    "bzip2": zipped({"a.cwa": CWA}, zipfile.ZIP_BZIP2),
    "xz": zipped({"a.cwa": CWA}, zipfile.ZIP_LZMA),
    "gz in zip": zipped({"a.cwa.gz": gzip.compress(CWA)}),
    "zip in gz": gzip.compress(zipped({"a.cwa": CWA})),
    "from a Mac": zipped({"folder/": b"", "folder/a.cwa": CWA, "__MACOSX/folder/._a.cwa": b"left", "notes.txt": b"x"}),
    "of another name": zipped({"recording": CWA}),
}


@pytest.mark.parametrize("name", ["a.cwa", "a.bin", "a.csv", "a.parquet", "a", "a.cwa.zip", "a.cwa.gz"])
@pytest.mark.parametrize("how", WRAPPED)
def test_the_reader_is_chosen_by_content_and_not_by_name(how: str, name: str) -> None:
    wanted = decode(CWA, "a.cwa")
    assert np.array_equal(decode(WRAPPED[how], name).counts_CN, wanted.counts_CN)
    assert probe_bytes(WRAPPED[how], name) == probe_bytes(CWA, "a.cwa")


REFUSED = {
    "nothing in it": (zipped({}), "expected zip data"),
    "two recordings": (zipped({f"{SECRET}.cwa": CWA, "b.cwa": CWA}), "holds 2 recordings. Unpack"),
    "no recording": (zipped({f"{SECRET}.txt": b"x", "b.txt": b"y"}), "holds 2 files, none named"),
    "something else": (zipped({f"{SECRET}.txt": b"x"}), "no reader recognises"),
    "garbage": (zipped({f"{SECRET}.cwa": b"nothing " * 999}), "not an Axivity recording"),
    "three layers": (gzip.compress(gzip.compress(gzip.compress(CWA))), "at most 2 layers"),
    "damaged": (WRAPPED["zip"][:200] + b"\xff\xff\xff" + WRAPPED["zip"][203:], "zip file is damaged"),
    "cut off": (WRAPPED["zip"][:-30], "zip file is damaged"),
    "encrypted": (
        WRAPPED["zip"][:6] + b"\1" + WRAPPED["zip"][7:].replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1"),
        "encrypted",
    ),
}


@pytest.mark.parametrize("read", [probe_bytes, decode])
@pytest.mark.parametrize("case", REFUSED)
def test_errors_of_unwrapping_contain_no_names(case: str, read: Any) -> None:
    data, message = REFUSED[case]
    with pytest.raises(UserError, match=message) as error:
        read(data, f"{SECRET}.zip")
    assert SECRET not in str(error.value)


@pytest.mark.parametrize("read", [probe_bytes, decode])
@pytest.mark.parametrize("wrap", [gzip.compress, lambda data: zipped({"a.cwa": data})])
def test_a_bomb_is_rejected_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch, read: Any, wrap: Any) -> None:
    bomb = wrap(CWA + bytes(60 << 20))
    monkeypatch.setattr(wrapped, "MAX_BYTES", 1 << 20)
    assert len(bomb) * wrapped.MAX_RATIO < 60 << 20
    with pytest.raises(UserError, match=r"(gzip|zip) file unpacks to over"):
        read(bomb, "a.cwa.gz")


def test_no_memory_is_allocated_for_a_false_size() -> None:
    lying = bytearray(gzip.compress(CWA))
    lying[-4:] = b"\xff\xff\xff\xff"
    with pytest.raises(UserError, match="damaged"):
        decode(bytes(lying), "a.cwa.gz")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["gz", "zip", "gz in zip"]), st.integers(0, 2000), st.binary(max_size=8))
def test_a_damaged_wrapping_gives_the_recording_or_an_error(how: str, place: int, junk: bytes) -> None:
    whole = WRAPPED[how]
    place %= len(whole)
    for data in (whole[:place] + junk, whole[:place] + junk + whole[place + len(junk) :]):
        with suppress(UserError):
            assert probe_bytes(data, "a.cwa.gz").device == "AX3"
        with suppress(UserError):
            assert np.array_equal(decode(data, "a.cwa.gz").counts_CN, COUNTS_CN)


class FailingFile(io.BytesIO):
    """A file whose storage fails in the middle."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 2000:
            raise ConnectionResetError("storage is gone")
        return super().read(size)


def test_failing_storage_is_not_reported_as_damage() -> None:
    noise = np.random.default_rng(0).integers(0, 256, 100_000, np.uint8).tobytes()
    data = gzip.compress(CWA[:5000] + noise)
    with pytest.raises(ConnectionResetError):
        probe(FailingFile(data), "a.cwa.gz", len(data))


def test_recordings_are_recognised_by_name() -> None:
    for suffix, _ in devices():
        for name in (f"s3://bucket/a{suffix}", f"A{suffix.upper()}.GZ", f"a{suffix}.zip", "a.zip"):
            assert is_recording(name)
        assert not is_recording(f"_table{suffix}")
        assert not is_recording(f"folder/._a{suffix}")
    assert is_recording("_folder/a.cwa")
    assert not any(is_recording(name) for name in ("cwa", "a.cwa.txt", "a.cwa.gz.gz", "a.gz"))


def test_stamps_on_both_sides_of_a_pause_have_a_median() -> None:
    us_X = np.array([0, 1, 3 * DAY_US, 3 * DAY_US + 1])
    assert is_near_median(us_X).tolist() == [True, True, False, False]
