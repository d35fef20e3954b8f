"""One recording from the decoded parts of it: in the order of their first samples, with a gap where there is a pause.

Parts are of one device, at one rate and on one scale, and do not overlap; nothing else is joined. Blocks that continue
the last part's, in number and time, continue its segment: where a recording was cut between blocks, joining its parts
gives the recording back. Tables are joined row by row instead (`table/reader.py`): a part of an hour shows neither unit
nor scale of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ingest.devices.io.ends import is_near_median
from ingest.recording import Probe, Recording, disjoint_spans
from pipeline.errors import UserError

MAX_OVERLAP_US = 1_000_000
"""Parts may overlap by less: stamps scatter, and the true rate differs from the nominal one."""
EDGE_BLOCKS = 21
"""Stamps at either end of a part that show which of them are stray."""
REMEDY = "Join only parts of one recording: --join-map says which they are, and --name-map which files these ids are."


@dataclass(frozen=True)
class Span:
    """When a part was recorded, in microseconds of the device's clock; `label` identifies it in messages."""

    label: str
    begin_us: int
    end_us: int


def in_order(spans: Sequence[Span], is_copy: Callable[[int, int], bool] = lambda a, b: False) -> list[int]:
    """The places of the spans in the order of their beginnings.

    Raises UserError where some overlap; `is_copy(a, b)` is asked whether two that do hold the same samples.
    """
    order = sorted(range(len(spans)), key=lambda place: (spans[place].begin_us, spans[place].end_us))
    last = order[0]
    for place in order[1:]:
        overlap_us = min(spans[last].end_us, spans[place].end_us) - spans[place].begin_us
        if overlap_us > MAX_OVERLAP_US:
            raise UserError(_overlap(spans[last], spans[place], overlap_us, is_copy(last, place)))
        if spans[place].end_us > spans[last].end_us:
            last = place
    return order


def _overlap(before: Span, after: Span, overlap_us: int, is_copy: bool) -> str:
    pair = f"its parts {before.label} and {after.label}"
    if is_copy:
        return f"{pair} have the same samples: one file twice. Leave out one of them. {REMEDY}"
    return (
        f"{pair} overlap by {_length(overlap_us)}: they are of two recordings, or the clock was set back between them. "
        f"{REMEDY}"
    )


def _length(us: int) -> str:
    return f"{us / 3.6e9:,.1f} h" if us >= 3.6e8 else f"{us / 1e6:,.1f} s"


@contextmanager
def of_part(label: str, parts: int = 2) -> Iterator[None]:
    """Add to a UserError which of the parts it is about, where there are several."""
    try:
        yield
    except UserError as error:
        if parts > 1:
            error.args = (f"its part {label}: {error}",)
        raise


def join_probes(labels: Sequence[str], probes: Sequence[Probe]) -> Probe:
    """What is known of a recording from the probes of its parts; raises UserError as `join` does."""
    if len(probes) == 1:
        return probes[0]
    require_same(labels, [_kind(probe) for probe in probes])
    start, end = ([getattr(probe, at).astype(np.int64) for probe in probes] for at in ("start", "end"))
    in_order([Span(*each) for each in zip(labels, map(int, start), map(int, end), strict=True)])
    return replace(
        probes[0],
        start=min(probe.start for probe in probes),
        end=max(probe.end for probe in probes),
        samples=sum(probe.samples for probe in probes),
        location=next((probe.location for probe in probes if probe.location), None),
        clock=next((probe.clock for probe in probes if probe.clock), None),
    )


def join(labels: Sequence[str], recordings: list[Recording]) -> Recording:
    """The recording whose parts are `recordings`, which are taken out of the list: memory holds the samples once.

    Raises UserError where the parts are of several devices, rates or scales, have no calendar times, or overlap.
    """
    if len(recordings) == 1:
        return recordings.pop()
    require_same(labels, [_kind(part) | _scale(part) for part in recordings])
    spans = [_span(label, part) for label, part in zip(labels, recordings, strict=True)]

    def is_copy(a: int, b: int) -> bool:
        return spans[a].begin_us == spans[b].begin_us and np.array_equal(
            recordings[a].counts_CN, recordings[b].counts_CN
        )

    parts = [recordings[place] for place in in_order(spans, is_copy)]
    recordings.clear()
    firmware = {part.firmware for part in parts}
    extras = _extras(parts)
    counts_CN = np.empty((3, sum(part.samples for part in parts)), dtype=np.int16)
    blocks: list[Recording] = []
    first = 0
    while parts:
        part = parts.pop(0)
        counts_CN[:, first : first + part.samples] = part.counts_CN
        blocks.append(_continued(part, blocks[-1] if blocks else None, first))
        first += part.samples
    return replace(
        blocks[0],
        counts_CN=counts_CN,
        location=next((part.location for part in blocks if part.location), None),
        clock=next((part.clock for part in blocks if part.clock), None),
        firmware=firmware.pop() if len(firmware) == 1 else None,
        damaged_blocks=sum(part.damaged_blocks for part in blocks),
        idle_spans_us=disjoint_spans(np.concatenate([part.idle_spans_us for part in blocks])),
        extras=extras,
        first_K=_of_all(blocks, "first_K"),
        count_K=_of_all(blocks, "count_K"),
        sequence_K=_of_all(blocks, "sequence_K"),
        stamp_sample_K=_of_all(blocks, "stamp_sample_K"),
        stamp_us_K=_of_all(blocks, "stamp_us_K"),
        stamped_K=_of_all(blocks, "stamped_K"),
        celsius_K=_of_all(blocks, "celsius_K"),
        resumed_K=_of_all(blocks, "resumed_K"),
    )


