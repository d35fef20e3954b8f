"""The page's sections about the data: the store, a day of it, and what training draws from a day."""

from __future__ import annotations

from pipeline.demo.results import Results
from pipeline.pages import html


def store_section(results: Results) -> list[str]:
    run, found = results.name, results.inspect
    made = html.commands(
        [
            f"persondays simulate {run}/recordings{_cohort(results)}",
            f"persondays new-key {run}/key",
            f"persondays ingest --recordings {run}/recordings --store {run}/store --key-file {run}/key "
            "--id-regex '(P[0-9]+)[.]cwa'",
            f"persondays inspect {run}/store --json {run}/report/inspect.json",
        ]
    )
    if found is None:
        return [results.missing("report/inspect.json"), made]
    recordings, days = found["recordings"], found["person_days"]
    size = sum(found["bytes"].values()) if found["bytes"] else None
    rows = [
        ("recordings", f"{recordings['done']:,} done, {recordings['rejected']:,} rejected"),
        *(("rejected because", f"{reason} [{count:,}]") for reason, count in recordings["reasons"].items()),
        ("people, person-days", f"{found['participants']:,}, {days:,}"),
        ("worn", f"{found['wear_hours']:,.1f} h"),
        ("may be drawn for training", f"{found['eligible_hours']:,.1f} h"),
        *((state, _hours(hours)) for state, hours in found["state_hours"].items()),
        ("devices", _listed(found["devices"])),
        ("calibration", _listed(found["calibration"])),
    ]
    if size is not None and days:
        rows.append(("on disk", f"{size / 1e6:,.0f} MB [{size / 1e6 / days:.1f} MB a person-day]"))
    return [
        html.seen("the store's totals: how many recordings came in, whose, and how many hours in each state."),
        html.table(rows),
        html.explained(
            "A person-day is one recording between two midnights of the device's own clock: one that starts at noon "
            "and lasts two days touches three. A second may be drawn when it was measured, worn and not bad. "
            "Calibration 'own' means that the recording held enough still moments to find its sensor's errors against "
            "gravity. People and recordings go by keyed ids: without the key, nobody can be named.",
            "These people follow the rules of a simulator. Real recordings have more kinds of damage, stranger clocks "
            "and less tidy lives.",
        ),
        made,
    ]


def day_section(results: Results) -> list[str]:
    day = (results.inspect or {}).get("day")
    which = f"slot {day['slot']} of the store, worn {day['wear_hours']:.1f} h" if day else "one slot of the store"
    mean = f" Over this day's worn seconds its mean is {day['enmo_mg']:.0f} mg." if day and day["enmo_mg"] else ""
    return [
        html.seen(
            f"one person-day ({which}) by the clock: the lowest and highest acceleration of the three axes, how much "
            "each second moves, ENMO, the state of every second, and ten seconds close up."
        ),
        results.picture("report/day.png", "A day's acceleration on three axes, motion, ENMO and states by the clock"),
        html.explained(
            "At rest the axes share the 1 g of gravity, and how they share it tells how the wrist lies: the steps at "
            "night are turns in bed. Motion is the spread within a second, the same however the device is turned. ENMO "
            f"is how far the acceleration exceeds gravity.{mean} Only seconds that are measured, worn and not bad are "
            "ever shown to a network; the close-up is what it sees of ten of them.",
            "Non-wear is a rule (still for over 90 minutes), not an observation: a sound sleeper and a device on a "
            "table can look alike. Clipped marks the device's rail, where the true value is not known. A state of a "
            "few seconds is drawn wider than it is, so that it can be seen.",
        ),
        html.commands([f"persondays inspect {results.name}/store --picture {results.name}/report/day.png"]),
    ]


def draws_section(results: Results) -> list[str]:
    draws = (results.training or {}).get("draws")
    figures = []
    if draws:
        median, tenths = draws["median_weight_g"], draws["deciles"]
        inside = sum(tenth["low"] <= tenth["share"] <= tenth["high"] for tenth in tenths)
        figures.append(
            html.paragraph(
                f"Of the {draws['eligible_starts']:,} seconds at which a window of {draws['seconds_a_window']} s may "
                f"start on this day, {draws['drawn']:,} were drawn in the first round. The median weight is "
                f"{median['eligible']:.3g} g over all of them and {median['drawn']:.3g} g over those drawn. The "
                f"heaviest tenth of the starts gave {tenths[-1]['share']:.1%} of the windows, the lightest "
                f"{tenths[0]['share']:.1%}. In {inside} of {len(tenths)} tenths the share drawn lies in the range that "
                "holds 99% of what chance would give."
            )
        )
    return [
        html.seen(
            "a day of somebody in training: the weight of every possible start, the starts that the run drew, and how "
            "often each tenth of the starts was drawn beside what the weights ask for."
        ),
        results.picture("report/draws.png", "Weights of a day's possible starts against the windows drawn"),
        *figures,
        html.explained(
            "People are still most of the time, and a network learns little from stillness. So windows are drawn with "
            "a probability that grows with their motion, without replacement, from numbers that follow from the seed: "
            "the same windows again after a restart and on any number of machines.",
            "What is drawn is not how people live: whatever one counts over drawn windows leans towards movement. "
            "Still behaviour (sleep, sitting) is seen little, on purpose.",
        ),
        html.commands([report_command(results.name)]),
    ]


def report_command(run: str) -> str:
    return (
        f"persondays report-training --logs {run}/checkpoints/logs --control-logs {run}/control/logs "
        f"--store {run}/store --out {run}/report"
    )


def _cohort(results: Results) -> str:
    """The arguments by which the people were simulated, where they are known."""
    made = results.simulation
    if made is None:
        return ""
    return f" --participants {made['participants']} --days {made['days']:g} --seed {made['seed']}"


def _hours(hours: float) -> str:
    return f"{hours:,.1f} h" if hours >= 1 else f"{60 * hours:,.1f} min" if hours else "none"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items())
