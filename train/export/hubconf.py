"""Entry points for `torch.hub.load(FOLDER, "harnet10", source="local", pretrained=True, class_num=5)`.

Stands in every exported folder as it stands in persondays, and needs nothing of persondays: the
network's definition (harnet.py), the weights (model.safetensors) and their description (config.json)
lie beside it. Input is acceleration in g at 30 Hz, float32 (batch, 3, ticks).
"""

from __future__ import annotations

import importlib.util
import json
import sys
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

dependencies = ["torch", "safetensors"]
HERE = Path(__file__).resolve().parent
BACKBONE = "feature_extractor."


def harnet5(class_num: int = 2, my_device: str = "cpu", pretrained: bool = False) -> nn.Module:
    """For 5 s windows, (batch, 3, 150): `feature_extractor` and a new `classifier` of `class_num` classes."""
    return _build("harnet5", class_num, my_device, pretrained)


def harnet10(class_num: int = 2, my_device: str = "cpu", pretrained: bool = False) -> nn.Module:
    """For 10 s windows, (batch, 3, 300): `feature_extractor` and a new `classifier` of `class_num` classes."""
    return _build("harnet10", class_num, my_device, pretrained)


def harnet30(class_num: int = 2, my_device: str = "cpu", pretrained: bool = False) -> nn.Module:
    """For 30 s windows, (batch, 3, 900): `feature_extractor` and a new `classifier` of `class_num` classes."""
    return _build("harnet30", class_num, my_device, pretrained)


def _build(preset: str, class_num: int, device: str, pretrained: bool) -> nn.Module:
    config = json.loads((HERE / "config.json").read_text(encoding="utf-8"))
    exported = config["network"]["preset"]
    if pretrained and preset != exported:
        raise ValueError(
            f"{HERE} holds the weights of {exported}, not of {preset}. Load {exported!r}, or {preset!r} with "
            "pretrained=False for random weights."
        )
    harnet = _definition()
    backbone = harnet.Harnet(preset, config["network"]["width"])
    if pretrained:
        _load(backbone, config)
    network: nn.Module = harnet.DownstreamNetwork(backbone, class_num).to(device)
    return network


def _load(backbone: nn.Module, config: dict[str, Any]) -> None:
    """Put the exported weights into the feature extractor; every entry is accounted for, or ValueError."""
    from safetensors.torch import load

    data = (HERE / "model.safetensors").read_bytes()
    if sha256(data).hexdigest() != config["weights"]["sha256"]:
        raise ValueError(f"{HERE / 'model.safetensors'} is not the file that config.json describes: export it anew.")
    state = load(data)
    weights = {name.removeprefix(BACKBONE): tensor for name, tensor in state.items() if name.startswith(BACKBONE)}
    expected = len(backbone.state_dict())
    if len(state) != config["weights"]["entries"] or len(weights) != expected:
        raise ValueError(
            f"{HERE}: expected {config['weights']['entries']} entries, {expected} of them {BACKBONE}*; "
            f"found {len(state)} and {len(weights)}. Export it anew."
        )
    backbone.load_state_dict(weights, strict=True)


def _definition() -> ModuleType:
    """The module harnet.py beside this file, under a name of its own content: two exports never mix."""
    path = HERE / "harnet.py"
    name = f"harnet_{sha256(path.read_bytes()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"cannot import {path}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
