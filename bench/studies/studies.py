"""The studies: what is compared in each table. The first cell of a study is the one that others are compared with."""

from __future__ import annotations

from bench.studies.cell import Cell

SIMCLR = "objective.simclr"
BASE = Cell("base: simclr on 64 people, 100,000 windows, width 0.125")
STUDIES: dict[str, tuple[Cell, ...]] = {
    "objective": (
        BASE,
        Cell("multitask", settings=("objective.name=multitask",)),
        Cell(
            "multitask, orientation kept",
            settings=(
                *("objective.name=multitask", "objective.multitask.rotation=false"),
                "objective.multitask.axis_permutation=false",
            ),
        ),
        Cell(
            "both together, orientation of the tasks kept",
            settings=(
                *("objective.name=joint", "objective.multitask.rotation=false"),
                "objective.multitask.axis_permutation=false",
            ),
        ),
        Cell("simclr, nearby windows as positives", settings=(f"{SIMCLR}.positive=nearby",)),
    ),
    "views": (
        BASE,
        Cell("any rotation, any order of axes", settings=(f"{SIMCLR}.rotation=1.0", f"{SIMCLR}.axis_permutation=true")),
        Cell("rotation 0.3", settings=(f"{SIMCLR}.rotation=0.3",)),
        Cell("segments in order", settings=(f"{SIMCLR}.permutation=0",)),
        Cell("no scaling", settings=(f"{SIMCLR}.scaling=0",)),
        Cell("temperature 0.2", settings=(f"{SIMCLR}.temperature=0.2",)),
    ),
    "rate": (BASE, Cell("twice the learning rate", settings=("optimizer.rate_per_512=2e-3",))),
    "draws": (
        BASE,
        Cell("by the square root of motion", settings=("data.weighting=root",)),
        Cell("uniform", settings=("data.weighting=uniform",)),
    ),
    "people": (
        BASE,
        *(Cell(f"{people} people", settings=(f"data.max_participants={people}",)) for people in (8, 16, 32)),
    ),
    "sources": (
        BASE,
        Cell("16 people of WISDM", "wisdm"),
        Cell("48 people of the two other sets", "others"),
        Cell("49 waists", "waist"),
        Cell("32 simulated people", "simulated"),
        Cell("simulated and real people", "both"),
    ),
    "windows": (
        BASE,
        Cell("300,000 windows", settings=("run.windows=300000",)),
    ),
    "width": (
        BASE,
        Cell("width 0.25", settings=("network.width=0.25",)),
    ),
    "seeds": (BASE, Cell("seed 1", settings=("seed=1",)), Cell("seed 2", settings=("seed=2",))),
}
