"""The checkpoint's format: everything by parameter name, so that engine and world size do not matter.

    <checkpoints>/step-000001200/
        model.safetensors       weights and buffers by name
        optimizer.safetensors   `<parameter>/<field>`: exp_avg, exp_avg_sq, step, ...
        state.json              step, windows seen, settings, schedule, stream, versions, scores
        complete.json           written last: every file with its size and sha256

A folder without its marker is not a checkpoint, whatever is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, Literal

import safetensors.torch
import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.storage.retry import with_retry

MODEL, OPTIMIZER, STATE, MARKER = "model.safetensors", "optimizer.safetensors", "state.json", "complete.json"
FORMAT, VERSION = "persondays-checkpoint", 1
SCORE = "validation_loss"

PATIENCE_S = 900.0
"""How long storage that went away is waited for: a run that cannot save is worth little."""

OptimizerState = dict[str, dict[str, Tensor]]


ELSE = "Delete this checkpoint's folder and take another one."


class DamagedCheckpoint(UserError):
    """A checkpoint whose marker stands, and whose files are not those that were written."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, on the host. `optimizer` maps a parameter's name to its fields."""

    model: dict[str, Tensor]
    state: dict[str, Any]
    optimizer: OptimizerState = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The number of steps taken."""
        return int(self.state["step"])


def name_of(step: int) -> str:
    """The folder of the checkpoint after `step` steps."""
    return f"step-{step:09d}"


def to_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the host that later steps do not change."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def optimizer_by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> OptimizerState:
    """The optimizer's state by parameter name, copied to the host. Parameters without state are left out."""
    return {
        name: to_host({key: torch.as_tensor(value) for key, value in optimizer.state[parameter].items()})
        for name, parameter in model.named_parameters()
        if optimizer.state.get(parameter)
    }


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Put a state by parameter name into an optimizer; raises UserError when a name has no parameter."""
    parameters = dict(model.named_parameters())
    check_names(parameters, state)
    for name, fields in state.items():
        own = parameters[name]
        optimizer.state[own] = {key: placed(key, value, own, optimizer) for key, value in fields.items()}


def placed(key: str, value: Tensor, parameter: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """A copy of a field of a parameter's state, where the optimizer wants it: it counts steps on the host, unless its
    kernels do.
    """
    on_host = key == "step" and not optimizer.defaults.get("fused")
    return value.to("cpu" if on_host else parameter.device, copy=True)


def check_names(parameters: Collection[str], state: OptimizerState) -> None:
    """Raises UserError when a name in an optimizer's state has no parameter."""
    unknown = sorted(set(state) - set(parameters))
    if unknown:
        raise UserError(
            f"the checkpoint's optimizer knows parameters that this network has not: {', '.join(unknown[:5])}."
        )


