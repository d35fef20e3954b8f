"""Rate, scale, range and location, from info.txt, parameter records or the serial number."""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
import pytest

from ingest.devices.actigraph.gt3x_format import encode_float
from ingest.devices.registry import decode
from ingest.process import process
from ingest.settings import SignalSettings
from pipeline.errors import UserError
from tests.ingest.devices.actigraph.in_memory import NAME, probe_bytes
from tests.ingest.devices.gt3x_file import SECOND, START, archive, info, parameters, record, recording, still


def test_without_info_txt_the_first_records_are_used() -> None:
    first = parameters(sample_rate=30, accel_scale=0x09400000, start=SECOND, firmware=1 << 24 | 7 << 16 | 2)
    bio = record(6, SECOND, b'{"MetadataType":"Bio","SubjectName":"Jane Doe","Limb":"Wrist","Side":"Right"}')
    whole = archive({"log.bin": b"".join([bio, first, *still(5_000)]), "info.txt": info()}, zipfile.ZIP_STORED)
    cut = whole[:-800]
    made = decode(cut, NAME)
    assert (made.samples, made.location, made.firmware, made.device) == (149_940, "right wrist", "1.7.2", "ActiGraph")
    found = probe_bytes(cut)
    assert found.start == np.datetime64(START, "us")
    assert found.end == np.datetime64(START, "us") + np.timedelta64(4_998, "s")
    assert "Jane" not in repr((made, found))


def test_parameter_records_override_info_txt() -> None:
    first = parameters(sample_rate=50, accel_scale=encode_float(341))
    made = decode(recording([first, *still(5, rate=50)]), NAME)
    assert (made.nominal_rate_hz, made.g_per_count_C[0]) == (50, 1 / 341)


@pytest.mark.parametrize(
    ("serial", "counts_per_g", "rail"),
    [("NEO1C1", 341, 2046), ("CLE2A1", 341, 2046), ("MRA1A1", 341, 2046), ("MOS2D1", 256, 2047), ("TAS1D1", 256, 2047)],
)
def test_scale_and_range_by_serial_where_the_file_states_none(serial: str, counts_per_g: int, rail: int) -> None:
    none: dict[str, Any] = {"Acceleration_Scale": None, "Acceleration_Max": None, "Acceleration_Min": None}
    made = decode(recording(still(3), Serial_Number=serial, **none), NAME)
    assert (1 / made.g_per_count_C[0], made.rail_counts) == (counts_per_g, rail)


def test_the_range_in_the_file_is_used() -> None:
    made = decode(recording(still(3), Acceleration_Max="16.0"), NAME)
    assert (made.rail_counts, made.limit_counts) == (4095, 4096)


@pytest.mark.parametrize(
    ("said", "location"),
    [
        ({"Limb": "Wrist", "Side": "Right", "Dominance": "Non-Dominant"}, "non-dominant right wrist"),
        ({"Limb": "Waist", "Side": ""}, "waist"),
        ({"Limb": "Jane's wrist", "Side": "Left"}, None),
        ({"Limb": None, "Side": None}, None),
    ],
)
def test_location_is_read_and_nothing_else_about_the_person(said: Any, location: str | None) -> None:
    data = recording(still(3), **said)
    made = decode(data, NAME)
    assert made.location == location
    assert "Jane" not in repr(made) + repr(probe_bytes(data))


def test_only_wrists_are_accepted_by_default() -> None:
    waist, unknown = (decode(recording(still(60), Limb=limb), NAME) for limb in ("Waist", None))
    with pytest.raises(UserError, match=r"from a wrist.*worn on the left waist"):
        process(waist, SignalSettings())
    assert process(waist, SignalSettings(any_location=True)).figures.location == "left waist"
    assert process(unknown, SignalSettings()).figures.location is None
