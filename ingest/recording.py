"""A decoded recording before any signal step, the same for every device.

Devices differ in packing, ranges and clocks. All give a stream of samples in counts and, now and then, a stamp:
"sample i was taken at time t". Everything after `ingest/devices` sees only this.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Clock = Literal["utc", "local"]


def disjoint_spans(span_M2: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sort spans and cut those that overlap an earlier one, as they do where a clock was set back."""
    span_M2 = span_M2[np.argsort(span_M2[:, 0], kind="stable")]
    ended_M = np.maximum.accumulate(span_M2[:, 1])
    span_M2[1:, 0] = np.maximum(span_M2[1:, 0], ended_M[:-1])
    return span_M2[span_M2[:, 0] < span_M2[:, 1]]


def _no_spans() -> NDArray[np.int64]:
    return np.empty((0, 2), dtype=np.int64)


def _no_flags() -> NDArray[np.bool_]:
    return np.empty(0, dtype=np.bool_)


@dataclass(frozen=True)
class Pace:
    """How the rows of a table follow each other, where they do not at one rate throughout.

    period_us_K: microseconds a sample in each block. rates: number of different rates. lost_share: share of the samples
    that the table lacks and that were interpolated (3 in a row or 60 ms at most; more are a gap). jitter_ms: root mean
    square distance of the rows' stamps from the fitted times.
    """

    period_us_K: NDArray[np.float64]
    rates: int
    lost_share: float
    jitter_ms: float


@dataclass(frozen=True)
class Recording:
    """N samples in K blocks, in the order of the file, undamaged blocks only.

    counts_CN: int16 (3, N), as the device wrote them, each axis contiguous (copied where it is not); axis c in g is
        counts * g_per_count[c] + offset_g[c].
    rail_counts: a sample whose magnitude is at least this on an axis is on the device's rail; 32,768 where the rail is
        not known.
    limit_counts: a magnitude above this cannot come from the device.
    first_K, count_K: int64, first sample and number of samples of each block.
    sequence_K: int64, number of the block as the device counts them.
    is_counted: False where the device does not count blocks, as in a table: only stamps show what is missing, and a
        jump ahead is a pause.
    resumed_K: bool, True where the device says that it stopped before the block and was started again: a jump ahead
        there is a pause. Empty where it never says so.
    stamp_sample_K, stamp_us_K: int64, `stamp_sample` (possibly outside the block) was taken at `stamp_us`
        microseconds after 1970-01-01 of the device's own clock.
    stamped_K: bool, False where the block has no readable stamp.
    celsius_K: float32, NaN where there is none.
    idle_spans_us: int64 (M, 2), spans in which the device saw no movement and stored nothing.
    firmware: version of the device's software, None where unknown.
    extras: figures that only some devices have, by name with the unit in it; never a text that a person wrote. Where
        parts are joined, the mean is taken of `_mean_` in a name, the largest of `_max_`, and else the sum.
    origin: what its times count from: the `calendar`, the `boot` of the device, or the `start` of a recording whose
        samples were only counted. In the last two cases times of day mean nothing, and dates are in 1970.
    clock: what the device says its clock was set to; None where it does not say.
    pace: None where the blocks have one rate, to be fitted to their stamps. Else stamps are already fitted and belong
        to the first sample of their block; blocks that follow in number are contiguous, others begin a segment.
    """

    device: str
    serial: str
    location: str | None
    nominal_rate_hz: float
    counts_CN: NDArray[np.int16]
    g_per_count_C: NDArray[np.float64]
    offset_g_C: NDArray[np.float64]
    rail_counts: int
    limit_counts: int
    first_K: NDArray[np.int64]
    count_K: NDArray[np.int64]
    sequence_K: NDArray[np.int64]
    stamp_sample_K: NDArray[np.int64]
    stamp_us_K: NDArray[np.int64]
    stamped_K: NDArray[np.bool_]
    celsius_K: NDArray[np.float32]
    damaged_blocks: int
    idle_spans_us: NDArray[np.int64] = field(default_factory=_no_spans)
    firmware: str | None = None
    extras: dict[str, float | str] = field(default_factory=dict)
    origin: Literal["calendar", "boot", "start"] = "calendar"
    is_counted: bool = True
    resumed_K: NDArray[np.bool_] = field(default_factory=_no_flags)
    clock: Clock | None = None
    pace: Pace | None = None

    def __post_init__(self) -> None:
        if self.counts_CN.strides[-1] != self.counts_CN.itemsize:  # indexing may return them sample by sample
            object.__setattr__(self, "counts_CN", np.ascontiguousarray(self.counts_CN))

    @property
    def samples(self) -> int:
        """Number of samples that were read."""
        return self.counts_CN.shape[1]


@dataclass(frozen=True)
class Probe:
    """What is known of a recording from its header and end, without reading it."""

    device: str
    serial: str
    start: np.datetime64
    """First instant of the device's clock, microseconds."""
    end: np.datetime64
    """Last one."""
    nominal_rate_hz: float
    samples: int
    """An upper bound."""
    location: str | None = None
    """Where it was worn, if the file says so before the samples."""
    clock: Clock | None = None
    """What the device says its clock was set to."""

    @property
    def days(self) -> list[np.datetime64]:
        """Every calendar day between start and end: an upper bound of its person-days."""
        return list(np.arange(self.start.astype("datetime64[D]"), self.end.astype("datetime64[D]") + 1))
