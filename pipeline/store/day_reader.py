"""Read person-days from their objects without zarr: the states first, then only the hours that are needed.

From a disk, an hour is read where it is stored in the shard. From object storage, a whole shard is fetched in the
background as soon as its day is opened: a request costs more than the hours that are not needed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableDay
from pipeline.grid import AXES, SECONDS_PER_DAY, TICKS_PER_DAY, TICKS_PER_HOUR
from pipeline.storage.disk_cache import DiskCache
from pipeline.storage.fetch import fetcher
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry
from pipeline.store.layout import ARRAYS, slot_object
from pipeline.store.shard import HOUR_BYTES, INDEX_BYTES, NO_CHUNK, DamagedData, decode, decode_shuffled, read_index
from pipeline.store.unshuffle import put_plain, put_shuffled

FETCHES_AT_ONCE = 16
HOUR_STARTS = np.arange(0, TICKS_PER_DAY, TICKS_PER_HOUR)
"""First tick of each hour."""

ReadRange = Callable[[int, int | None], Any]
"""Reads bytes of an object: from an offset (negative: from its end), and how many (None: all that follow)."""


class MissingDay(UnreadableDay):
    """An object of the slot does not exist."""


class DamagedDay(UnreadableDay):
    """An object of the slot does not hold what was written."""


class ReadCost:
    """What reading has cost: bytes, seconds waiting for them, seconds checking and decompressing."""

    def __init__(self) -> None:
        self.bytes, self.read_s, self.decode_s = 0, 0.0, 0.0
        self._lock = threading.Lock()

    def add(self, size: int, read_s: float, decode_s: float) -> None:
        """Add one chunk."""
        with self._lock:
            self.bytes += size
            self.read_s += read_s
            self.decode_s += decode_s


class DayReader:
    """The person-days of a store. Threads may share it. Close it, or use it as a context manager."""

    def __init__(self, folder: Folder, cache: DiskCache | None = None) -> None:
        self.folder, self.cache, self.cost = folder, cache, ReadCost()
        self._of_thread, self._closed = threading.local(), threading.Event()
        self._fetching = None if folder.is_local else ThreadPoolExecutor(FETCHES_AT_ONCE, thread_name_prefix="fetch")
        self._get = fetcher(folder)

    def open_day(self, slot: int) -> StoredDay:
        """Open a day; from object storage, this starts to fetch its objects."""
        day = StoredDay(slot, self)
        if self._fetching is not None:
            for array in ARRAYS:
                day.open_object(array)
        return day

    def read_state(self, slot: int) -> NDArray[np.uint8]:
        """The states of a day, (86400,), without fetching its other objects; raises UnreadableDay."""
        return StoredDay(slot, self).state()

    def hour_buffer(self) -> NDArray[np.uint8]:
        """The calling thread's memory for one decompressed hour."""
        if not hasattr(self._of_thread, "hour"):
            self._of_thread.hour = np.empty(HOUR_BYTES, np.uint8)
        hour: NDArray[np.uint8] = self._of_thread.hour
        return hour

    def open_object(self, array: str, slot: int) -> ReadRange:
        """A function that reads an object; from object storage, this starts to fetch it."""
        if self._fetching is None:
            return _read_file(self.folder.at(slot_object(array, slot)))
        data: Future[bytes | memoryview] = self._fetching.submit(self._fetch, array, slot)

        def read_range(start: int, length: int | None) -> memoryview:
            fetched = memoryview(data.result())
            return fetched[start:] if length is None else fetched[start : start + length]

        return read_range

    def _fetch(self, array: str, slot: int) -> bytes | memoryview:
        cached = self.cache.get(array, slot) if self.cache else None
        if cached is not None:
            return cached
        data = with_retry(lambda: self._get(slot_object(array, slot)), stopped=self._closed)
        if self.cache:
            self.cache.put(array, slot, data)
        return data

    def close(self) -> None:
        """Cancel what is still being fetched, and stop waiting for unavailable storage."""
        self._closed.set()
        if self._fetching is not None:
            self._fetching.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> DayReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read_file(path: str) -> ReadRange:
    """Reads a file that is open only during each read: a pool may have a thousand days."""

    def read_range(start: int, length: int | None) -> NDArray[np.uint8]:
        file = os.open(path, os.O_RDONLY)
        try:
            if length is None:
                size = os.fstat(file).st_size
                start = max(size + start, 0) if start < 0 else start
                length = size - start
            data = np.empty(length, np.uint8)
            return data[: os.preadv(file, [data.data], start)]
        finally:
            os.close(file)

    return read_range


