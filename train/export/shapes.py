"""Further files of an export: ONNX, int8 ONNX, a torch.export program and .mdl, each checked against the network.

A file whose results differ from the network's by more than `TOLERANCE` is an error; int8 is an approximation, whose
cost is measured on labelled windows instead (`train.export.quantised`).
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from train.networks import Encoder
from train.networks.downstream import DownstreamNetwork
from train.networks.weights import DISTRIBUTED, load_entries, read_weights

SHAPES = ("onnx", "int8", "program", "mdl")
FILES = {
    "onnx": "backbone.onnx",
    "classifier": "classifier.onnx",
    "int8": "backbone.int8.onnx",
    "program": "backbone.pt2",
    "mdl": "model.mdl",
}
OPSET = 18
TOLERANCE = 1e-4
INPUT = "windows"
CHECKED_BATCHES = (1, 5)
TIMED_RUNS, TIMED_S = 50, 1.0

Run = Callable[[Tensor], Tensor]
"""Maps windows (batch, 3, ticks) to what the network gives, on one core."""


class Written(NamedTuple):
    """A file, and how to run it; None where it is only weights."""

    file: str
    run: Run | None


def parse_shapes(text: str | None) -> tuple[str, ...]:
    """Return the names of `--shapes`, each once; `all` is every one. Raises UserError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    names = SHAPES if names == ("all",) else names
    for name in names:
        if name not in SHAPES:
            raise UserError(f"--shapes: expected {', '.join(SHAPES)} with commas, or all; found {name!r}.")
    return names


def made_windows(ticks: int, count: int) -> Tensor:
    """Return windows to check and time with: a device that is still or swings, in every direction, with noise."""
    random = torch.Generator().manual_seed(0)
    way_NC1 = torch.nn.functional.normalize(torch.randn(count, 3, 1, generator=random), dim=1)
    swing_NCT = torch.sin(torch.linspace(0, 40, ticks) + 6 * torch.rand(count, 3, 1, generator=random))
    return (
        way_NC1
        + 0.5 * torch.rand(count, 1, 1, generator=random) * swing_NCT
        + 0.02 * torch.randn(count, 3, ticks, generator=random)
    )


def write_mdl(entries: Mapping[str, Tensor], file: Path) -> Written:
    """Write all entries under `module.` names, as distributed training of the public code saves them."""
    torch.save({DISTRIBUTED + name: tensor for name, tensor in entries.items()}, file)
    return Written(file.name, None)


def write_program(network: nn.Module, ticks: int, file: Path) -> Written:
    """Write a program for `torch.export.load`, for any number of windows."""
    with torch.no_grad(), quietly():
        program = torch.export.export(network, (torch.zeros(2, 3, ticks),), dynamic_shapes=_any_batch(), strict=False)
        torch.export.save(program, file)
        return Written(file.name, torch.export.load(file).module())


def write_onnx(network: nn.Module, ticks: int, output: str, file: Path) -> Written:
    """Write an ONNX model of opset `OPSET`: `windows` (batch, 3, ticks) to `output`, for any number of windows."""
    import onnxruntime  # noqa: F401 (its absence is reported before the work)
    import onnxscript  # noqa: F401

    with torch.no_grad(), quietly():
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, ticks),),
            file,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[output],
            dynamic_shapes=_any_batch(),
            external_data=False,
            verbose=False,
        )
    return Written(file.name, onnx_run(file))


def onnx_run(file: Path) -> Run:
    """Return a function that runs an ONNX model by onnxruntime on one core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda x_BCT: torch.from_numpy(session.run(None, {INPUT: x_BCT.numpy()})[0])


def require_same(written: Written, network: nn.Module, ticks: int) -> None:
    """Raise RuntimeError where a file gives other results than the network."""
    for batch in CHECKED_BATCHES:
        x_BCT = made_windows(ticks, batch)
        with torch.inference_mode():
            expected, found = network(x_BCT), written.run(x_BCT) if written.run else network(x_BCT)
        if not torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE):
            largest = float((found - expected).abs().max())
            raise RuntimeError(f"{written.file} differs from the network by up to {largest:g} for {batch} windows")


def milliseconds(run: Run, ticks: int) -> float:
    """Return the median time of a window by itself, on one core, in ms."""
    x_BCT, threads = made_windows(ticks, 1), torch.get_num_threads()
    times: list[float] = []
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            run(x_BCT)
            began = time.perf_counter()
            while len(times) < TIMED_RUNS and time.perf_counter() - began < TIMED_S:
                started = time.perf_counter()
                run(x_BCT)
                times.append(1e3 * (time.perf_counter() - started))
    finally:
        torch.set_num_threads(threads)
    return median(times)


def read_classifier(file: Path, backbone: Encoder) -> DownstreamNetwork:
    """Return the fine-tuned network in a state dict of the downstream network, of the same preset and width.

    Raises UserError unless every entry matches.
    """
    entries = read_weights(file)
    classes = entries["classifier.linear2.weight"].shape[0] if "classifier.linear2.weight" in entries else 1
    with torch.random.fork_rng(devices=[]):
        network = DownstreamNetwork(type(backbone)(backbone.preset, backbone.width), classes)
    what = f"{backbone.preset} at width {backbone.width:g} with a classifier"
    advice = "Save `model.state_dict()` of the network that torch.hub gave you."
    return load_entries(network, entries, what, f"{file}", advice)


def _any_batch() -> Any:
    return ({0: torch.export.Dim("batch", min=1)},)


@contextmanager
def quietly() -> Iterator[None]:
    """Run a block without the exporters' notes about their own internals."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
