"""Bad input is rejected, without the file's name."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.devices.registry import decode
from pipeline.errors import UserError
from tests.ingest.devices.axivity.in_memory import NAME, probe_bytes, still
from tests.ingest.devices.cwa_file import header


def test_an_unknown_file_is_rejected() -> None:
    with pytest.raises(UserError, match=r"\.cwa"):
        decode(b"", "secret.xyz")


BAD = {
    "empty": (b"", "found 0 bytes"),
    "cut header": (header()[:700], "found 700 bytes"),
    "text": (b"time,x,y,z\n" * 500, "not an Axivity recording"),
    "other hardware": (header(hardware=0x42) + still(3), "0x42"),
    "no blocks": (header(), "found 0 damaged ones"),
    "only damaged blocks": (header() + bytes(512 * 9000), "damaged ones"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("read", [probe_bytes, lambda data: decode(data, NAME)])
def test_bad_input_is_rejected_without_the_name(case: Any, read: Any) -> None:
    data, message = BAD[case]
    with pytest.raises(UserError, match=message) as error:
        read(data)
    assert "EID" not in str(error.value)


@pytest.mark.parametrize("read", [probe_bytes, decode])
@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-50], lambda data: data[:300] + b"xx" + data[302:], lambda _: b"no"]
)
def test_damaged_gzip_is_rejected(read: Any, spoil: Any) -> None:
    with pytest.raises(UserError, match="gzip"):
        read(spoil(gzip.compress(header() + still(400), mtime=0)), NAME + ".gz")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=3000), st.booleans())
def test_garbage_raises_only_user_errors(junk: Any, with_header: Any) -> None:
    data = (header() if with_header else b"") + junk
    for read in (probe_bytes, lambda data: decode(data, NAME)):
        with pytest.raises(UserError):
            read(data)
