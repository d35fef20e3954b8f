"""Thousands of damaged recordings from a seed: no reader may crash, hang or need more memory than a worker has.

`python -m tests.ingest.devices.fuzz DEVICE --count 5000` reads that many, `--case 17` one of them again. A case is
bytes that were cut, flipped, repeated or swapped, or whose header is nonsense under a good checksum. The result has to
be a UserError, or a consistent recording that can be processed.
"""

from __future__ import annotations

import argparse
import gzip
import io
import re
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.clock import peak_mb
from ingest.devices.actigraph import gt3x_format as gt3x
from ingest.devices.axivity.cwa_format import BLOCK, HEADER
from ingest.devices.registry import decode, probe
from ingest.process import process
from ingest.recording import Recording
from ingest.settings import SignalSettings
from ingest.simulate.actigraph_file import record
from ingest.simulate.axivity_file import checksum
from ingest.simulate.recording import SUFFIX, simulate_recording
from pipeline.errors import UserError
from tests.ingest.devices import fuzz_table

Rng = np.random.Generator
SUFFIXES: dict[Any, str] = {**SUFFIX, "table": ".csv"}
DEVICES = tuple(SUFFIXES)
MAX_BYTES = 1.5e9
MAX_SECONDS = 60
"""CPU seconds for a case, which takes hundredths of a second."""
HUGE = [str(number) for number in (0, 1, -1, 2**16, 2**31, 2**32 - 1, 2**60, 2**63, 10**30)]
"""Numbers that a text header may state."""
LYING = {1: [8, 10, 16, 20, 24, 28, 30, 42], 3: [6, 8, 14, 18, 22, 26, 28], 5: [10, 12, 16]}
"""Offsets of fields in the three headers of a zip archive, by the third byte of their signatures."""
SCRIPT = (("walking", 20), ("sitting", 60), ("sleep", 40))


