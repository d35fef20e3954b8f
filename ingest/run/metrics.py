"""Ray metrics of a run, which Prometheus collects with Ray's own."""

from __future__ import annotations

from ingest.run.plan import Row


class Metrics:
    """Counters of recordings (by status), person-days and bytes read."""

    def __init__(self) -> None:
        from ray.util.metrics import Counter

        self._recordings = Counter("persondays_recordings", "Recordings that are done or rejected.", ("status",))
        self._person_days = Counter("persondays_person_days", "Person-days written.")
        self._bytes = Counter("persondays_bytes_read", "Bytes of the recordings that are done or rejected.")

    def add(self, recording: Row) -> None:
        """Count a new row of the table `recordings`."""
        self._recordings.inc(1, {"status": recording["status"]})
        for counter, value in ((self._person_days, recording["person_days"]), (self._bytes, recording["size"])):
            if value:
                counter.inc(value)
