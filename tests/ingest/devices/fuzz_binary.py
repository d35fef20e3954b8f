"""Honest binary recordings: devices that stop, sleep and are started again, and files with parts missing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.ingest.devices import cwa_file, fuzz_movement, geneactiv_file, gt3x_file
from tests.ingest.devices.fuzz_law import Honest, Span
from tests.ingest.devices.fuzz_movement import Movement

Float = NDArray[np.float64]
Rng = np.random.Generator
PER_G = 256
LENGTH_S = 240
EPOCH = datetime(1970, 1, 1)


def axivity(rng: Rng) -> Honest:
    """Return a .cwa file: logging stops for seconds to days and starts again from number 0, or blocks are lost."""
    code, nominal_hz = [(0x48, 25.0), (0x49, 50.0), (0x4A, 100.0)][int(rng.integers(3))]
    true_hz = nominal_hz * (1 + rng.uniform(-0.025, 0.025))
    movement = _movement(rng, nominal_hz)
    begin = _start(rng)
    rows = 80
    spans: list[list[float]] = []
    blocks = []
    at_s, kinds = float(rng.uniform(0, 1)), {f"{nominal_hz:g} Hz"}
    sessions = int(rng.integers(1, 4))
    for session in range(sessions):
        count = max(12, int(LENGTH_S / sessions * true_hz / rows))
        lost = _lost(rng, count) if rng.random() < 0.5 else np.zeros(count, dtype=bool)
        kinds |= {"blocks lost"} if lost.any() else set()
        for k in range(count):
            time_s = at_s + k * rows / true_hz
            if not lost[k]:
                blocks.append(_block(movement, begin, time_s, true_hz, rows, k, code))
                _extend(spans, time_s, time_s + (rows - 1) / true_hz, 1.5 / true_hz)
        at_s += count * rows / true_hz
        if session < sessions - 1:
            kinds.add("started again")
            at_s += float(np.exp(rng.uniform(np.log(2), np.log(5 * 86_400))))
    data = cwa_file.header(rate_code=code) + b"".join(blocks)
    return _from_spans(("axivity", *sorted(kinds)), "a.cwa", data, movement, begin, spans, true_hz)


def _block(
    movement: Movement, begin: datetime, time_s: float, rate_hz: float, rows: int, number: int, code: int
) -> bytes:
    samples = _counts(movement.at(time_s + np.arange(rows) / rate_hz)).tolist()
    stamp = begin + timedelta(seconds=time_s)
    return cwa_file.block(
        samples,
        sequence=number,
        time=stamp.replace(microsecond=0),
        fraction=stamp.microsecond * 32_768 // 1_000_000,
        rate_code=code,
    )


def actigraph(rng: Rng) -> Honest:
    """Return a .gt3x file: seconds of idle sleep, of USB, or without a record."""
    rate = int(rng.choice([30, 40, 50, 60, 80, 100]))
    movement = _movement(rng, rate)
    records = []
    spans: list[list[float]] = []
    kinds = {f"{rate} Hz"}
    second, left = 0, LENGTH_S
    while left > 0:
        length = min(left, int(rng.integers(5, 120)))
        for s in range(second, second + length):
            counts = _counts(movement.at(s + np.arange(rate) / rate))
            write = gt3x_file.activity2 if rate % 2 == 0 and rng.random() < 0.5 else gt3x_file.activity
            records.append(write(gt3x_file.SECOND + s, [(x, y, z) for x, y, z in counts.tolist()]))
            _extend(spans, float(s), s + (rate - 1) / rate, 1.5 / rate)
        second, left = second + length, left - length
        kind = str(rng.choice(["sleep", "usb", "missing", "pause"]))
        if left <= 0:
            break
        kinds.add(kind)
        away = int(np.exp(rng.uniform(np.log(1), np.log(200 if kind != "pause" else 3 * 86_400))))
        if kind == "sleep":
            records.append(gt3x_file.event(gt3x_file.SECOND + second, 8))
            records.append(gt3x_file.event(gt3x_file.SECOND + second + away, 9))
        elif kind == "usb":
            records += [gt3x_file.record(26, gt3x_file.SECOND + second + i, b"\0") for i in range(min(away, 50))]
        second += away
    data = gt3x_file.recording(records, Sample_Rate=rate)
    start = np.datetime64(gt3x_file.START, "us")
    return Honest(
        ("actigraph", *sorted(kinds)),
        "a.gt3x",
        data,
        movement,
        start,
        [Span(*span) for span in spans],
        slowest_hz=rate,
        step_g=1 / PER_G,
        late_s=0.001,
        edges=tuple(span[0] for span in spans[1:]),
    )


def geneactiv(rng: Rng) -> Honest:
    """Return a .bin file with pages missing."""
    rate = float(rng.choice([20, 40, 60, 85.7, 100]))
    true_hz = rate * (1 + rng.uniform(-0.005, 0.005))
    movement = _movement(rng, rate)
    begin = _start(rng)
    pages = []
    spans: list[list[float]] = []
    count = max(8, int(LENGTH_S * rate / 300))
    lost = _lost(rng, count)
    for k in range(count):
        if lost[k]:
            continue
        time_s = k * 300 / true_hz
        samples = [(x, y, z, 5, 0) for x, y, z in _counts(movement.at(time_s + np.arange(300) / true_hz)).tolist()]
        pages.append(geneactiv_file.page(samples, k, begin + timedelta(seconds=round(time_s, 3)), rate=f"{rate:g}"))
        _extend(spans, time_s, time_s + 299 / true_hz, 1.5 / true_hz)
    data = geneactiv_file.header(Measurement_Frequency=f"{rate:g} Hz") + b"".join(pages)
    return _from_spans(("geneactiv", f"{rate:g} Hz"), "a.bin", data, movement, begin, spans, true_hz)


KINDS: dict[str, Any] = {"axivity": axivity, "actigraph": actigraph, "geneactiv": geneactiv}


def _from_spans(
    kinds: tuple[str, ...],
    name: str,
    data: bytes,
    movement: Movement,
    begin: datetime,
    spans: list[list[float]],
    true_hz: float,
) -> Honest:
    """Return a recording with samples in these spans, stamped by the device."""
    return Honest(
        kinds,
        name,
        data,
        movement,
        np.datetime64(begin, "us"),
        [Span(*span) for span in spans],
        slowest_hz=true_hz,
        step_g=1 / PER_G,
        late_s=0.003,
        edges=tuple(span[0] for span in spans[1:]),
    )


def _movement(rng: Rng, rate_hz: float) -> Movement:
    return fuzz_movement.draw(rng, rate_hz, float(np.exp(rng.uniform(np.log(0.02), np.log(0.6)))))


def _start(rng: Rng) -> datetime:
    begin = datetime(2023, 1, 1) + timedelta(days=int(rng.integers(0, 1200)), seconds=int(rng.integers(0, 86_400)))
    return begin.replace(hour=23, minute=58) if rng.random() < 0.2 else begin


def _counts(x_CN: Float) -> NDArray[np.int64]:
    return np.rint(x_CN.T * PER_G).astype(np.int64)


def _lost(rng: Rng, count: int) -> NDArray[np.bool_]:
    """Draw which blocks are lost: some runs of them, neither the first nor the last."""
    lost = np.zeros(count, dtype=bool)
    for begin in rng.integers(2, count - 2, size=int(rng.integers(0, 4))):
        lost[begin : begin + int(rng.integers(1, 4))] = True
    lost[:2] = lost[-2:] = False
    return lost


def _extend(spans: list[list[float]], begin: float, end: float, most: float) -> None:
    """Add a block to the spans; it continues the last one if it follows within `most` seconds."""
    if spans and begin - spans[-1][1] < most:
        spans[-1][1] = end
    else:
        spans.append([begin, end])
