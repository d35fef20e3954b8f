"""Every default of `persondays plan` in one place: what it is, where it comes from, and how to measure it again.

A machine's own figures are the user's; what stands here for them is an example, marked as such.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A number with its unit, and the command and circumstances that gave it."""

    value: float
    unit: str
    source: str


_RECORDING = "a simulated AX3 of 7 days (252 MB), one core of a 2-core virtual machine"
EXAMPLE = "an example, not measured: give your own"

CPU_S_PER_DAY = Figure(
    0.5, "CPU seconds a day of signal", f"persondays plan --measure s3://... ; {_RECORDING}; 0.24 from a local file"
)
STORED_MB_PER_DAY = Figure(7.4, "MB stored a day of signal", f"persondays plan --measure FILE ; {_RECORDING}")
START_S = Figure(
    9.5,
    "s until a new machine's first recording is done (compiled code; Ray and the machine itself not counted)",
    "persondays plan --measure FILE with NUMBA_CACHE_DIR at an empty folder, one simulated minute",
)
DRIVER_RECORDINGS_S = Figure(
    350,
    "recordings a second that one driver hands out, takes back and commits",
    "make bench-driver ; 1,000 sleeping workers, driver and actors on 2 cores",
)

CPUS = Figure(16, "CPUs a machine", EXAMPLE)
MEMORY_GB = Figure(28, "GB a machine gives to tasks", EXAMPLE)
NETWORK_MB_S = Figure(1250, "MB/s a machine (10 Gbit/s)", EXAMPLE)
REQUEST_MS = Figure(30, "ms a request waits for object storage", EXAMPLE)
