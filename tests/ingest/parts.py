"""Recordings cut into files, as recorders and archives split them: each part is a recording of its own."""

from __future__ import annotations

import io
import re
import struct
import zipfile
from collections.abc import Sequence
from itertools import pairwise

CWA_HEADER, CWA_BLOCK = 1024, 512
PARAMETERS, METADATA = 0x15, 0x06
SAMPLES = (0x00, 0x1A)
LOG_HEAD = struct.Struct("<BBIH")


def shares(pieces: int, parts: int) -> list[slice]:
    """Some equal parts of a sequence."""
    ends = [pieces * part // parts for part in range(parts + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


def cut_cwa(data: bytes, parts: int) -> list[bytes]:
    """A .cwa between blocks."""
    blocks = (len(data) - CWA_HEADER) // CWA_BLOCK
    cut = [CWA_HEADER + CWA_BLOCK * share.start for share in shares(blocks, parts)]
    return [data[:CWA_HEADER] + data[a:b] for a, b in pairwise([*cut, len(data)])]


def cut_geneactiv(data: bytes, parts: int) -> list[bytes]:
    """A .bin between pages."""
    at = [found.start() for found in re.finditer(rb"Recorded Data", data)]
    cut = [at[share.start] for share in shares(len(at), parts)]
    return [data[: at[0]] + data[a:b] for a, b in pairwise([*cut, len(data)])]


def cut_gt3x(data: bytes, parts: int) -> list[bytes]:
    """A .gt3x between two records of samples; each part has the records of the beginning that state rate and scale."""
    archive = zipfile.ZipFile(io.BytesIO(data))
    log = archive.read("log.bin")
    records: list[bytes] = []
    head: list[bytes] = []
    at = 0
    while at < len(log):
        _, kind, _, size = LOG_HEAD.unpack_from(log, at)
        record = log[at : at + LOG_HEAD.size + size + 1]
        (head if kind in (PARAMETERS, METADATA) else records).append(record)
        at += len(record)
    awake = [n for n in range(1, len(records)) if records[n][1] in SAMPLES and records[n - 1][1] in SAMPLES]
    cuts = [awake[share.start] for share in shares(len(awake), parts)[1:]]
    info = archive.read("info.txt")
    return [_gt3x(info, [*head, *records[a:b]]) for a, b in pairwise([0, *cuts, len(records)])]


def _gt3x(info: bytes, records: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("info.txt", info)
        archive.writestr("log.bin", b"".join(records))
    return out.getvalue()


def cut_table(data: bytes, rows: Sequence[int], header_lines: int = 1) -> list[bytes]:
    """A csv before some of its rows; each part has the header."""
    lines = data.splitlines(keepends=True)
    header, body = b"".join(lines[:header_lines]), lines[header_lines:]
    return [header + b"".join(body[a:b]) for a, b in pairwise([0, *rows, len(body)])]


CUT = {".cwa": cut_cwa, ".gt3x": cut_gt3x, ".bin": cut_geneactiv}
"""How a recording of each device is cut, by suffix."""
