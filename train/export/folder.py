"""Writes the exported folder: safetensors with harnet names, the network's own source, hub entry points, model card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.errors import UserError
from pipeline.grid import AXES, SAMPLE_RATE_HZ
from train.export.card import card, shareable
from train.networks import NetworkSettings
from train.networks.harnet import Harnet
from train.networks.weights import backbone_weights, load_backbone, without_distributed_prefix
from train.whole import whole_folder, write_json

KIND = "persondays-export"
VERSION = 1
SOURCES = {"harnet.py": "train.networks", "hubconf.py": "train.export"}
FILES = {"model.safetensors", "config.json", "README.md", *SOURCES}


def write_export(model: Mapping[str, Tensor], state: Mapping[str, Any], out: Path, where: str) -> Harnet:
    """Export a checkpoint's tensors (`feature_extractor.*` and the pretext heads) and state to the folder `out`.

    `state["settings"]["network"]` names the network; what else `state` tells of the training goes into the
    model card. Gives the feature extractor as exported. `where` names the checkpoint in errors. Raises
    UserError when tensors and network do not fit to the last entry, or `out` holds something else.
    """
    from safetensors.torch import save

    entries = {name: tensor.detach().cpu().contiguous() for name, tensor in without_distributed_prefix(model).items()}
    backbone = load_backbone(network_settings(state, where), backbone_weights(entries), where)
    weights = save(entries, {"format": "pt"})
    description = describe(backbone, entries, weights, state)
    with whole_folder(out, "config.json", KIND, FILES) as folder:
        (folder / "model.safetensors").write_bytes(weights)
        for name, package in SOURCES.items():
            with resources.as_file(resources.files(package) / name) as source:
                shutil.copyfile(source, folder / name)
        write_json(folder / "config.json", description)
        (folder / "README.md").write_text(card(description), encoding="utf-8")
    return backbone


def network_settings(state: Mapping[str, Any], where: str) -> NetworkSettings:
    """The network that a checkpoint's state names; raises UserError."""
    try:
        table = state["settings"]["network"]
        return NetworkSettings(table["preset"], float(table["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: expected the state of a checkpoint to name its network (preset and width), found none that is "
            f"known ({error}). Export it with the release of persondays that wrote it."
        ) from None


def describe(
    backbone: Harnet, entries: Mapping[str, Tensor], weights: bytes, state: Mapping[str, Any]
) -> dict[str, Any]:
    """What config.json says: the network, its input, the weights' count and checksum, the training without ids."""
    return {
        "format": KIND,
        "version": VERSION,
        "network": {"preset": backbone.preset, "width": backbone.width},
        "input": {"axes": AXES, "ticks": backbone.ticks, "rate_hz": SAMPLE_RATE_HZ, "unit": "g"},
        "features": backbone.features,
        "parameters": sum(parameter.numel() for parameter in backbone.parameters()),
        "weights": {"entries": len(entries), "sha256": sha256(weights).hexdigest()},
        "training": training(state),
    }


def training(state: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint's state tells of the training, without identifiers: data in numbers, scores, settings."""
    data = {
        "windows seen": state.get("windows_seen"),
        "steps": state.get("step"),
        "people trained on": state.get("participants"),
        "person-days trained on": state.get("stream", {}).get("members"),
        "people held out": len(state["validation_participants"]) if "validation_participants" in state else None,
    }
    told = {name: state.get(name, {}) for name in ("validation", "settings", "versions")}
    return dict(shareable({"data": data, **told}))
