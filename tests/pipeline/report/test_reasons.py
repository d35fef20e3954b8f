"""Reasons of rejected recordings, grouped."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.analysis.reasons import group_reasons


def test_reasons_that_differ_only_in_numbers_are_one_group() -> None:
    rejected = [
        ("b", "it spans 73 days, more than --max-days 60"),
        ("a", "it spans 1,098 days, more than --max-days 60"),
        ("c", "begins with the length 1020; found 6e 6f 74 20."),
        ("d", "its clock says 2031-05-06T10:00:00 and header 0x17"),
        ("e", None),
    ]
    found = group_reasons(rejected)
    assert [(reason.text, reason.recordings) for reason in found] == [
        ("it spans … days, more than --max-days 60", ["a", "b"]),
        ("begins with the length 1020; found 6e 6f 74 20.", ["c"]),
        ("its clock says … and header 0x17", ["d"]),
        ("no reason given", ["e"]),
    ]
    careful = [reason.text for reason in group_reasons(rejected, keep_numbers_from=2)]
    assert careful[0] == "it spans … days, more than --max-days 60"
    assert "found …." in careful[1]


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=3), st.text("0123 x:-\0", max_size=12)), max_size=20))
def test_every_rejected_recording_is_in_one_group(rejected: list[tuple[str, str]]) -> None:
    found = group_reasons(rejected)
    assert Counter(name for reason in found for name in reason.recordings) == Counter(name for name, _ in rejected)
    assert len({reason.text for reason in found}) <= len({reason for _, reason in rejected}) + 1
