"""Thousands of honest but odd recordings from a seed, each with what is true of it (`fuzz_law`).

`python -m tests.ingest.devices.fuzz_honest --count 2000` checks that many; `--case 17` one of them, again. Three of
four are tables, some of them exports of vendors' programs.
"""

from __future__ import annotations

import argparse
import collections
import sys

import numpy as np

from tests.ingest.devices import fuzz_binary
from tests.ingest.devices.fuzz_exports import export
from tests.ingest.devices.fuzz_law import Broken, Honest, Outcome, check
from tests.ingest.devices.fuzz_tables import table

EVERY, EXPORT_EVERY = 4, 12


def case(number: int, seed: int = 0) -> Honest:
    """Return a recording by its number."""
    if number % EVERY:
        return export(number, seed) if number % EXPORT_EVERY == 1 else table(number, seed)
    names = [*fuzz_binary.KINDS]
    made: Honest = fuzz_binary.KINDS[names[number // EVERY % len(names)]](np.random.default_rng((seed, 5, number)))
    return made


def main() -> None:
    """Check cases and print those that break the law."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--case", type=int, help="this one alone")
    parser.add_argument("--write", help="write the file of this case to this path")
    parser.add_argument("--keep-going", action="store_true")
    given = parser.parse_args()
    numbers = range(given.first, given.first + given.count) if given.case is None else [given.case]
    outcomes: list[Outcome] = []
    broken = collections.Counter[str]()
    for number in numbers:
        made = case(number, given.seed)
        if given.write:
            with open(given.write, "wb") as file:
                file.write(made.data)
        try:
            outcomes.append(check(made))
            if given.case is not None:
                print(made.kinds, made.table, made.refusal, outcomes[-1])
        except Exception as error:
            broken.update(made.kinds)
            print(
                f"case {number} (--seed {given.seed}): {', '.join(made.kinds)}: {type(error).__name__} {error}",
                flush=True,
            )
            if not isinstance(error, Broken) and given.case is not None:
                raise
    accepted = [outcome for outcome in outcomes if outcome.accepted]
    print(
        f"{len(outcomes)} of {len(numbers)} keep the law: {len(outcomes) - len(accepted)} refused as expected, "
        f"{sum(o.compared_s for o in accepted):,} seconds compared of {sum(o.honest_s for o in accepted):,}; at most "
        f"{max((o.worst for o in accepted), default=0):.2f} of the bound"
    )
    if broken:
        print(broken.most_common(30))
        sys.exit(1)


if __name__ == "__main__":
    main()
