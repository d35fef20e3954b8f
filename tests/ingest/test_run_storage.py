"""Which fault is a recording's, which the storage's and which the program's; and that none of them names anybody."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest
from fsspec.exceptions import FSTimeoutError
from yarl import URL

from ingest.run.sources import RunFault, Source, faults_sorted
from ingest.run.worker import place, told
from pipeline.errors import UserError
from pipeline.storage import Folder, StorageAway

NAME = "anna smith/1234567_90001_0_0.cwa.gz"
SOURCE = Source(NAME, "fedcba9876543210", 1, "f")
PARTS = ("anna", "smith", "1234567", "90001")


def unavailable() -> Exception:
    """What the file system for http raises when a server is busy."""
    url = URL("https://h/raw").joinpath(*NAME.split("/"))
    return aiohttp.ClientResponseError(aiohttp.RequestInfo(url, "GET", {}, url), (), status=503)  # type: ignore[arg-type]


def sorted_as(url: str, error: Exception) -> Exception:
    with pytest.raises(Exception) as found, faults_sorted(Folder(url), SOURCE):  # noqa: PT011
        raise error
    return found.value


@pytest.mark.parametrize(
    "fault",
    [
        lambda: OSError(errno.EBUSY, f"slow down: {NAME}"),
        lambda: OSError(errno.EREMOTEIO, "internal error"),
        lambda: FSTimeoutError(NAME),
        lambda: ConnectionResetError(errno.ECONNRESET, "reset"),
        lambda: OSError(errno.EMFILE, "too many", NAME),
        lambda: PermissionError(errno.EACCES, NAME),
        unavailable,
    ],
)
def test_storage_that_fails_stops_the_run(fault: Callable[[], Exception]) -> None:
    found = sorted_as("memory://raw", fault())
    assert isinstance(found, RunFault | StorageAway)
    assert not [part for part in PARTS if part in str(found)]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.EIO])
def test_a_machine_that_fails_stops_the_run(number: int, tmp_path: Path) -> None:
    assert isinstance(sorted_as(str(tmp_path), OSError(number, "x", NAME)), RunFault)


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.EINVAL])
def test_a_file_that_cannot_be_read_is_the_recordings_fault(number: int, tmp_path: Path) -> None:
    found = sorted_as(str(tmp_path), OSError(number, "x", NAME))
    assert isinstance(found, UserError)
    assert not isinstance(found, RunFault)
    assert not [part for part in PARTS if part in str(found)]


def test_other_faults_pass(tmp_path: Path) -> None:
    error = KeyError("x")
    assert sorted_as(str(tmp_path), error) is error


def test_a_fault_of_the_program_tells_its_place_and_nobodys_name() -> None:
    with pytest.raises(FileNotFoundError) as missing:
        Folder("memory://").read(NAME)
    assert re.fullmatch(r"fault of the program, FileNotFoundError at pipeline\.storage:\d+", place(missing.value))
    error = RuntimeError(f"no 1234567 of Anna%20Smith: {SOURCE.name!r}, {unavailable()}")
    error.__cause__ = missing.value
    text = told(error, SOURCE)
    assert "FileNotFoundError" in text
    assert "RuntimeError: no <name> of" in text
    assert not [part for part in PARTS if part in text.lower()]