def load_model(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights and buffers into a model; raises UserError unless names and shapes are the same."""
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    shapes = sorted(name for name in set(own) & set(weights) if own[name].shape != weights[name].shape)
    if missing or unknown or shapes:
        told = [f"{len(names)} {what} (as {names[0]})" for names, what in
                ((missing, "missing"), (unknown, "unknown"), (shapes, "of another shape")) if names]  # fmt: skip
        raise UserError(
            f"the checkpoint is of another network: {len(own)} entries expected, {len(weights)} found; "
            f"{', '.join(told)}. Use the recipe that it was made with, or another folder of checkpoints."
        )
    model.load_state_dict(dict(weights))


def save(folder: Folder, checkpoint: Checkpoint) -> int:
    """Write a checkpoint below `folder`, its marker last, over one that may stand there; gives its size in bytes.

    Storage that goes away meanwhile is waited for.
    """
    name = name_of(checkpoint.step)
    flat = {
        f"{parameter}/{key}": value
        for parameter, fields in checkpoint.optimizer.items()
        for key, value in fields.items()
    }
    files = {
        MODEL: safetensors.torch.save(checkpoint.model),
        OPTIMIZER: safetensors.torch.save(flat),
        STATE: json.dumps(checkpoint.state, indent=2).encode(),
    }
    with_retry(partial(folder.delete, [f"{name}/{MARKER}"]), PATIENCE_S)
    for file, data in files.items():
        with_retry(partial(folder.write, f"{name}/{file}", data), PATIENCE_S)
    listed = {file: {"size": len(data), "sha256": sha256(data).hexdigest()} for file, data in files.items()}
    marker = {"format": FORMAT, "version": VERSION, "step": checkpoint.step, "files": listed}
    marker[SCORE] = checkpoint.state.get(SCORE)
    with_retry(partial(folder.write, f"{name}/{MARKER}", json.dumps(marker, indent=2).encode()), PATIENCE_S)
    return sum(map(len, files.values()))


def marked(folder: Folder) -> list[int]:
    """The steps of all checkpoints below a folder that have a marker, damaged or not, ascending."""
    places = (re.fullmatch(rf"step-(\d{{9}})/{MARKER}", name) for name in folder.names())
    return [int(place[1]) for place in places if place]


def complete(folder: Folder) -> dict[int, float | None]:
    """The checkpoints below a folder with a sound marker: step to validation loss (None where there was none)."""
    scores: dict[int, float | None] = {}
    for step in marked(folder):
        try:
            marker = _marker(folder.folder(name_of(step)))
        except (DamagedCheckpoint, FileNotFoundError):
            continue
        if marker["step"] == step:
            scores[step] = marker.get(SCORE)
    return scores


def _marker(folder: Folder) -> dict[str, Any]:
    try:
        marker: dict[str, Any] = json.loads(folder.read(MARKER))
        if (marker["format"], marker["version"]) != (FORMAT, VERSION):
            raise ValueError
        listed = {file: str(marker["files"][file]["sha256"]) for file in (MODEL, OPTIMIZER, STATE)}
        return marker | {"step": int(marker["step"]), "files": listed}
    except (ValueError, KeyError, TypeError):
        raise DamagedCheckpoint(
            f"{folder.url}/{MARKER} is damaged: expected {FORMAT} of version {VERSION} and its files. {ELSE}"
        ) from None


def best_of(scores: Mapping[int, float | None]) -> int | None:
    """The step of the lowest validation loss; the later one of equals."""
    scored = {step: score for step, score in scores.items() if score is not None}
    return min(scored, key=lambda step: (scored[step], -step)) if scored else None


def read(folder: Folder, step: int) -> Checkpoint:
    """Read a complete checkpoint, every file checked against the marker; raises UserError on any difference."""
    return _read(folder.folder(name_of(step)))


def _read(folder: Folder) -> Checkpoint:
    try:
        marker = _marker(folder)
        files = {file: folder.read(file) for file in marker["files"]}
    except FileNotFoundError as error:
        raise DamagedCheckpoint(
            f"{folder.url}: expected a complete checkpoint, a file is missing ({error}). {ELSE}"
        ) from None
    for file, data in files.items():
        if sha256(data).hexdigest() != marker["files"][file]:
            raise DamagedCheckpoint(
                f"{folder.url}/{file} is damaged: {len(data)} bytes that are not those that were written (sha256 "
                f"differs). {ELSE}"
            )
    optimizer: OptimizerState = {}
    for name, tensor in safetensors.torch.load(files[OPTIMIZER]).items():
        parameter, _, key = name.rpartition("/")
        optimizer.setdefault(parameter, {})[key] = tensor
    return Checkpoint(safetensors.torch.load(files[MODEL]), json.loads(files[STATE]), optimizer)


def open_checkpoint(url: str, which: Literal["newest", "best"] = "newest") -> Checkpoint:
    """The checkpoint at a URL, or the newest (or best) complete one of a folder of them.

    Raises UserError where there is none or it is damaged.
    """
    folder = Folder(url)
    if folder.exists(MARKER):
        return _read(folder)
    scores = complete(folder)
    step = best_of(scores) if which == "best" else max(scores, default=None)
    if step is None:
        raise UserError(
            f"{folder.url}: expected a checkpoint or a folder of them, found no complete one"
            + (" with a validation loss" if scores else "")
            + ". Give the --checkpoints of a run that has saved."
        )
    return read(folder, step)


def newest(folder: Folder) -> tuple[Checkpoint | None, dict[int, str]]:
    """The newest checkpoint that is sound, None where none was ever complete; and what is wrong with newer ones.

    Raises DamagedCheckpoint when there are some and none is sound.
    """
    damaged: dict[int, str] = {}
    for step in reversed(with_retry(lambda: marked(folder), PATIENCE_S)):
        try:
            found = with_retry(partial(read, folder, step), PATIENCE_S)
            if found.step == step:
                return found, damaged
            damaged[step] = f"{folder.url}/{name_of(step)} holds step {found.step}. {ELSE}"
        except DamagedCheckpoint as error:
            damaged[step] = str(error)
    if damaged:
        raise DamagedCheckpoint(f"{folder.url}: no checkpoint is sound. {' '.join(damaged.values())}")
    return None, {}


def prune(folder: Folder, keep: int, damaged: Collection[int] = ()) -> None:
    """Delete complete checkpoints beyond the newest `keep` and the best, marker first; and what a kill left behind.

    Those known as damaged count for nothing and are left for people to look at.
    """
    scores = {step: score for step, score in complete(folder).items() if step not in damaged}
    newest_ = max(scores, default=-1)
    kept = {*sorted(scores)[-keep:], best_of(scores), *damaged}
    steps = {name.split("/")[0] for name in folder.names() if re.match(r"step-\d{9}/", name)}
    for name in sorted(steps):
        step = int(name.removeprefix("step-"))
        if step not in kept and (step in scores or step < newest_):
            files = [file for file in folder.names(name) if file.startswith(f"{name}/")]
            folder.delete(sorted(files, key=lambda file: not file.endswith(MARKER)))
            if folder.is_local:
                folder.folder(name).delete_all()