def _of_all(parts: Sequence[Recording], name: str) -> Any:
    return np.concatenate([getattr(part, name) for part in parts])


def require_same(labels: Sequence[str], kinds: Sequence[dict[str, Any]]) -> None:
    """Raise UserError where a part differs from the first that states it; None is not stated. Serials are not shown."""
    for what in kinds[0]:
        stated = [(label, kind[what]) for label, kind in zip(labels, kinds, strict=True) if kind[what] is not None]
        other = next(((label, value) for label, value in stated if value != stated[0][1]), None)
        if other is not None:
            shown = "" if what == SERIAL else f" ({stated[0][1]} and {other[1]})"
            raise UserError(f"its parts {stated[0][0]} and {other[0]} have different {what}{shown}. {REMEDY}")


SERIAL = "serial numbers: they are of two devices"


def _kind(part: Recording | Probe) -> dict[str, Any]:
    return {
        "kinds of device": part.device,
        SERIAL: part.serial,
        "places on the body": part.location,
        "clocks": part.clock,
    }


def _scale(part: Recording) -> dict[str, Any]:
    return {
        "rates in Hz": part.nominal_rate_hz,
        "origins of time": part.origin,
        "scales in g per count": tuple(part.g_per_count_C.tolist()),
        "offsets in g": tuple(part.offset_g_C.tolist()),
        "ranges in counts": (part.rail_counts, part.limit_counts),
    }


def _span(label: str, part: Recording) -> Span:
    """When a part begins and ends, by the first and the last of its stamps that are not stray."""
    stamped = np.flatnonzero(part.stamped_K)
    if not stamped.size or part.origin == "start":
        raise UserError(
            f"its part {label} has no calendar times, so that its place among the others is unknown. {REMEDY}"
        )
    if part.pace is not None:
        raise UserError(f"its part {label} has samples that are not evenly spaced: such parts cannot be joined.")
    period_us = 1e6 / part.nominal_rate_hz
    head, tail = stamped[:EDGE_BLOCKS], stamped[-EDGE_BLOCKS:]
    first = head[is_near_median(part.stamp_us_K[head])][0]
    last = tail[is_near_median(part.stamp_us_K[tail])][-1]
    begin_us = part.stamp_us_K[first] - round(part.stamp_sample_K[first] * period_us)
    end_us = part.stamp_us_K[last] + round((part.samples - part.stamp_sample_K[last]) * period_us)
    return Span(label, int(begin_us), int(end_us))


def _continued(part: Recording, before: Recording | None, first: int) -> Recording:
    """The blocks of a part, without its samples, as those from sample `first` on, after the blocks of another part.

    Blocks without numbers of the device are numbered on. Where the numbers do not continue, the device was started
    again.
    """
    sequence_K = part.sequence_K
    resumed_K = part.resumed_K.copy() if part.resumed_K.size else np.zeros(sequence_K.size, dtype=np.bool_)
    if before is not None and before.sequence_K.size and sequence_K.size:
        following = before.sequence_K[-1] + 1
        if not part.is_counted:
            sequence_K = sequence_K - sequence_K[0] + following
        resumed_K[0] |= sequence_K[0] != following
    return replace(
        part,
        counts_CN=np.empty((3, 0), dtype=np.int16),
        first_K=part.first_K + first,
        stamp_sample_K=part.stamp_sample_K + first,
        sequence_K=sequence_K,
        resumed_K=resumed_K,
    )


def _extras(parts: Sequence[Recording]) -> dict[str, float | str]:
    """The figures that only some devices have: means by samples, largest values, and else sums of the parts'."""
    return dict(_joined_extras(parts))


def _joined_extras(parts: Sequence[Recording]) -> Iterator[tuple[str, float | str]]:
    samples = np.array([part.samples for part in parts], dtype=np.float64)
    for name in dict.fromkeys(name for part in parts for name in part.extras):
        values = [part.extras.get(name) for part in parts]
        numbers = np.array([value if isinstance(value, int | float) else np.nan for value in values])
        known = ~np.isnan(numbers)
        if any(isinstance(value, str) for value in values):
            if len(set(values)) == 1:
                yield name, str(values[0])
        elif "_mean_" in name:
            yield name, float(np.average(numbers[known], weights=samples[known]))
        else:
            stated = [value for value in values if isinstance(value, int | float)]
            yield name, max(stated) if "_max_" in name else sum(stated)
