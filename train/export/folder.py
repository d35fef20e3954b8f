"""Writes the exported folder: safetensors, the network's own source, hub entry points, model card."""

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


def write_export(model: Mapping[str, Tensor], state: State, out: Path, where: str) -> Encoder:
    """Export a checkpoint's tensors (`feature_extractor.*` and the pretext heads) and state to the folder `out`.

    `state.settings["network"]` names the network; what else `state` tells of the training goes into the
    model card. Gives the feature extractor as exported. `where` names the checkpoint in errors. Raises
    UserError when tensors and network do not fit to the last entry, or `out` holds something else.
    """
    from safetensors.torch import save

    entries = {name: tensor.detach().cpu().contiguous() for name, tensor in without_distributed_prefix(model).items()}
    backbone = load_backbone(network_settings(state, where), backbone_weights(entries), where)
    weights = save(entries, {"format": "pt"})
    description = describe(backbone, entries, weights, state)
    sources = [*map(source_of, SOURCES), source_of(NETWORKS[backbone.preset].kind)]
    replaceable = {source_of(what).name for what in (*SOURCES, *(network.kind for network in NETWORKS.values()))}
    with result_folder(
        out, "config.json", KIND, {"model.safetensors", "config.json", "README.md"} | replaceable
    ) as folder:
        (folder / "model.safetensors").write_bytes(weights)
        for source in sources:
            shutil.copyfile(source, folder / source.name)
        write_json(folder / "config.json", description)
        (folder / "README.md").write_text(card(description), encoding="utf-8")
    return backbone


def source_of(what: Any) -> Path:
    """The file in which a module or class stands."""
    return Path(inspect.getfile(what))


def definition(kind: Callable[..., Any]) -> dict[str, Any]:
    """How the hub makes the network: the file and class, and every preset of which that class is made."""
    presets = [name for name, network in NETWORKS.items() if network.kind is kind]
    return {"file": source_of(kind).name, "class": kind.__name__, "presets": presets}


def network_settings(state: State, where: str) -> NetworkSettings:
    """The network that a checkpoint's state names; raises UserError."""
    try:
        table = state.settings["network"]
        return NetworkSettings(table["preset"], float(table["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: expected the state of a checkpoint to name its network (preset and width), found none that is "
            f"known ({error}). Export it with the release of persondays that wrote it."
        ) from None


def describe(backbone: Encoder, entries: Mapping[str, Tensor], weights: bytes, state: State) -> dict[str, Any]:
    """What config.json says: the network, its input, the weights' count and checksum, the training without ids."""
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
    """What a checkpoint's state tells of the training, without identifiers: data in numbers, scores, settings."""
    data = {
        "windows seen": state.windows_seen,
        "steps": state.step,
        "people trained on": state.facts.participants,
        "person-days trained on": state.facts.stream.members if state.facts.stream else None,
        "people held out": len(state.facts.validation_participants) or None,
    }
    rest = {"validation": state.validation, "settings": state.settings, "versions": state.facts.versions}
    return dict(shareable({"data": data, **rest}))