@cache
def base(device: Any, number: int) -> bytes:
    """Return a small good recording of a device; numbers differ in person, rate and packing."""
    if device == "table":
        return fuzz_table.base(number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"base{SUFFIX[device]}"
        packing: Any = "unpacked" if number % 2 else "packed, finest step"
        simulate_recording(path, 1, 1 + number, script=SCRIPT, kind=device, packing=packing, idle_sleep=True)
        return path.read_bytes()


def cases(device: str, seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of damaged recordings; the same arguments give the same ones."""
    return (case(device, seed, number) for number in range(count))


def case(device: str, seed: int, number: int) -> tuple[str, bytes]:
    """Return one of them."""
    rng = np.random.default_rng((seed, DEVICES.index(device), number))
    data = base(device, int(rng.integers(2)))
    if rng.random() < 0.5:
        data = NONSENSE[device](data, rng)
    for _ in range(int(rng.integers(0, 4))):
        data = damaged(data, rng)
    name = "a" + SUFFIXES[device]
    if rng.random() < 0.1:
        packed = gzip.compress(data, 1, mtime=0)
        return name + ".gz", damaged(packed, rng) if rng.random() < 0.5 else packed
    return name, data


def damaged(data: bytes, rng: Rng) -> bytes:
    """Return bytes with a fault that any file can have."""
    if not data:
        return data
    size = len(data)
    begin = int(rng.integers(size))
    length = int(min(size - begin, 2 ** rng.uniform(0, np.log2(size) + 1)))
    part, other = data[begin : begin + length], int(rng.integers(size))
    match rng.integers(9):
        case 0:
            return data[:begin]
        case 1:
            return data[begin:]
        case 2:
            return data[:begin] + data[begin + length :]
        case 3:
            return data[:begin] + part + data[begin:]
        case 4:
            return data[:other] + part + data[other:]
        case 5:
            return data[:begin] + bytes(length) + data[begin + length :]
        case 6:
            return data[:begin] + rng.bytes(length) + data[begin + length :]
        case 7:
            return data[:begin] + bytes([data[begin]]) * length + data[begin + length :]
    flipped = bytearray(data)
    for at in rng.integers(size, size=int(rng.integers(1, 20))):
        flipped[at] ^= 1 << int(rng.integers(8))
    return bytes(flipped)


def shuffled(pieces: list[bytes], rng: Rng) -> list[bytes]:
    """Lose some pieces, repeat some, and move some."""
    begin = int(rng.integers(len(pieces)))
    some = pieces[begin : begin + int(rng.integers(1, 40))]
    match rng.integers(4):
        case 0:
            return pieces[:begin] + pieces[begin + len(some) :]
        case 1:
            return pieces[:begin] + some + pieces[begin:]
        case 2:
            return pieces[begin:] + pieces[:begin]
    return pieces * int(rng.integers(2, 4))


def axivity(data: bytes, rng: Rng) -> bytes:
    """Return a .cwa file with nonsense in its header, or in blocks with valid checksums."""
    if rng.random() < 0.3:
        head = np.frombuffer(data[: HEADER.itemsize], dtype=HEADER).copy()
        name = str(rng.choice(["hardware", "rate_code", "device_id", "logging_start", "time_zone", "sensor_config"]))
        head[name] = rng.integers(0, 256)
        return head.tobytes() + data[HEADER.itemsize :]
    blocks = np.frombuffer(data[HEADER.itemsize :], dtype=BLOCK).copy()
    some = rng.random(len(blocks)) < rng.choice([0.02, 0.3, 1.0])
    name = str(
        rng.choice(
            [
                "timestamp",
                "timestamp_offset",
                "device_fractional",
                "sequence_id",
                "rate_code",
                "format",
                "light",
                "temperature",
                "sample_count",
            ]
        )
    )
    limits = np.iinfo(BLOCK.fields[name][0])
    extreme = rng.choice([limits.min, limits.max, limits.max // 2, 1])
    blocks[name][some] = extreme if rng.random() < 0.5 else rng.integers(limits.min, limits.max, some.sum())
    blocks["checksum"] = checksum(blocks)
    pieces = [block.tobytes() for block in blocks]
    return data[: HEADER.itemsize] + b"".join(shuffled(pieces, rng) if rng.random() < 0.3 else pieces)


def actigraph(data: bytes, rng: Rng) -> bytes:
    """Return a .gt3x file with nonsense in its archive, its info.txt, or in records with valid checksums."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info, log = archive.read("info.txt").decode(), archive.read("log.bin")
    records = split_log(log)
    match rng.integers(7):
        case 0:
            key = str(rng.choice(re.findall(r"^([A-Z][\w ]+):", info, re.MULTILINE)))
            info = re.sub(rf"^{key}: .*$", f"{key}: {rng.choice([*HUGE, 'nan', '', 'x'])}", info, flags=re.MULTILINE)
        case 1:
            records = shuffled(records, rng)
        case 2:
            records = [restamped(piece, rng) if rng.random() < 0.05 else piece for piece in records]
        case 3:
            events = [record(gt3x.EVENT, int(second), bytes([kind])) for second in _seconds(rng) for kind in (8, 9)]
            for event in events[: int(rng.integers(1, len(events)))]:
                records.insert(int(rng.integers(len(records))), event)
        case 4:
            words = rng.integers(0, 2**16, (int(rng.integers(1, 50)), 4), dtype=np.uint16)
            keys = np.array([gt3x.ACCEL_SCALE, gt3x.SAMPLE_RATE, gt3x.START_TIME, gt3x.STOP_TIME, gt3x.FIRMWARE])
            words[:, :2] = keys[rng.integers(len(keys), size=len(words))]
            records.insert(0, record(gt3x.PARAMETERS, 0, words.tobytes()))
        case 5:
            filler = rng.choice([b"\x1e", b"\0", b"\x1e\x06\xff\xff", b"\x1e\x00", bytes(rng.bytes(3))])
            records.insert(int(rng.integers(len(records))), filler * int(rng.integers(1, 200_000)))
        case 6:
            kind = int(rng.integers(0, 256))
            records.insert(int(rng.integers(len(records))), record(kind, 5, rng.bytes(int(rng.integers(0, 65_536)))))
    return archived(info, b"".join(records), rng)


def archived(info: str, log: bytes, rng: Rng) -> bytes:
    """Return a .gt3x file, sometimes of the old kind, sometimes with false sizes and methods in its headers."""
    held = io.BytesIO()
    method = int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    with zipfile.ZipFile(held, "w", method) as archive:
        files = [("info.txt", info.encode()), ("activity.bin" if rng.random() < 0.2 else "log.bin", log)]
        for name, content in files if rng.random() < 0.5 else files[::-1]:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    data = bytearray(held.getvalue())
    if rng.random() < 0.3:
        headers = [(m.start(), m.group()[2]) for m in re.finditer(b"PK(\x01\x02|\x03\x04|\x05\x06)", bytes(data))]
        at, kind = headers[int(rng.integers(len(headers)))]
        field = int(at + rng.choice(LYING[kind]))
        data[field : field + 4] = int(rng.choice([0, 1, 8, 0xFFFF, 0xFFFFFFFF, 1 << 30])).to_bytes(4, "little")
    return bytes(data)


def split_log(log: bytes) -> list[bytes]:
    """Return the records of a good log."""
    records, at = [], 0
    while at < len(log):
        end = at + gt3x.HEAD_BYTES + int.from_bytes(log[at + 6 : at + 8], "little") + 1
        records.append(log[at:end])
        at = end
    return records


def restamped(piece: bytes, rng: Rng) -> bytes:
    """Return a record with another time."""
    return record(piece[1], int(rng.choice(_seconds(rng))), piece[gt3x.HEAD_BYTES : -1])


def _seconds(rng: Rng) -> list[int]:
    return [0, 1, 2**31, 2**32 - 1, 1_709_700_000, int(rng.integers(2**32))]


def geneactiv(data: bytes, rng: Rng) -> bytes:
    """Return a .bin file with nonsense in its header or on its pages, which have no checksum."""
    pages = re.split(b"(?=Recorded Data)", data)
    head, pages = pages[0], pages[1:]
    if rng.random() < 0.4:
        keys = re.findall(rb"^([\w ]+):", head, re.MULTILINE)
        key, value = (
            keys[int(rng.integers(len(keys)))],
            str(rng.choice([*HUGE, "nan", "", "x" * 999])),
        )
        head = re.sub(rb"(?m)^" + key + rb":[^\r]*", key + b":" + value.encode(), head)
        return head + b"".join(pages)
    if rng.random() < 0.3:
        return head + b"".join(shuffled(pages, rng))
    key = [b"Sequence Number", b"Page Time", b"Temperature", b"Measurement Frequency"][int(rng.integers(4))]
    times = ["1970-01-01 00:00:00:000", "2106-02-07 06:28:15:000", "2024-02-30 00:00:00:000", "0000-00-00 00:00:00:000"]
    wrong = str(rng.choice([*times, *HUGE, "nan", "", "9" * 500])).encode()
    chance = rng.choice([0.05, 0.5, 1.0])
    return head + b"".join(
        re.sub(key + rb":[^\r]*", key + b":" + wrong, page) if rng.random() < chance else page for page in pages
    )


NONSENSE: dict[str, Callable[[bytes, Rng], bytes]] = {
    "axivity": axivity,
    "actigraph": actigraph,
    "geneactiv": geneactiv,
    "table": fuzz_table.nonsense,
}


def check(name: str, data: bytes, with_days: bool) -> str:
    """Probe, decode and process a case (`with_days`: its days too); returns the outcome, raises on a fault."""
    with suppress(UserError):
        probe(io.BytesIO(data), name, len(data))
    try:
        recording = decode(data, name)
        check_arrays(recording)
        processed = process(recording, SignalSettings(any_location=True))
        assert processed.figures.samples == recording.samples
        days = list(processed.days()) if with_days else []
        assert len(days) <= processed.timeline.days
    except UserError:
        return "rejected"
    return "damage counted" if recording.damaged_blocks else "read"


def check_arrays(recording: Recording) -> None:
    """Check the arrays of a recording against its contract."""
    blocks = recording.first_K.size
    for values_K in (
        recording.count_K,
        recording.sequence_K,
        recording.stamp_sample_K,
        recording.stamp_us_K,
        recording.stamped_K,
        recording.celsius_K,
    ):
        assert values_K.shape == (blocks,)
    assert recording.counts_CN.shape == (3, recording.count_K.sum())
    assert (recording.first_K == np.cumsum(recording.count_K) - recording.count_K).all()
    assert (recording.count_K > 0).all()
    assert recording.damaged_blocks >= 0
    assert np.isfinite([*recording.g_per_count_C, *recording.offset_g_C, recording.nominal_rate_hz]).all()
    idle_M2 = recording.idle_spans_us
    assert (idle_M2[:, 0] < idle_M2[:, 1]).all()
    assert (idle_M2[1:, 0] >= idle_M2[:-1, 1]).all()


def main() -> None:
    """Read cases, and print each before it is read, so that a crash has a number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", choices=DEVICES)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="this one alone")
    arguments = parser.parse_args()
    outcomes: dict[str, int] = {}
    for number in range(arguments.count) if arguments.case is None else [arguments.case]:
        print("case", number, flush=True)
        signal.setitimer(signal.ITIMER_PROF, MAX_SECONDS)
        outcome = check(*case(arguments.device, arguments.seed, number), with_days=number % 10 == 0)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
    peak = peak_mb() * 1e6  # ru_maxrss would contain the memory of the process that started this one
    assert peak < MAX_BYTES, f"{peak / 1e9:.2f} GB of memory"
    print(f"{arguments.device}: {outcomes}, at most {peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
