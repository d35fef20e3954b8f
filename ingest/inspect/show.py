"""An inspected recording as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingest.inspect.recording import Inspected
from pipeline.store.figures import RecordingFigures

if TYPE_CHECKING:
    from rich.console import Group


def shown(found: Inspected, name: str) -> Group:
    """Two tables: the recording, and its days."""
    from rich.console import Group
    from rich.table import Table

    of_all = Table(show_header=False, title=f"recording {name}", title_justify="left")
    of_all.add_column(style="bold", no_wrap=True)
    of_all.add_column()
    for title, value in lines(found.figures):
        of_all.add_row(title, value)
    of_days = Table(title="days", title_justify="left")
    for title in ("day", "measured", "worn", "eligible", "ENMO"):
        of_days.add_column(title, justify="left" if title == "day" else "right")
    for day in found.days:
        hours = (f"{day.figures[f'{name}_seconds'] / 3600:.2f} h" for name in ("measured", "wear", "eligible"))
        of_days.add_row(str(day.date), *hours, _mg(day.figures["enmo_mg"]))
    return Group(of_all, of_days)


def lines(figures: RecordingFigures) -> list[tuple[str, str]]:
    """The figures of a recording, a title and a text each."""
    f = figures
    device = [f.device, f.firmware and f"firmware {f.firmware}", f.serial and f"serial {f.serial}"]
    rate = (
        f"{f.nominal_rate_hz:g} Hz nominal, {f.rate_hz:.3f} Hz by its clock, drift of {f.rate_drift_ppm:,.0f} ppm, "
        f"stamps within {f.clock_residual_ms:.1f} ms"
    )
    samples = (
        f"{f.samples:,}, {f.clipped_share:.1%} of the seconds clipped, {f.impossible_samples:,} samples beyond the "
        "device's range"
    )
    errors = f"{_mg(f.error_before_mg)} off one g before and {_mg(f.error_after_mg)} after"
    return [
        ("device", ", ".join(filter(None, [*device, f.location]))),
        ("from", f.start + _COUNTED[f.origin]),
        ("to", f.end),
        ("clock", _clock(f)),
        ("rate", rate),
        ("samples", samples),
        ("blocks", ", ".join(f"{getattr(f, figure):,} {what}" for what, figure in _BLOCKS.items())),
        ("gaps", f"{f.gaps:,}, {f.gap_total_s:,.1f} s in all"),
        *((name, f"{getattr(f, f'{figure}_hours'):,.2f} h") for name, figure in _HOURS.items()),
        ("calibration", f"{f.calibration}, still windows: {f.still_windows:,}, {errors}"),
        ("noise", f"{_mg(f.noise_mg)} at rest"),
        ("ENMO", f"{_mg(f.enmo_mg)} on average"),
        ("verdict", f"{f.verdict}" + (f": {f.verdict_reason}" if f.verdict_reason else "")),
    ]


def _clock(f: RecordingFigures) -> str:
    said = {"utc": "UTC, as the device says", "local": "local time, as the device says", None: "the device's own"}
    shift = f.shift_hours
    moved = "" if shift is None else f"; shown in local time, {shift:+g} h"
    changed = f.clock_change and f"; local clocks changed at {f.clock_change}, which is not applied"
    return f"{said[f.clock]}{moved}{changed or ''}"


_BLOCKS = {
    "damaged": "damaged_blocks",
    "duplicate": "duplicate_blocks",
    "backward": "backward_blocks",
    "with an unused stamp": "mended_stamps",
}
_HOURS = {
    "measured": "measured",
    "idle sleep": "idle",
    "non-wear": "nonwear",
    "worn": "wear",
    "eligible": "eligible",
}
_COUNTED = {
    "calendar": "",
    "boot": " (no calendar: counted from when the device was switched on)",
    "start": " (no calendar: counted from the first sample)",
}


def _mg(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.1f} mg"
