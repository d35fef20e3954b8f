"""Run the demo with several fresh keys, and judge each run by the rules of its page.

    python -m bench.demo --keys 10     # resumes; ten runs take about 40 minutes on two idle cores

A key decides who is held out in pretraining and the folds of the evaluation. Simulated recordings are the same in every
run, so they are made once.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

from bench.command import ROOT, parser, read_json, write_json
from bench.tables import markdown_table
from pipeline.demo.command import persondays
from pipeline.demo.verdicts import CONTROLS, guessing_of, judge_backbone, judge_task

HEAD = (
    "run",
    "frozen",
    "random weights",
    "difference",
    "beaten",
    "forest",
    "matched",
    "controls",
    "verdict",
    "minutes",
)


def run_demo(folder: Path, first: Path) -> None:
    """Run the demo in a folder; it takes the recordings of the first run, if that is another."""
    folder.mkdir(parents=True, exist_ok=True)
    recordings = folder / "recordings"
    if folder != first and not recordings.exists():
        recordings.symlink_to(first / "recordings")
    began = time.monotonic()
    subprocess.run(persondays("demo", folder), check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    write_json(folder / "minutes.json", {"minutes": (time.monotonic() - began) / 60})


def row_of(number: int, folder: Path) -> list[object]:
    """Return a run's row of the table, and whether it is a win."""
    training, evaluation = read_json(folder / "report/training.json"), read_json(folder / "evaluation/results.json")
    summary: dict[str, Any] = evaluation["summary"]["macro_f1"]
    change, tasks = summary["difference"], training["tasks"]
    verdicts = {name: judge_task(scores, guessing_of(scores, training)) for name, scores in tasks.items()}
    scores = next(iter(tasks.values()))
    controls = [f"{scores[name]['accuracy']:.3f}" for name in CONTROLS if scores.get(name)]
    won = judge_backbone(summary) == "better" and set(verdicts.values()) == {"above its controls"}
    return [
        number,
        f"{summary['pretrained']['mean']:.3f}",
        f"{summary['random']['mean']:.3f}",
        f"{change['mean']:+.3f} ({change['low']:+.3f} to {change['high']:+.3f})",
        f"{summary['beaten']} of {len(summary['random_networks'])}",
        f"{evaluation['rows']['forest']['macro_f1']['mean']:.3f}",
        f"{scores['real']['accuracy']:.3f}",
        ", ".join(controls),
        "better" if won else f"{judge_backbone(summary)}; {', '.join(verdicts.values())}",
        f"{read_json(folder / 'minutes.json').get('minutes', float('nan')):.1f}",
    ]


def main() -> None:
    """Parse the command line, run the demos, and print the table."""
    made = parser(__doc__, "demo")
    made.add_argument("--keys", type=int, default=10, help="number of runs, each with a key of its own")
    given = made.parse_args()
    rows = []
    for number in range(1, given.keys + 1):
        folder = given.out / str(number)
        if not (folder / "minutes.json").exists():
            run_demo(folder, given.out / "1")
        rows.append(row_of(number, folder))
        print(*markdown_table(HEAD, rows[-1:])[-1:], flush=True)
    print(f"\n{sum(row[8] == 'better' for row in rows)} of {len(rows)} runs better\n")
    print(*markdown_table(HEAD, rows), sep="\n")


if __name__ == "__main__":
    main()