class StoredDay:
    """One person-day: the objects of its slot, opened when first needed. All methods may raise UnreadableDay."""

    def __init__(self, slot: int, reader: DayReader) -> None:
        self.slot, self.reader = slot, reader
        self._objects: dict[str, ReadRange] = {}

    def open_object(self, array: str) -> ReadRange:
        """A function that reads one of the objects."""
        if array not in self._objects:
            self._objects[array] = self.reader.open_object(array, self.slot)
        return self._objects[array]

    def states(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Motion (g, NaN where not measured) and state of each second, both (86400,)."""
        motion_S = np.empty(SECONDS_PER_DAY, "<f4")
        with self._translate_errors():
            self._decode("motion", 0, None, motion_S, decode)
        return motion_S, self.state()

    def state(self) -> NDArray[np.uint8]:
        """The state of each second, (86400,)."""
        state_S = np.empty(SECONDS_PER_DAY, np.uint8)
        with self._translate_errors():
            self._decode("state", 0, None, state_S, decode)
        return state_S

    def hours(self, wanted: Iterable[int]) -> Iterator[tuple[int, NDArray[np.int16]]]:
        """Those of the wanted hours in which something is measured, each with its counts (3, 108000).

        The array is overwritten by the next hour's.
        """
        hour_CT = np.empty((AXES, TICKS_PER_HOUR), "<i2")
        with self._translate_errors():
            index = self._index()
            for hour in wanted:
                start, length = index[hour]
                if start != NO_CHUNK:
                    self._decode("signal", start, length, hour_CT, decode)
                    yield hour, hour_CT

    def windows(self, tick_N: NDArray[np.int64], place_N: NDArray[np.int64], out_BCT: NDArray[np.int16]) -> None:
        """Write the windows that begin at these ticks (ascending) to their places in `out_BCT`."""
        first_H = np.searchsorted(tick_N, HOUR_STARTS - out_BCT.shape[2] + 1).tolist()
        end_H = np.searchsorted(tick_N, HOUR_STARTS + TICKS_PER_HOUR).tolist()
        buffer = self.reader.hour_buffer()
        with self._translate_errors():
            for hour, (start, length) in enumerate(self._index()):
                first, end = first_H[hour], end_H[hour]
                if first < end:
                    if start == NO_CHUNK:
                        raise DamagedData(f"hour {hour} holds eligible seconds and no signal")
                    block = self._decode("signal", start, length, buffer, decode_shuffled)
                    begin, places = hour * TICKS_PER_HOUR, place_N[first:end]
                    if block:
                        put_shuffled(buffer, block, begin, tick_N[first:end], places, out_BCT)
                    else:
                        put_plain(buffer.view("<i2").reshape(AXES, -1), begin, tick_N[first:end], places, out_BCT)

    def _index(self) -> list[list[int]]:
        """Offset and length of each hour's chunk in the shard."""
        index: list[list[int]] = read_index(bytes(self.open_object("signal")(-INDEX_BYTES, None))).tolist()
        return index

    def _decode(
        self, array: str, start: int, length: int | None, out: NDArray[Any], decoder: Callable[[Any, Any], Any]
    ) -> Any:
        began = time.perf_counter()
        data = self.open_object(array)(start, length)
        read = time.perf_counter()
        found = decoder(data, out)
        self.reader.cost.add(len(data), read - began, time.perf_counter() - read)
        return found

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Raise UnreadableDay for a missing or damaged object, and storage errors for failures of the storage."""
        advice = "`persondays verify --repair` ingests its recording again."
        try:
            with self.reader.folder.translate_errors():
                yield
        except FileNotFoundError:
            what = f"objects of slot {self.slot} are missing, although a row names it"
            raise MissingDay(self.slot, f"{self.reader.folder.url}: {what}. {advice}") from None
        except DamagedData as error:
            what = f"slot {self.slot} is damaged ({error})"
            raise DamagedDay(self.slot, f"{self.reader.folder.url}: {what}. {advice}") from None
