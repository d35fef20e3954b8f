"""The checkpoint format: all tensors by parameter name, so that it does not depend on engine or world size.

    <checkpoints>/step-000001200/
        model.safetensors       weights and buffers by name
        optimizer.safetensors   `<parameter>/<field>`: exp_avg, exp_avg_sq, step, ...
        state.json              step, windows seen, settings, stream, versions, scores (`train.checkpoint.state`)
        complete.json           written last: every file with its size and sha256

A folder without `complete.json`, the marker, is not a checkpoint.
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
from train.checkpoint.state import State, state_from_json

MODEL, OPTIMIZER, STATE, MARKER = "model.safetensors", "optimizer.safetensors", "state.json", "complete.json"
FORMAT, VERSION = "persondays-checkpoint", 1
SCORE = "validation_loss"

PATIENCE_S = 900.0
"""How long to wait for unavailable storage. Longer than for reading a day: a run that cannot save loses its work."""

OptimizerState = dict[str, dict[str, Tensor]]

ADVICE = "Delete this checkpoint's folder and use another one."


class DamagedCheckpoint(UserError):
    """A checkpoint that has a marker, but not the files that the marker lists."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint in memory, on the host. `optimizer` maps the name of a parameter to its fields."""

    model: dict[str, Tensor]
    state: State
    optimizer: OptimizerState = field(default_factory=dict)

    @property
    def step(self) -> int:
        """Number of steps taken."""
        return self.state.step


def name_of(step: int) -> str:
    """Return the folder name of the checkpoint after `step` steps."""
    return f"step-{step:09d}"


def to_host(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the host, so that later steps do not change them."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def optimizer_by_name(model: nn.Module, optimizer: torch.optim.Optimizer) -> OptimizerState:
    """Return the optimizer's state by parameter name, copied to the host, without parameters that have none."""
    return {
        name: to_host({key: torch.as_tensor(value) for key, value in optimizer.state[parameter].items()})
        for name, parameter in model.named_parameters()
        if optimizer.state.get(parameter)
    }


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, state: OptimizerState) -> None:
    """Load a state by parameter name into an optimizer; raises UserError for a name that is not a parameter."""
    parameters = dict(model.named_parameters())
    check_names(parameters, state)
    for name, fields in state.items():
        own = parameters[name]
        optimizer.state[own] = {key: placed(key, value, own, optimizer) for key, value in fields.items()}


def placed(key: str, value: Tensor, parameter: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    """Copy one field of a parameter's state to the device where the optimizer expects it.

    That is the parameter's device, except for the step count, which only fused optimizers keep there.
    """
    on_host = key == "step" and not optimizer.defaults.get("fused")
    return value.to("cpu" if on_host else parameter.device, copy=True)


def check_names(parameters: Collection[str], state: OptimizerState) -> None:
    """Raise UserError if an optimizer's state has a name that is not a parameter."""
    unknown = sorted(set(state) - set(parameters))
    if unknown:
        raise UserError(
            f"the checkpoint's optimizer has parameters that this network does not have: {', '.join(unknown[:5])}. "
            "Use the recipe that the checkpoint was made with, or another folder of checkpoints."
        )


def load_model(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Load weights and buffers into a model; raises UserError unless names and shapes are the same."""
    own = model.state_dict()
    missing, unknown = sorted(set(own) - set(weights)), sorted(set(weights) - set(own))
    shapes = sorted(name for name in set(own) & set(weights) if own[name].shape != weights[name].shape)
    if missing or unknown or shapes:
        kinds = {"missing": missing, "unknown": unknown, "of another shape": shapes}
        differences = [f"{len(names)} {kind} (such as {names[0]})" for kind, names in kinds.items() if names]
        raise UserError(
            f"the checkpoint is of another network: {len(own)} entries expected, {len(weights)} found; "
            f"{', '.join(differences)}. Use the recipe that it was made with, or another folder of checkpoints."
        )
    model.load_state_dict(dict(weights))


def save(folder: Folder, checkpoint: Checkpoint) -> int:
    """Write a checkpoint below `folder`, its marker last, and return its size in bytes.

    Replaces an earlier checkpoint of the same step. Waits for storage that is unavailable.
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
        STATE: json.dumps(checkpoint.state.to_json(), indent=2).encode(),
    }
    with_retry(partial(folder.delete, [f"{name}/{MARKER}"]), PATIENCE_S)
    for file, data in files.items():
        with_retry(partial(folder.write, f"{name}/{file}", data), PATIENCE_S)
    listed = {file: {"size": len(data), "sha256": sha256(data).hexdigest()} for file, data in files.items()}
    marker = {"format": FORMAT, "version": VERSION, "step": checkpoint.step, "files": listed}
    marker[SCORE] = checkpoint.state.validation_loss
    with_retry(partial(folder.write, f"{name}/{MARKER}", json.dumps(marker, indent=2).encode()), PATIENCE_S)
    return sum(map(len, files.values()))


def marked(folder: Folder) -> list[int]:
    """Return the steps of all checkpoints below a folder that have a marker, damaged or not, ascending."""
    places = (re.fullmatch(rf"step-(\d{{9}})/{MARKER}", name) for name in folder.names())
    return [int(place[1]) for place in places if place]


def complete(folder: Folder) -> dict[int, float | None]:
    """Return step and validation loss (or None) of all checkpoints below a folder whose marker is intact."""
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
            f"{folder.url}/{MARKER} is damaged: expected {FORMAT}, version {VERSION}, and a list of files. {ADVICE}"
        ) from None


