"""Damaged recordings of every device, read in a process of its own, so that crashes and memory are noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from tests.ingest.devices.fuzz import DEVICES, case

COUNT = int(os.environ.get("PERSONDAYS_FUZZ", "60"))


@pytest.mark.timeout(300 + COUNT)
@pytest.mark.parametrize("device", DEVICES)
def test_damaged_recordings_are_read_or_refused(device: Any) -> None:
    command = [sys.executable, "-m", "tests.ingest.devices.fuzz", device, "--count", str(COUNT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"after {lines[-1:]}: {done.returncode} {done.stderr[-3000:]}"
    outcomes = lines[-1]
    print(outcomes)
    assert all(f"'{outcome}'" in outcomes for outcome in ("rejected", "damage counted", "read"))


def test_cases_are_the_same_every_time() -> None:
    for device in DEVICES:
        assert case(device, 0, 3) == case(device, 0, 3) != case(device, 1, 3)
