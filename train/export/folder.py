"""Write the exported folder: weights (safetensors), the network's source file, hub entry points, model card."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.errors import UserError
from pipeline.grid import AXES, SAMPLE_RATE_HZ
from pipeline.storage.result_folder import result_folder, write_json
from train.checkpoint.state import State
from train.export import hubconf
from train.export.card import card, shareable
from train.networks import NETWORKS, Encoder, NetworkSettings, downstream
from train.networks.weights import backbone_weights, load_backbone, without_distributed_prefix

KIND = "persondays-export"
VERSION = 2
FILES = {"model.safetensors", "config.json", "README.md"}
SOURCES = (hubconf, downstream)
"""Modules whose files every export contains; they import nothing from persondays."""


def write_export(model: Mapping[str, Tensor], state: State, out: Path, where: str) -> Encoder:
    """Export a checkpoint's tensors (`feature_extractor.*` and the pretext heads) and state to the folder `out`.

    `state.settings["network"]` names the network; other facts of `state` go into the model card. `where` names the
    checkpoint in errors. Returns the exported feature extractor. Raises UserError unless the tensors are exactly those
    of the network, and when `out` holds something other than an earlier export.
    """
    from safetensors.torch import save

    entries = {name: tensor.detach().cpu().contiguous() for name, tensor in without_distributed_prefix(model).items()}
    backbone = load_backbone(network_settings(state, where), backbone_weights(entries), where)
    weights = save(entries, {"format": "pt"})
    description = describe(backbone, entries, weights, state)
    sources = [*map(source_of, SOURCES), source_of(NETWORKS[backbone.preset].kind)]
    replaceable = {source_of(each).name for each in (*SOURCES, *(network.kind for network in NETWORKS.values()))}
    with result_folder(out, "config.json", KIND, FILES | replaceable) as folder:
        (folder / "model.safetensors").write_bytes(weights)
        for source in sources:
            shutil.copyfile(source, folder / source.name)
        write_json(folder / "config.json", description)
        (folder / "README.md").write_text(card(description), encoding="utf-8")
    return backbone


def source_of(module_or_class: Any) -> Path:
    """Return the source file of a module or class."""
    return Path(inspect.getfile(module_or_class))


def definition(kind: Callable[..., Any]) -> dict[str, Any]:
    """Describe how torch.hub makes the network: its file and class, and all presets of that class."""
    presets = [name for name, network in NETWORKS.items() if network.kind is kind]
    return {"file": source_of(kind).name, "class": kind.__name__, "presets": presets}


def network_settings(state: State, where: str) -> NetworkSettings:
    """Return the network that a checkpoint's state names; raises UserError."""
    try:
        table = state.settings["network"]
        return NetworkSettings(table["preset"], float(table["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: expected a checkpoint that names a known network (preset and width), found another ({error}). "
            "Export it with the release of persondays that wrote it."
        ) from None


def describe(backbone: Encoder, entries: Mapping[str, Tensor], weights: bytes, state: State) -> dict[str, Any]:
    """Return the content of config.json: network, input, number and checksum of weights, training without ids."""
    return {
        "format": KIND,
        "version": VERSION,
        "network": {"preset": backbone.preset, "width": backbone.width},
        "definition": definition(NETWORKS[backbone.preset].kind),
        "input": {"axes": AXES, "ticks": backbone.ticks, "rate_hz": SAMPLE_RATE_HZ, "unit": "g"},
        "features": backbone.features,
        "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "weights": {"entries": len(entries), "sha256": sha256(weights).hexdigest()},
        "training": training(state),
    }


def training(state: State) -> dict[str, Any]:
    """Return a checkpoint's facts of the training without identifiers: data in numbers, scores, settings, versions."""
    data = {
        "windows seen": state.windows_seen,
        "steps": state.step,
        "people trained on": state.facts.participants,
        "person-days trained on": state.facts.stream.members if state.facts.stream else None,
        "people held out": len(state.facts.validation_participants) or None,
        "started from other weights": bool(state.facts.init) or None,
    }
    rest = {"validation": state.validation, "settings": state.settings, "versions": state.facts.versions}
    return dict(shareable({"data": data, **rest}))
