"""A profile of three steps: launches a step, how busy the GPU is, and the kernels that take longest."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import repeat

from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from bench.train.ours import bare_run
from train.loop.step import take_step

from ..batch import batch_on
from ..figure import NEEDS_CUDA, Figure, Sizes, wait

STEPS, TOP = 3, 8
LAUNCHES = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")


def profiling(sizes: Sizes) -> Iterator[Figure]:
    """Profile the eager step at both batches, from windows that are on the device already."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if sizes.cuda else [])]
    for batch in sizes.batches:
        recipe = sizes.recipe(batch)
        run = bare_run(recipe, sizes.processes(), repeat(batch_on(sizes.device, recipe)))
        for _ in range(STEPS):
            take_step(run)  # type: ignore[arg-type]
        wait(sizes.device)
        with profile(activities=activities) as found:
            began = time.perf_counter()
            for _ in range(STEPS):
                take_step(run)  # type: ignore[arg-type]
            wait(sizes.device)
            seconds = time.perf_counter() - began
        events = found.key_averages()
        kernels = [event for event in events if event.device_type == DeviceType.CUDA]
        status = "" if sizes.cuda else NEEDS_CUDA
        yield Figure(f"{batch:,} windows: a step under the profiler", round(1e3 * seconds / STEPS, 2), "ms", status)
        if not sizes.cuda:
            continue
        launches = sum(event.count for event in events if event.key in LAUNCHES)
        busy = sum(event.self_device_time_total for event in kernels) / 1e6
        yield Figure(f"{batch:,} windows: launches a step", round(launches / STEPS))
        yield Figure(f"{batch:,} windows: the GPU is busy", f"{busy / seconds:.0%}")
        for event in sorted(kernels, key=lambda event: -event.self_device_time_total)[:TOP]:
            share = event.self_device_time_total / 1e6 / busy
            name = f"{batch:,} windows: {event.key[:70]}"
            yield Figure(name, f"{share:.1%} of the time in {event.count / STEPS:.0f} launches a step")
