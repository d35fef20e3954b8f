"""Every default of `persondays plan`: what it is, where it comes from, and how to measure it again.

Defaults that describe the user's machines are examples, and marked as such.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Default:
    """A number with its unit, and the command and conditions of its measurement."""

    value: float
    unit: str
    source: str


_RECORDING = "a simulated AX3 of 7 days (252 MB), one core of a 2-core virtual machine"
EXAMPLE = "an example, not measured: give your own"

CPU_S_PER_DAY = Default(
    0.2,
    "CPU seconds per day of signal",
    "by proportion, from S3, on an older Intel (docs/scale.md); an AMD EPYC (Zen 5) takes 0.09 to 0.12: "
    f"persondays plan --measure s3://... ; {_RECORDING}",
)
STORED_MB_PER_DAY = Default(7.4, "MB stored per day of signal", f"persondays plan --measure FILE ; {_RECORDING}")
START_S = Default(
    9.5,
    "s until a new machine's first recording is done (mostly compilation; without starting Ray or the machine)",
    "persondays plan --measure FILE with NUMBA_CACHE_DIR set to an empty folder, one simulated minute",
)
DRIVER_RECORDINGS_S = Default(
    350,
    "recordings per second that one driver schedules and commits",
    "make bench-driver ; 1,000 sleeping workers, driver and actors on 2 cores",
)

CPUS = Default(16, "CPUs per machine", EXAMPLE)
MEMORY_GB = Default(28, "GB of memory for tasks per machine", EXAMPLE)
NETWORK_MB_S = Default(1250, "MB/s of network per machine (the default is 10 Gbit/s)", EXAMPLE)
REQUEST_MS = Default(30, "ms that a request waits for object storage", EXAMPLE)
