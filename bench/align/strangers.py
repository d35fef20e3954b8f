"""Pairs of recordings of different people, compared as if they were of one: none should be aligned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import combinations
from multiprocessing import get_context

import numpy as np

from ingest.align.pair import Pair, RecordedDay, align
from pipeline.store.store import Store

from .truth import Clock, Day


def strangers(days: Mapping[int, Day], clocks: Mapping[str, Clock], count: int) -> list[Pair]:
    """Pairs of recordings of different people, `count` at most, drawn at random."""
    slots: dict[str, list[RecordedDay]] = {}
    for slot, day in sorted(days.items()):
        slots.setdefault(day.recording, []).append(RecordedDay(slot, day.number))
    pairs = [
        Pair(tuple(slots[a]), tuple(slots[b]))
        for a, b in combinations(sorted(slots), 2)
        if clocks[a].participant != clocks[b].participant
    ]
    chosen = np.random.default_rng(0).permutation(len(pairs))[:count]
    return [pairs[index] for index in sorted(chosen.tolist())]


def compare(url: str, pairs: list[Pair], processes: int) -> Counter[str]:
    """How many of the pairs of a store are refused, by reason; "" counts those that are aligned."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        return Counter(pool.map(partial(reason, url), pairs, chunksize=8))


def reason(url: str, pair: Pair) -> str:
    """Why a pair is refused; "" if it is aligned."""
    store = Store.open(url)
    with store.days as reader:
        return align(pair, reader, store.attributes.counts_per_g)[0].reason
