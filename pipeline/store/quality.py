"""The rules by which a recording is doubtful: one table, which ingest judges by and the cohort report checks by.

The limits are fixed and not drawn from a cohort, so that a recording is judged alike in every store and a cohort that
is unusual as a whole shows as such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["h", "mg", "ms", "%", "+%", ""]
"""Unit of a figure as it is shown. % and +% are of a share: 0.02 is 2.0%, or +2.0%."""


@dataclass(frozen=True)
class Rule:
    """A limit on one figure of a recording.

    figure: a field of `RecordingFigures`; `measure` computes the number that is compared from all figures by name,
        where that is not the figure itself. Figures are numbers or numpy columns; NaN breaks no rule.
    breaks: `above` or `below` the limit, or `off`: more than the limit away from zero.
    doubt: why a recording that breaks the rule is doubtful; {value} and {limit} are filled in with their units.
    check: the heading of the rule in the report; {limit} is filled in.
    cause: what usually causes it.
    """

    name: str
    figure: str
    limit: float
    unit: Unit
    doubt: str
    check: str
    cause: str
    breaks: Literal["above", "below", "off"] = "above"
    measure: Callable[[Mapping[str, Any]], Any] | None = None

    def value(self, figures: Mapping[str, Any]) -> Any:
        """The number, or the column of numbers, that is compared with the limit."""
        return self.measure(figures) if self.measure else figures[self.figure]

    def severity(self, value: Any) -> Any:
        """How bad a value is: the larger, the worse."""
        return {"above": value, "below": -value, "off": abs(value)}[self.breaks]

    def is_broken(self, value: Any) -> Any:
        """Whether a value, or each value of a column, lies beyond the limit."""
        return self.severity(value) > (-self.limit if self.breaks == "below" else self.limit)

    def doubt_of(self, value: float) -> str:
        """The doubt about a recording with this value."""
        return self.doubt.format(value=show(value, self.unit), limit=self.limit_text)

    @property
    def heading(self) -> str:
        """The heading of the rule in the report."""
        return self.check.format(limit=self.limit_text)

    @property
    def limit_text(self) -> str:
        """The limit with its unit."""
        return f"{self.limit:.0%}" if "%" in self.unit else f"{self.limit:g} {self.unit}".strip()


def show(value: float, unit: Unit) -> str:
    """A value with its unit; less than an hour in minutes."""
    if unit == "h":
        return f"{value:,.1f} h" if value >= 1 else f"{value * 60:.0f} min"
    if unit in ("%", "+%"):
        return f"{value:{'+' if unit == '+%' else ''}.1%}"
    if unit == "mg":
        return f"{value:,.{0 if abs(value) >= 10 else 1}f} mg"
    return f"{value:,.0f} {unit}".strip()


USELESS = Rule(
    name="eligible",
    figure="eligible_hours",
    limit=1,
    unit="h",
    breaks="below",
    doubt="{value} eligible, under {limit}",
    check="under {limit} eligible",
    cause="never worn, or nearly all of it damaged",
)
"""A recording that breaks this rule is useless for training; one that breaks another is doubtful."""

RULES = (
    USELESS,
    Rule(
        name="calibration error",
        figure="error_after_mg",
        limit=10,
        unit="mg",
        doubt="{value} off one g at rest",
        check="over {limit} off one g at rest",
        cause="after calibration, where there was one: a damaged sensor, or too few still moments",
    ),
    Rule(
        name="noise",
        figure="noise_mg",
        limit=10,
        unit="mg",
        doubt="{value} of noise at rest",
        check="over {limit} of noise at rest",
        cause="a damaged sensor; a still second has under 13 mg",
    ),
    Rule(
        name="high ENMO",
        figure="enmo_mg",
        limit=100,
        unit="mg",
        doubt="mean ENMO of {value}, a person's is under {limit}",
        check="ENMO over {limit}",
        cause="rarely a person's mean: a loose or shaken device, a wrong scale",
    ),
    Rule(
        name="low ENMO",
        figure="enmo_mg",
        limit=5,
        unit="mg",
        breaks="below",
        doubt="mean ENMO of {value}, a person's is over {limit}",
        check="ENMO under {limit}",
        cause="hardly any movement for a person: a device on a table, or a scale too small",
    ),
    Rule(
        name="wear",
        figure="wear_hours",
        limit=24,
        unit="h",
        breaks="below",
        doubt="worn for {value}, under {limit}",
        check="worn under {limit}",
        cause="never worn, given back at once, or misread",
    ),
    Rule(
        name="gaps",
        figure="gap_total_s",
        limit=1,
        unit="h",
        doubt="gaps of {value} in all",
        check="gaps of over {limit} in all",
        cause="an empty battery, lost blocks, a clock that was set",
        measure=lambda figures: figures["gap_total_s"] / 3600,
    ),
    Rule(
        name="clipping",
        figure="clipped_share",
        limit=0.01,
        unit="%",
        doubt="{value} of the measured seconds clipped",
        check="over {limit} of the measured seconds clipped",
        cause="a small range, or a broken axis",
    ),
    Rule(
        name="impossible values",
        figure="impossible_samples",
        limit=0,
        unit="",
        doubt="{value} samples beyond the device's range",
        check="impossible values",
        cause="beyond what the device can measure",
    ),
    Rule(
        name="damaged blocks",
        figure="damaged_blocks",
        limit=100,
        unit="",
        doubt="{value} damaged blocks",
        check="over {limit} damaged blocks",
        cause="a bad copy or worn memory",
    ),
    Rule(
        name="contradicting blocks",
        figure="duplicate_blocks",
        limit=100,
        unit="",
        doubt="{value} blocks that repeat or contradict others",
        check="over {limit} blocks that repeat or contradict others",
        cause="a clock that was set, or parts of the file twice",
        measure=lambda figures: figures["duplicate_blocks"] + figures["backward_blocks"] + figures["mended_stamps"],
    ),
    Rule(
        name="rate",
        figure="rate_hz",
        limit=0.03,
        unit="+%",
        breaks="off",
        doubt="its rate is {value} off",
        check="rate over {limit} off",
        cause="the clock or the header is wrong",
        measure=lambda figures: figures["rate_hz"] / figures["nominal_rate_hz"] - 1,
    ),
    Rule(
        name="clock",
        figure="clock_residual_ms",
        limit=50,
        unit="ms",
        doubt="its stamps scatter by {value}",
        check="clock scatters by over {limit}",
        cause="its stamps fit no steady rate",
    ),
    Rule(
        name="rates",
        figure="rates",
        limit=1,
        unit="",
        doubt="its rows have {value} rates",
        check="rows at more than {limit} rate",
        cause="a watch or phone that changes its rate: each part is resampled from its own rate",
    ),
    Rule(
        name="lost rows",
        figure="lost_share",
        limit=0.05,
        unit="%",
        doubt="{value} of its rows lost and interpolated",
        check="over {limit} of the rows lost and interpolated",
        cause="a wireless link or a busy device that drops samples",
    ),
    Rule(
        name="jitter",
        figure="jitter_ms",
        limit=10,
        unit="ms",
        doubt="its rows' stamps scatter by {value}",
        check="rows' stamps scatter by over {limit}",
        cause="stamps of arrival, not of measurement",
    ),
)
