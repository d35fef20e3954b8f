"""Do simulated people move as real ones do?

    python -m bench.simulator.realism [--people 46] [--shared ../shared/data]

For each activity, simulated people beside real ones that are labelled with the closest activity: the share of people
in whom the magnitude of acceleration rises faster than it falls (positive skewness of its first differences), how much
it does, the deviation of the magnitude, the spectrum of the axes. Every simulated person does every activity for three
minutes, as in the WISDM protocol. Both are read at 20 Hz and +-2 g, the rate and rail of the WISDM watch.

A table on standard output and in `realism.md`, figures in `realism.json`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ingest.devices.axivity.cwa_format import COUNTS_PER_G
from ingest.simulate.activities import CELSIUS, USUAL, draw
from ingest.simulate.arm import resting, wrist_acceleration
from ingest.simulate.diary import Activity, scripted
from ingest.simulate.population import device, person
from ingest.simulate.sensor import Sensor, mounting
from ingest.simulate.streams import StreamPurpose, stream

from ..command import parser, with_real_recordings, write_json
from ..tables import markdown_table
from .measures import asymmetry, at_rate, band_shares, dominant_hz, magnitude
from .real import HZ, RAIL_G, People, Pieces, several_places, wisdm

SEED, SECONDS, DEVICE_HZ = 0, 180, 100
BANDS = ((0.0, 0.5), (0.5, 3.0), (3.0, 8.0), (8.0, 10.1))
MIN_PEOPLE = 6
"""Real activities of fewer people are left out."""
Case = tuple[Activity, str]
"""An activity and the manner of doing it."""
CASES: dict[Case, tuple[str, ...]] = {
    (Activity.WALKING, USUAL): ("walking", "umafall: adl:Walking"),
    (Activity.RUNNING, USUAL): ("jogging", "umafall: adl:Jogging"),
    (Activity.STAIRS, USUAL): ("stairs", "umafall: adl:GoUpstairs", "umafall: adl:GoDownstairs"),
    (Activity.HOUSEWORK, "pounding"): ("dribbling",),
    (Activity.HOUSEWORK, "brushing"): ("teeth", "smartfallmm: wash_hands"),
    (Activity.HOUSEWORK, "tidying"): ("folding", "smartfallmm: sweep"),
    (Activity.REACHING, USUAL): ("smartfallmm: pick_up",),
    (Activity.SITTING, "meal"): ("pasta", "soup"),
    (Activity.SITTING, "desk"): ("writing", "typing"),
    (Activity.SITTING, "still"): ("sitting",),
    (Activity.STANDING, USUAL): ("standing",),
}
"""Simulated activities, and the real ones closest to them."""


@dataclass(frozen=True)
class Figures:
    """Medians over people, except the shares of people and the quantiles 10% and 90%."""

    people: int
    rising_20_hz: float
    """Share of people in whom the magnitude rises faster than it falls."""
    rising_30_hz: float
    skewness: float
    """Of the first differences of the magnitude at 20 Hz."""
    skewness_range: tuple[float, float]
    deviation_mg: float
    """Of the magnitude."""
    deviation_range_mg: tuple[float, float]
    bands: tuple[float, ...]
    """Shares of power."""
    dominant_hz: float

    @classmethod
    def of(cls, people: list[Pieces]) -> Figures:
        """Measure people."""
        sizes = [[magnitude(x) for x in pieces] for pieces in people]
        joined = [np.concatenate(pieces) for pieces in people]
        skewness = np.array([asymmetry(pieces) for pieces in sizes])
        at_30_hz = np.array([asymmetry([magnitude(at_rate(x, HZ, 30)) for x in pieces]) for pieces in people])
        deviation_mg = 1000 * np.array([np.concatenate(pieces).std() for pieces in sizes])
        return cls(
            people=len(people),
            rising_20_hz=float((skewness > 0).mean()),
            rising_30_hz=float((at_30_hz > 0).mean()),
            skewness=float(np.median(skewness)),
            skewness_range=(float(np.quantile(skewness, 0.1)), float(np.quantile(skewness, 0.9))),
            deviation_mg=float(np.median(deviation_mg)),
            deviation_range_mg=(float(np.quantile(deviation_mg, 0.1)), float(np.quantile(deviation_mg, 0.9))),
            bands=tuple(np.median([band_shares(x, HZ, BANDS) for x in joined], axis=0).tolist()),
            dominant_hz=float(np.median([dominant_hz(x, HZ) for x in joined])),
        )

    def cells(self) -> list[str]:
        """The cells of a row."""
        return [
            str(self.people),
            f"{self.rising_20_hz:.0%}",
            f"{self.rising_30_hz:.0%}",
            f"{self.skewness:+.2f} ({self.skewness_range[0]:+.2f} to {self.skewness_range[1]:+.2f})",
            f"{self.deviation_mg:.0f} ({self.deviation_range_mg[0]:.0f} to {self.deviation_range_mg[1]:.0f})",
            *(f"{share:.2f}" for share in self.bands),
            f"{self.dominant_hz:.1f}",
        ]


def simulated(number: int, case: Case) -> Pieces:
    """What the device of a simulated person records of an activity, at 20 Hz."""
    activity, manner = case
    who, what = person(SEED, number), device(SEED, number)
    rng = stream(SEED, number, StreamPurpose.MOVEMENT, list(CASES).index(case))
    (bout,) = scripted(who, [(activity, SECONDS)], rng)
    accel_NC = wrist_acceleration(draw(bout, who, rng, manner), SECONDS * DEVICE_HZ, 1 / DEVICE_HZ, resting())
    warmth = CELSIUS[activity]
    counts, _ = Sensor(what, rng, warmth).counts(accel_NC, mounting(who, 0, rng), warmth, 1 / DEVICE_HZ)
    return [np.clip(at_rate(counts / COUNTS_PER_G, DEVICE_HZ, HZ), -RAIL_G, RAIL_G)]


def table(found: dict[str, Figures]) -> list[str]:
    """A row an activity, real ones below simulated ones."""
    bands = ["< 0.5 Hz", "0.5-3", "3-8", "> 8 Hz"]
    head = ["", "people", "rise faster", "at 30 Hz", "skewness", "deviation, mg", *bands, "dominant Hz"]
    return markdown_table(head, [[name, *figures.cells()] for name, figures in found.items()])


def main() -> None:
    """Measure simulated and real people and print the table."""
    command_line = parser(__doc__, "realism")
    command_line.add_argument("--people", type=int, default=46, help="people to simulate")
    with_real_recordings(command_line)
    given = command_line.parse_args()
    if given.people < 1:
        command_line.error(f"expected --people of at least 1, found {given.people}")
    real: People = {}
    labelled = given.shared / "labelled"
    if (labelled / "wisdm_watch").is_dir():
        real = wisdm(labelled / "wisdm_watch") | several_places(labelled)
    else:
        print(f"expected the WISDM watch in {labelled / 'wisdm_watch'}, found none: only simulated people are shown")
    found = {}
    for case, closest in CASES.items():
        name = ", ".join(part for part in case if part != USUAL)
        found[f"**{name}**"] = Figures.of([simulated(number, case) for number in range(1, given.people + 1)])
        for label in closest:
            if len(real.get(label, [])) >= MIN_PEOPLE:
                found[f"real, {label.replace('adl:', '')}"] = Figures.of(real[label])
    lines = table(found)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "realism.md").write_text("\n".join(lines) + "\n")
    write_json(given.out / "realism.json", {name: asdict(figures) for name, figures in found.items()})
    print("\n".join(lines))


if __name__ == "__main__":
    main()
