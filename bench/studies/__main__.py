"""Compare ways of pretraining: each network's frozen macro F1 on two labelled sets, as one table (docs/studies.md).

    python -m bench.studies STUDY [STUDY ...]      # resumes; `all` for every study

Every study is on the same people: 16 of WISDM, whose recordings are also in the stores (without labels), and 18 of
UMAFall, who are in none. Folds are by person. The 8 people for claims are in no store and no set.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from scipy import stats

from bench.command import parser, with_real_recordings, write_json
from bench.studies.cell import Cell
from bench.studies.data import LABELLED, Material
from bench.studies.studies import STUDIES
from bench.tables import markdown_table

Scores = dict[str, Any]


def difference(one: Scores, other: Scores) -> str:
    """Return the mean paired difference over people, with its 95% interval."""
    change_P = np.array(one["by_person"]) - np.array(other["by_person"])
    half = stats.t.ppf(0.975, change_P.size - 1) * change_P.std(ddof=1) / np.sqrt(change_P.size)
    mean = change_P.mean()
    return f"{mean:+.3f} ({mean - half:+.3f} to {mean + half:+.3f})"


def table(cells: tuple[Cell, ...], scores: list[Scores], baselines: dict[str, Scores]) -> list[str]:
    """Return a study as a Markdown table."""
    columns = [words for name in LABELLED for words in (name, f"{name}: less the first row")]
    rows: list[list[object]] = []
    for cell, found in zip(cells, scores, strict=True):
        row: list[object] = [cell.title, f"{int(cell.overrides['run.windows']):,}", f"{found['minutes']:.0f}"]
        for name in LABELLED:
            change = difference(found[name], scores[0][name]) if found is not scores[0] else ""
            row += [f"{found[name]['mean']:.3f}", change]
        rows.append(row)
    for kind in next(iter(baselines.values())):
        row = [f"*{kind}*", "", ""]
        for name in LABELLED:
            row += [f"{baselines[name][kind]['mean']:.3f}", difference(baselines[name][kind], scores[0][name])]
        rows.append(row)
    return markdown_table(["", "windows", "minutes", *columns], rows)


def main() -> None:
    """Parse the command line, and run studies."""
    made = parser(__doc__, "studies")
    made.add_argument("study", nargs="+", choices=[*STUDIES, "all"], help="which tables")
    with_real_recordings(made)
    given = made.parse_args()
    material = Material(given.shared, given.out)
    for name in STUDIES if "all" in given.study else given.study:
        cells = STUDIES[name]
        scores = []
        for cell in cells:
            scores.append(cell.score(material))
            print(f"{name}: {cell.title}: {scores[-1]['wisdm']['mean']:.3f}", file=sys.stderr, flush=True)
        text = table(cells, scores, cells[0].baselines(material))
        write_json(
            given.out / "results" / f"{name}.json", dict(zip([cell.title for cell in cells], scores, strict=True))
        )
        print(f"\n## {name}\n", *text, sep="\n", flush=True)


if __name__ == "__main__":
    main()