def best_of(scores: Mapping[int, float | None]) -> int | None:
    """Return the step with the lowest validation loss, the later one of equals."""
    scored = {step: score for step, score in scores.items() if score is not None}
    return min(scored, key=lambda step: (scored[step], -step)) if scored else None


def read(folder: Folder, step: int) -> Checkpoint:
    """Read a complete checkpoint and check every file against the marker; raises DamagedCheckpoint."""
    return _read(folder.folder(name_of(step)))


def _read(folder: Folder) -> Checkpoint:
    try:
        marker = _marker(folder)
        files = {file: folder.read(file) for file in marker["files"]}
    except FileNotFoundError as error:
        raise DamagedCheckpoint(
            f"{folder.url}: expected a complete checkpoint, but a file is missing ({error}). {ADVICE}"
        ) from None
    for file, data in files.items():
        if sha256(data).hexdigest() != marker["files"][file]:
            raise DamagedCheckpoint(
                f"{folder.url}/{file} is damaged: its sha256 is not the one in {MARKER} ({len(data)} bytes). {ADVICE}"
            )
    optimizer: OptimizerState = {}
    for name, tensor in safetensors.torch.load(files[OPTIMIZER]).items():
        parameter, _, key = name.rpartition("/")
        optimizer.setdefault(parameter, {})[key] = tensor
    try:
        state = state_from_json(json.loads(files[STATE]))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{folder.url}/{STATE}: expected a checkpoint's state ({error!r}). {ADVICE}") from None
    return Checkpoint(safetensors.torch.load(files[MODEL]), state, optimizer)


def open_checkpoint(url: str, which: Literal["newest", "best"] = "newest") -> Checkpoint:
    """Read the checkpoint at a URL, or the newest (or best) complete one in a folder of checkpoints.

    Raises UserError if there is none, or it is damaged.
    """
    folder = Folder(url)
    if folder.exists(MARKER):
        return _read(folder)
    scores = complete(folder)
    step = best_of(scores) if which == "best" else max(scores, default=None)
    if step is None:
        raise UserError(
            f"{folder.url}: expected a checkpoint or a folder of checkpoints, found no complete one"
            + (" with a validation loss" if scores else "")
            + ". Give the --checkpoints folder of a run that has saved."
        )
    return read(folder, step)


def newest(folder: Folder) -> tuple[Checkpoint | None, dict[int, str]]:
    """Return the newest intact checkpoint, or None if there is none, and what is wrong with the newer ones, by step.

    Raises DamagedCheckpoint if there are checkpoints and all are damaged.
    """
    damaged: dict[int, str] = {}
    for step in reversed(with_retry(lambda: marked(folder), PATIENCE_S)):
        try:
            found = with_retry(partial(read, folder, step), PATIENCE_S)
            if found.step == step:
                return found, damaged
            damaged[step] = f"{folder.url}/{name_of(step)} holds step {found.step}. {ADVICE}"
        except DamagedCheckpoint as error:
            damaged[step] = str(error)
    if damaged:
        raise DamagedCheckpoint(f"{folder.url}: all checkpoints are damaged. {' '.join(damaged.values())}")
    return None, {}


def prune(folder: Folder, keep: int, damaged: Collection[int] = ()) -> None:
    """Delete checkpoints, marker first, except the newest `keep` and the best; and remains of interrupted saves.

    Checkpoints known to be damaged do not count, and stay so that somebody can inspect them.
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
