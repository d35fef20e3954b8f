"""Contrastive pretraining on inertial and skeleton data, UTD-MHAD: table 1 and figure 2 of Khaertdinov et al.

    python -m bench.utd_mhad                       # seed 0; resumes by row and seed
    python -m bench.utd_mhad --seeds 10 --paper    # ten seeds, with the paper's epochs

Trains on people 1, 3, 5, 7 and tests on 2, 4, 6, 8. Cells that are done are kept in --out.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.command import ROOT, machine, parser, read_json, with_real_recordings
from bench.utd_mhad.results import Cells, curve_table, picture, table
from bench.utd_mhad.rows import PAPER, ROWS, Lengths, Study
from pipeline.demo.command import persondays
from pipeline.errors import UserError
from pipeline.pages.figures import save
from train.studies.utd_mhad.trials import read_split


def paired_folder(given: Path | None, shared: Path, out: Path) -> Path:
    """Return the paired folder: as given, or made from the folder of real recordings and kept."""
    if given is not None:
        return given
    made = out / "paired"
    if not made.exists():
        script = shared / "utd_mat.py"
        if not script.exists():
            raise UserError(
                f"{script}: expected the project's copy of UTD-MHAD, found none. Download the data set, run "
                "`persondays labelled utd-mhad FOLDER OUT`, and give --paired OUT."
            )
        mat = out / "mat"
        for command in ([sys.executable, str(script), str(mat)], persondays("labelled", "utd-mhad", mat, made)):
            subprocess.run(list(map(str, command)), check=True, cwd=ROOT)
    return made


def done(out: Path, rows: list[str], seeds: int) -> Cells:
    """Return the cells that are there, by row."""
    found = {name: [read_json(out / f"seed-{seed}" / f"{name}.json") for seed in range(seeds)] for name in rows}
    return {name: there for name, each in found.items() if (there := [cell for cell in each if cell])}


def main() -> None:
    """Parse the command line, and run the study."""
    made = parser(__doc__, "utd_mhad")
    with_real_recordings(made)
    made.add_argument("--paired", type=Path, help="a folder made by `persondays labelled utd-mhad`")
    made.add_argument("--seeds", type=int, default=1, help="run seeds 0 to N - 1")
    made.add_argument(
        "--rows", nargs="+", choices=list(ROWS), help="only these; default: those of the paper, and random"
    )
    made.add_argument("--paper", action="store_true", help="the paper's epochs: some 90 CPU minutes a seed")
    for name, value in vars(Lengths()).items():
        made.add_argument(f"--{name.replace('_', '-')}", type=int, help=f"epochs or repeats (default {value})")
    given = made.parse_args()
    chosen = {name: value for name in vars(PAPER) if (value := getattr(given, name)) is not None}
    lengths = Lengths(**{**vars(PAPER if given.paper else Lengths()), **chosen})
    if min(vars(lengths).values()) < 1 or given.seeds < 1 or lengths.repeats < lengths.supervised_repeats:
        made.error("expected epochs, repeats and seeds of at least 1, and no more supervised repeats than repeats")
    rows = given.rows or [name for name, row in ROWS.items() if row.standard]
    try:
        study = Study(read_split(paired_folder(given.paired, given.shared, given.out)), lengths, given.out)
    except UserError as error:
        sys.exit(f"error: {error}")
    for seed in range(given.seeds):
        for name in rows:
            cell = study.cell(seed, name)
            print(f"seed {seed}, {ROWS[name].title}: {100 * cell['accuracy']:.2f}", file=sys.stderr, flush=True)
    cells = done(given.out, rows, given.seeds)
    text = [f"{machine()}. {lengths}", "", *table(cells), "", *curve_table(cells)]
    (given.out / "table.md").write_text("\n".join(text) + "\n")
    save(picture(cells), given.out / "utd_mhad.png")
    print(*text, f"\npicture: {given.out / 'utd_mhad.png'}", sep="\n")


if __name__ == "__main__":
    main()
