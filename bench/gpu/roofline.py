"""What a GPU could do at best, and what eight of them ask of loaders and storage: computed, not measured.

    python -m bench.gpu.roofline [--batch 768] [--day-mb 7.4] [--windows-per-day 1500] [--cores-from 130000 228000]

Operations and bytes are counted on the device `meta` (bench/gpu/traffic.py). Rates are those that NVIDIA publishes for
an H200 SXM, without sparsity. A GPU is assumed to reach SHARE_OF_RATE of its matrix rate in convolutions and
SHARE_OF_BANDWIDTH of its bandwidth in everything else, one after the other.
"""

from __future__ import annotations

import argparse

from train.recipe import load_recipe

from ..tables import markdown_table
from ..train.ours import flop
from .traffic import step_traffic

MATRIX_RATE = 989e12
"""FLOP/s of an H200 SXM in bfloat16, without sparsity."""
BANDWIDTH = 4.8e12
"""Bytes/s of its memory."""
SHARE_OF_RATE, SHARE_OF_BANDWIDTH = 0.5, 0.8
GPUS = 8
CONVOLUTIONS = "convolutions and blur"
FUSED_AWAY = ("ReLU", "circular pad", "additions", "views")
"""Kinds that a compiler can join with what comes before or after, so that they cost no traffic of their own."""


def main() -> None:
    """Count, compute, and print the tables."""
    made = argparse.ArgumentParser(prog="python -m bench.gpu.roofline", description=(__doc__ or "").splitlines()[0])
    made.add_argument("--batch", type=int, default=768, help="windows of a step on a GPU")
    made.add_argument("--day-mb", type=float, default=7.4, help="MB of a stored person-day")
    made.add_argument("--windows-per-day", type=int, default=1500, help="windows that a round draws from it")
    made.add_argument(
        "--cores-from", type=float, nargs=2, default=(130_000, 228_000), help="windows/s of a core, slow and fast"
    )
    given = made.parse_args()
    recipe = load_recipe("harnet10", [f"run.batch={given.batch}"])
    flops, counted = flop(recipe), step_traffic(recipe)
    bytes_of = {kind: count / given.batch for kind, count in counted.bytes.items()}
    kinds = sorted(bytes_of, key=lambda kind: -bytes_of[kind])
    rows = [[kind, counted.operations[kind] or "-", f"{bytes_of[kind] / 1e6:.2f}"] for kind in kinds]
    rows.append(["all", sum(counted.operations.values()), f"{sum(bytes_of.values()) / 1e6:.2f}"])
    print(f"harnet10, {given.batch} windows in bfloat16: {flops / 1e9:.2f} GFLOP a window\n")
    print("\n".join(markdown_table(["kind", "operations a step", "MB a window"], rows)))
    print("\n" + "\n".join(markdown_table(*bounds(flops, bytes_of, given))))


def bounds(flops: float, bytes_of: dict[str, float], given: argparse.Namespace) -> tuple[list[str], list[list[str]]]:
    """Windows a second of one GPU, and what eight ask for, eager and fused."""
    head = [
        "",
        "MB a window besides convolutions",
        "windows/s by convolutions",
        "windows/s by the rest",
        "windows/s, one after the other",
        f"{GPUS} GPUs",
        "cores of a loader",
        "GB/s of storage",
    ]
    rows = []
    for name, left_out in (("eager", ()), ("fused", FUSED_AWAY)):
        rest = sum(count for kind, count in bytes_of.items() if kind not in (CONVOLUTIONS, *left_out))
        convolutions_s = flops / (SHARE_OF_RATE * MATRIX_RATE)
        rest_s = rest / (SHARE_OF_BANDWIDTH * BANDWIDTH)
        both = 1 / (convolutions_s + rest_s)
        slow, fast = given.cores_from
        read = GPUS * both * given.day_mb * 1e6 / given.windows_per_day
        figures = [f"{rest / 1e6:.1f}", *(f"{each:,.0f}" for each in (1 / convolutions_s, 1 / rest_s, both))]
        asked = [f"{GPUS * both:,.0f}", f"{GPUS * both / fast:.0f} to {GPUS * both / slow:.0f}", f"{read / 1e9:.1f}"]
        rows.append([name, *figures, *asked])
    return head, rows


if __name__ == "__main__":
    main()
