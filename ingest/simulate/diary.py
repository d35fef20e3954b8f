"""What a person does during a recording: a list of bouts, drawn before any movement.

Days have fixed points (waking, work, sport, bed). Between them the next bout is drawn by weights that depend on the
hour, with log-normal durations: most bouts are short and a few are long, as accelerometer studies of free living find
(Chastin & Granat 2010, doi:10.1016/j.gaitpost.2009.09.002).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from ingest.simulate.population import Person

DAY_S = 86_400.0
MIN_BOUT_S = 5.0


class Activity(StrEnum):
    """The activities of the truth table."""

    SLEEP = "sleep"
    SITTING = "sitting"
    STANDING = "standing"
    WALKING = "walking"
    RUNNING = "running"
    STAIRS = "stairs"
    HOUSEWORK = "housework"
    REACHING = "reaching"
    CYCLING = "cycling"
    NON_WEAR = "non-wear"
    GAP = "gap"


A = Activity


@dataclass(frozen=True)
class Bout:
    """One activity from `start_s` to `end_s`, seconds of the device's clock since the recording's start.

    `cadence` is in steps (cycling: turns of the crank) per second, and 0 where it has no meaning. `wearing` counts how
    often the device was put on before: a flipped strap shows from one wearing to the next. `continued`: part of a bout
    that began earlier.
    """

    start_s: float
    end_s: float
    activity: Activity
    cadence: float = 0.0
    wearing: int = 0
    continued: bool = False

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


LENGTH: dict[Activity, tuple[float, float, float]] = {
    A.SITTING: (420.0, 1.1, 5400.0),
    A.STANDING: (70.0, 0.9, 900.0),
    A.WALKING: (45.0, 1.0, 1500.0),
    A.STAIRS: (22.0, 0.4, 75.0),
    A.HOUSEWORK: (200.0, 0.8, 2400.0),
    A.REACHING: (40.0, 0.6, 240.0),
    A.RUNNING: (1500.0, 0.3, 3600.0),
    A.CYCLING: (1080.0, 0.35, 3600.0),
}
"""Median seconds, sigma of the logarithm, longest seconds."""

HOME = {A.SITTING: 4.0, A.STANDING: 4.0, A.WALKING: 4.0, A.HOUSEWORK: 2.5, A.REACHING: 1.5, A.STAIRS: 1.2}
DESK = {A.SITTING: 6.0, A.STANDING: 2.0, A.WALKING: 4.0, A.REACHING: 0.6, A.STAIRS: 1.0}
ON_FEET = {A.SITTING: 2.0, A.STANDING: 5.0, A.WALKING: 5.0, A.HOUSEWORK: 2.0, A.REACHING: 3.0, A.STAIRS: 1.2}
EVENING = {A.SITTING: 6.0, A.STANDING: 2.0, A.WALKING: 2.0, A.HOUSEWORK: 1.0, A.REACHING: 0.6, A.STAIRS: 0.8}

Appointment = tuple[float, Activity, float]
"""Seconds of the day, activity, length in seconds."""


def _length(activity: Activity, rng: np.random.Generator) -> float:
    median, sigma, longest = LENGTH[activity]
    return float(np.clip(rng.lognormal(np.log(median), sigma), MIN_BOUT_S, longest))


def _appointments(person: Person, works: bool, rng: np.random.Generator) -> list[Appointment]:
    day: list[Appointment] = []
    if works:
        travel = A.CYCLING if person.cycles else A.WALKING
        for hour in (person.wake_h + 1.3, 17.3):
            minutes = rng.uniform(14, 25) if person.cycles else rng.uniform(5, 16)
            day.append(((hour + rng.normal(0, 0.2)) * 3600, travel, minutes * 60))
    elif person.cycles:
        day.append((rng.uniform(14, 17) * 3600, A.CYCLING, rng.uniform(25, 50) * 60))
    if person.runs and rng.random() < 0.75:
        day.append((rng.choice((12.4, 18.4, 19.2)) * 3600, A.RUNNING, _length(A.RUNNING, rng)))
    elif rng.random() < 0.4:
        day.append((rng.uniform(18.5, 20.0) * 3600, A.WALKING, rng.uniform(10, 40) * 60))
    return sorted(day)


def _weights(person: Person, works: bool, second: float) -> dict[Activity, float]:
    hour = second / 3600
    if hour > 19.5:
        return EVENING
    if works and person.wake_h + 1.5 < hour < 17.3:
        return DESK if person.works_at_desk else ON_FEET
    return HOME


def _waking_day(
    person: Person, wake_s: float, bed_s: float, rng: np.random.Generator
) -> Iterator[tuple[Activity, float]]:
    """Yield activities and lengths that fill the day from waking to bed."""
    works = bool(rng.random() < 0.7)
    waiting = _appointments(person, works, rng)
    now, last = wake_s, A.SLEEP
    while now < bed_s:
        while waiting and waiting[0][0] < now - 900:
            waiting.pop(0)
        until = min(waiting[0][0] if waiting else bed_s, bed_s)
        if waiting and now >= until - MIN_BOUT_S:
            _, activity, length = waiting.pop(0)
        else:
            weights = {kind: weight for kind, weight in _weights(person, works, now).items() if kind != last}
            chances = np.array(list(weights.values()))
            activity = list(weights)[rng.choice(len(weights), p=chances / chances.sum())]
            length = _length(activity, rng)
            length = min(length, max(until - now, MIN_BOUT_S))
        length = min(length, max(bed_s - now, MIN_BOUT_S))
        yield activity, length
        now, last = now + length, activity


def _nights_and_days(person: Person, days: int, rng: np.random.Generator) -> Iterator[tuple[Activity, float]]:
    """Yield activities and lengths from the midnight before the recording, over `days` full days."""
    now = 0.0
    for day in range(days):
        wake_s = (day * 24 + person.wake_h + rng.normal(0, 0.35)) * 3600
        bed_s = (day * 24 + person.bed_h + rng.normal(0, 0.35)) * 3600
        if rng.random() < 0.4 and wake_s - now > 3 * 3600:
            asleep, there, up, back = rng.uniform((0.4, 10, 40, 10), (0.8, 25, 150, 25)) * (wake_s - now, 1, 1, 1)
            yield from ((A.SLEEP, asleep), (A.WALKING, there), (A.STANDING, up), (A.WALKING, back))
            now += asleep + there + up + back
        yield A.SLEEP, max(wake_s - now, MIN_BOUT_S)
        yield from _waking_day(person, wake_s - day * DAY_S, bed_s - day * DAY_S, rng)
        now = bed_s


def _cadence(person: Person, activity: Activity, rng: np.random.Generator) -> float:
    if activity == A.WALKING:
        return person.walking_steps_per_s * float(np.clip(rng.normal(1.0, 0.06), 0.82, 1.15))
    if activity == A.RUNNING:
        return person.running_steps_per_s * float(np.clip(rng.normal(1.0, 0.025), 0.93, 1.07))
    if activity == A.STAIRS:
        return person.walking_steps_per_s * float(np.clip(rng.normal(0.88, 0.08), 0.7, 1.05))
    return rng.uniform(1.0, 1.6) if activity == A.CYCLING else 0.0


def scripted(person: Person, script: Sequence[tuple[Activity, float]], rng: np.random.Generator) -> list[Bout]:
    """Turn activities and seconds into consecutive bouts from second 0."""
    bouts, now = [], 0.0
    for activity, length in script:
        bouts.append(Bout(now, now + length, activity, _cadence(person, activity, rng)))
        now += length
    return bouts


def free_living(person: Person, start_of_day_s: float, duration_s: float, rng: np.random.Generator) -> list[Bout]:
    """Draw bouts that tile a recording of `duration_s` seconds that starts `start_of_day_s` seconds after midnight."""
    days = int((start_of_day_s + duration_s) // DAY_S) + 2
    all_bouts = scripted(person, list(_nights_and_days(person, days, rng)), rng)
    bouts = cut(all_bouts, start_of_day_s, start_of_day_s + duration_s)
    bouts = [replace(bout, start_s=bout.start_s - start_of_day_s, end_s=bout.end_s - start_of_day_s) for bout in bouts]
    for start_s, end_s in _times_off_wrist(person, start_of_day_s, duration_s, rng):
        bouts = take_off(bouts, start_s, end_s)
    return bouts


def _times_off_wrist(
    person: Person, start_of_day_s: float, duration_s: float, rng: np.random.Generator
) -> Iterator[tuple[float, float]]:
    """Yield spans of non-wear: hours on every second day, and minutes in which the strap is flipped."""
    spans = []
    if person.takes_device_off:
        spans += [(day, rng.uniform(2.0, 4.5) * 3600) for day in range(0, int(duration_s // DAY_S), 2)]
    if person.flips_strap and duration_s >= DAY_S / 4:
        spans += [(int(duration_s // DAY_S) // 2, rng.uniform(5, 15) * 60)]
    for day, length in spans:
        begin = (person.wake_h + rng.uniform(3.5, 9.0)) * 3600 + day * DAY_S - start_of_day_s
        if begin > 0 and begin + length < duration_s:
            yield begin, begin + length


def cut(bouts: Sequence[Bout], start_s: float, end_s: float) -> list[Bout]:
    """Return the parts of bouts between two instants."""
    parts = (replace(bout, start_s=max(bout.start_s, start_s), end_s=min(bout.end_s, end_s)) for bout in bouts)
    return [part for part in parts if part.duration_s > 0]


def overlay(bouts: Sequence[Bout], start_s: float, end_s: float, activity: Activity) -> list[Bout]:
    """Return bouts with another one that replaces what it covers."""
    before, after = cut(bouts, 0.0, start_s), cut(bouts, end_s, bouts[-1].end_s)
    wearing = before[-1].wearing if before else 0
    return [*before, Bout(start_s, end_s, activity, wearing=wearing), *after]


def take_off(bouts: Sequence[Bout], start_s: float, end_s: float) -> list[Bout]:
    """Return bouts with the device taken off at `start_s` and put on again at `end_s`."""
    off = overlay(bouts, start_s, end_s, Activity.NON_WEAR)
    return [replace(bout, wearing=bout.wearing + 1) if bout.start_s >= end_s else bout for bout in off]
