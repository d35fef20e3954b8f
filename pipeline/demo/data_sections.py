"""The page's sections about the data: the store, one of its person-days, and the windows that training draws."""

from __future__ import annotations

from pipeline.demo.results import Json, Results
from pipeline.pages import html


def store_section(results: Results) -> list[str]:
    run, found = results.name, results.inspect
    made_by = html.commands(
        [
            f"persondays simulate {run}/recordings{_simulation_arguments(results)}",
            f"persondays new-key {run}/key",
            f"persondays ingest --recordings {run}/recordings --store {run}/store --key-file {run}/key "
            "--id-regex '(P[0-9]+)[.]cwa'",
            f"persondays inspect {run}/store --json {run}/report/inspect.json",
        ]
    )
    if found is None:
        return [results.missing("report/inspect.json"), made_by]
    return [
        html.shows("The contents of the store: recordings, participants, and hours in each state."),
        html.table(_totals(found)),
        html.explained(
            "A person-day is the part of a recording between two midnights of the device's clock; a recording that "
            "starts at noon and lasts two days has three. A second is eligible for training if it was measured, worn "
            "and not bad. Calibration is own if the recording had enough still moments to measure the sensor's error "
            "against gravity. The store holds keyed ids: nobody can be identified without the key.",
            "These recordings come from a simulator. Real recordings have more kinds of damage, odder clocks and less "
            "regular days.",
        ),
        made_by,
    ]


def _totals(found: Json) -> list[tuple[str, str]]:
    """The rows of the table of totals."""
    recordings, days = found["recordings"], found["person_days"]
    rows = [
        ("recordings", f"{recordings['done']:,} done, {recordings['rejected']:,} rejected"),
        *(("rejected because", f"{reason} [{count:,}]") for reason, count in recordings["reasons"].items()),
        ("participants", f"{found['participants']:,}"),
        ("person-days", f"{days:,}"),
        ("worn", f"{found['wear_hours']:,.1f} h"),
        ("eligible for training", f"{found['eligible_hours']:,.1f} h"),
        *((state, _hours(hours)) for state, hours in found["state_hours"].items()),
        ("devices", _listed(found["devices"])),
        ("calibration", _listed(found["calibration"])),
    ]
    if found["bytes"] and days:
        size_mb = sum(found["bytes"].values()) / 1e6
        rows.append(("size", f"{size_mb:,.0f} MB [{size_mb / days:.1f} MB per person-day]"))
    return rows


def day_section(results: Results) -> list[str]:
    day = (results.inspect or {}).get("day")
    which = (
        f"One person-day (slot {day['slot']} of the store, worn for {day['wear_hours']:.1f} h)"
        if day
        else "One person-day"
    )
    mean = f" Its mean over the worn seconds of this day is {day['enmo_mg']:.0f} mg." if day and day["enmo_mg"] else ""
    return [
        html.shows(
            f"{which} over the device's clock. From the top: the range of the acceleration on each axis, the motion of "
            "each second, ENMO, and the state of every second; at the bottom, the ten seconds with the most motion."
        ),
        results.picture(
            "report/day.png", "A person-day: acceleration on three axes, motion, ENMO and states over time"
        ),
        html.explained(
            "At rest, the three axes share the 1 g of gravity according to the orientation of the wrist; the steps at "
            "night are turns in bed. Motion is the standard deviation of the acceleration within a second, and does "
            f"not change when the device is turned. ENMO is the acceleration in excess of gravity.{mean} Training only "
            "uses seconds that are measured, worn and not bad, in windows like the one at the bottom.",
            "Non-wear is inferred from more than 90 still minutes, not observed: deep sleep and a device on a table "
            "can look alike. Clipped seconds reach the limit of the device's range, so the true value is unknown. "
            "States of a few seconds are drawn wider than they are, to be visible.",
        ),
        html.commands([f"persondays inspect {results.name}/store --picture {results.name}/report/day.png"]),
    ]


def draws_section(results: Results) -> list[str]:
    draws = (results.training or {}).get("draws")
    return [
        html.shows(
            "One person-day in training: the weight of every possible start of a window, the starts drawn, and how "
            "often each tenth of the starts was drawn, compared with what the weights predict."
        ),
        results.picture("report/draws.png", "Weights of the possible window starts of a day, and the windows drawn"),
        *([html.paragraph(_draws_in_numbers(draws))] if draws else []),
        html.explained(
            "People are still most of the time, and a network learns little from still windows. Training therefore "
            "draws windows without replacement, with a probability proportional to their motion. The draws follow from "
            "the seed, so they are the same after a restart and on any number of machines.",
            "The windows drawn do not represent daily life: still behaviour such as sleeping and sitting is rare in "
            "them, on purpose.",
        ),
        html.commands([training_report_command(results.name)]),
    ]


def _draws_in_numbers(draws: Json) -> str:
    median, tenths = draws["median_weight_g"], draws["deciles"]
    inside = sum(tenth["low"] <= tenth["share"] <= tenth["high"] for tenth in tenths)
    return (
        f"This day has {draws['eligible_starts']:,} seconds at which a window of {draws['seconds_a_window']} s may "
        f"start; the first round drew {draws['drawn']:,} of them. The median weight is {median['eligible']:.3g} g over "
        f"all starts and {median['drawn']:.3g} g over those drawn. The tenth with the most motion gave "
        f"{tenths[-1]['share']:.1%} of the windows, the tenth with the least {tenths[0]['share']:.1%}. In {inside} of "
        f"{len(tenths)} tenths, the share drawn is within the range of 99% of random draws."
    )


def training_report_command(run: str) -> str:
    """Return the command that makes the pictures and numbers of training."""
    return (
        f"persondays report-training --logs {run}/checkpoints/logs --control-logs {run}/control/logs "
        f"--store {run}/store --out {run}/report"
    )


def _simulation_arguments(results: Results) -> str:
    """Return the arguments of the simulation, if they are known."""
    made = results.simulation
    if made is None:
        return ""
    return f" --participants {made['participants']} --days {made['days']:g} --seed {made['seed']}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.1f} min" if hours else "none"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())
