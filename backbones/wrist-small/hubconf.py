"""Entry points for `torch.hub.load(FOLDER, "harnet10", source="local", pretrained=True, class_num=5)`.

Every exported folder contains a copy of this file, which needs nothing from persondays: the network's definition, the
classifier on top (downstream.py), the weights (model.safetensors) and their description (config.json) are in the same
folder. There is an entry point for each preset of the exported kind of network, and `streaming` and `hugging_face`.
Input is acceleration in g at 30 Hz, float32 (batch, 3, ticks).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

dependencies = ["torch", "safetensors"]
HERE = Path(__file__).resolve().parent
BACKBONE = "feature_extractor."


def _entry(preset: str) -> Callable[..., nn.Module]:
    def entry(class_num: int = 2, my_device: str = "cpu", pretrained: bool = False) -> nn.Module:
        return _build(preset, class_num, my_device, pretrained)

    entry.__name__ = preset
    entry.__doc__ = f"{preset}: `feature_extractor` and an untrained `classifier` of `class_num` classes."
    return entry


def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
    return config


if (HERE / "config.json").exists():
    globals().update({preset: _entry(preset) for preset in _config()["definition"]["presets"]})


def streaming(rate_hz: float, hop_s: float | None = None, my_device: str = "cpu") -> Any:
    """Features of a live signal at `rate_hz`, every `hop_s` seconds (default: a window): streaming.py."""
    preset = _config()["network"]["preset"]
    backbone = _build(preset, 2, my_device, True).get_submodule("feature_extractor")
    return _module("streaming.py").Streaming(backbone, _config()["input"]["ticks"], rate_hz, hop_s)


def hugging_face() -> type[Any]:
    """The class `Backbone` for `Backbone.from_pretrained(FOLDER or "name/repository")`: hub_mixin.py."""
    loaded: type[Any] = _module("hub_mixin.py").backbone_class(_load_folder)
    return loaded


def _load_folder(folder: Path) -> nn.Module:
    """Load the network of an exported folder by its own hubconf.py."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network: nn.Module = torch.hub.load(str(folder), config["network"]["preset"], source="local", pretrained=True)
    return network


def _build(preset: str, class_num: int, device: str, pretrained: bool) -> nn.Module:
    config = _config()
    exported = config["network"]["preset"]
    if pretrained and preset != exported:
        raise ValueError(
            f"{HERE} holds the weights of {exported}, not of {preset}. Load {exported!r}, or {preset!r} with "
            "pretrained=False for random weights."
        )
    kind = getattr(_module(config["definition"]["file"]), config["definition"]["class"])
    backbone = kind(preset, config["network"]["width"])
    if pretrained:
        _load(backbone, config)
    network: nn.Module = _module("downstream.py").DownstreamNetwork(backbone, class_num).to(device)
    return network


def _load(backbone: nn.Module, config: dict[str, Any]) -> None:
    """Load the exported weights into the feature extractor; raises ValueError unless every entry is used."""
    from safetensors.torch import load

    data = (HERE / "model.safetensors").read_bytes()
    if sha256(data).hexdigest() != config["weights"]["sha256"]:
        raise ValueError(f"{HERE / 'model.safetensors'} is not the file that config.json describes: export it again.")
    state = load(data)
    weights = {name.removeprefix(BACKBONE): tensor for name, tensor in state.items() if name.startswith(BACKBONE)}
    expected = len(backbone.state_dict())
    if len(state) != config["weights"]["entries"] or len(weights) != expected:
        raise ValueError(
            f"{HERE}: expected {config['weights']['entries']} entries, {expected} of them {BACKBONE}*; "
            f"found {len(state)} and {len(weights)}. Export it again."
        )
    backbone.load_state_dict(weights, strict=True)


def _module(file: str) -> ModuleType:
    """Import a file of this folder under a name with its checksum, so that two exports never mix."""
    path = HERE / file
    name = f"{path.stem}_{sha256(path.read_bytes()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
