"""Load weights by name, from our exports and from files in OxWearables' harnet format.

The public loader silently drops names that it does not know, so a wrong file gives random weights that look trained.
Here every name and shape has to match, or the file is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import TypeVar

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from train.networks import Encoder, NetworkSettings, make_network
from train.networks.harnet import PRESETS

Network = TypeVar("Network", bound=nn.Module)

BOX = Path(__file__).resolve().parents[2] / "backbones"
"""The folder of the backbones that come with the project, in a clone and where a wheel is installed."""
BACKBONE = "feature_extractor."
DISTRIBUTED = "module."
"""Prefix of every name in weights from the public code's distributed training."""


def without_distributed_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the same tensors, without the prefix `module.` if every name has it."""
    if all(name.startswith(DISTRIBUTED) for name in state):
        return {name.removeprefix(DISTRIBUTED): tensor for name, tensor in state.items()}
    return dict(state)


def backbone_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the feature extractor's entries, under the network's own names."""
    return {
        name.removeprefix(BACKBONE): tensor
        for name, tensor in without_distributed_prefix(state).items()
        if name.startswith(BACKBONE)
    }


def identify(backbone: Mapping[str, Tensor], where: str) -> NetworkSettings:
    """Return the harnet that has these entries; if none has, raises UserError with the difference from the nearest."""
    nearest: list[str] | None = None
    for preset in PRESETS:
        last = backbone.get("layer5.0.weight")
        if last is None:
            break
        settings = NetworkSettings(preset, last.shape[0] / PRESETS[preset].stages[-1].channels)
        with torch.device("meta"):
            differences = _differences(make_network(settings).state_dict(), backbone)
        if not differences:
            return settings
        nearest = differences if nearest is None or len(differences) < len(nearest) else nearest
    found = f"{len(nearest)} differences, first: {nearest[0]}" if nearest else f"{len(backbone)} entries"
    raise UserError(
        f"{where}: expected the weights of harnet5, harnet10 or harnet30 (131 entries {BACKBONE}layer1.0.weight ...), "
        f"found {found}. Give an export of persondays, or weights in the public harnet format."
    )


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> list[str]:
    """List the entries that are missing, unexpected or of another shape."""
    names = [f"{name} is missing" for name in expected if name not in found]
    names += [f"{name} is unexpected" for name in found if name not in expected]
    return names + [
        f"{name} has shape {tuple(found[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in found and found[name].shape != tensor.shape
    ]


def load_entries(network: Network, entries: Mapping[str, Tensor], what: str, where: str, advice: str) -> Network:
    """Return the network, `what` in words, with these entries, in evaluation mode; every name and shape has to match.

    Raises UserError with the file (`where`) and what to do (`advice`).
    """
    expected = network.state_dict()
    if differences := _differences(expected, entries):
        raise UserError(
            f"{where}: expected the {len(expected)} entries of {what}, found {len(entries)} entries with "
            f"{len(differences)} differences, first: {differences[0]}. {advice}"
        )
    network.load_state_dict(dict(entries))
    return network.eval()


def load_backbone(settings: NetworkSettings, backbone: Mapping[str, Tensor], where: str) -> Encoder:
    """Return the network with these weights, in evaluation mode; raises UserError unless every entry matches.

    The downsampling kernels are fixed by the network, so entries with other values are refused.
    """
    network = make_network(settings)
    expected = network.state_dict()
    differences = _differences(expected, backbone) + [
        f"{name} differs from the network's fixed kernel"
        for name, tensor in expected.items()
        if name.endswith(".kernel") and name in backbone and not _close(backbone[name], tensor)
    ]
    if not all(tensor.isfinite().all() for tensor in backbone.values()):
        differences.append("some values are not finite")
    if differences:
        raise UserError(
            f"{where}: expected the {len(expected)} entries of {settings.preset} at width {settings.width:g}, found "
            f"{_network_of(backbone)}{len(backbone)} entries with {len(differences)} differences, first: "
            f"{differences[0]}. Name the network that was trained, or give other weights."
        )
    network.load_state_dict(dict(backbone))
    return network.eval()


def _network_of(backbone: Mapping[str, Tensor]) -> str:
    """Name the harnet that has these entries, for an error; nothing for entries of no harnet."""
    try:
        found = identify(backbone, "")
    except UserError:
        return ""
    return f"those of {found.preset} at width {found.width:g}: "


def _close(found: Tensor, expected: Tensor) -> bool:
    return found.shape == expected.shape and torch.allclose(found.float(), expected, atol=1e-6)


def digest(state: Mapping[str, Tensor]) -> str:
    """Return the sha256 of names and values, as 64 hex digits: the same for every file of these weights."""
    found = sha256()
    for name, tensor in sorted(state.items()):
        values = tensor.detach().cpu().contiguous()
        found.update(f"{name} {values.dtype} {tuple(values.shape)}\n".encode())
        found.update(values.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_harnet_weights(path: Path) -> Encoder:
    """Return the feature extractor in a file of harnet weights (.pt as the public code saves it, or .safetensors).

    Heads and classifiers in the file are ignored; all 131 entries of the feature extractor have to match. Only tensors
    are unpickled. Raises UserError.
    """
    state = without_distributed_prefix(read_tensors(path))
    backbone = backbone_weights(state)
    return load_backbone(identify(backbone, str(path)), backbone, str(path))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a .safetensors or .pt file, by name; raises UserError."""
    from safetensors.torch import load_file

    if not path.is_file():
        raise UserError(f"{path}: there is no such file. Give an exported folder or a file of harnet weights.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        if "Unsupported" not in str(error):
            raise UserError(f"{path}: expected a file of weights, found something else.") from None
        raise UserError(
            f"{path}: expected tensors alone, found Python objects, which could run code when loaded; nothing of the "
            "file was run. Save `model.state_dict()`, not the model, and give that file."
        ) from None
    except Exception as error:  # unpickling an unknown file can raise anything
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: expected a file of weights, found something else ({reason}).") from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(
            f"{path}: expected a state dict (names to tensors), found {type(state).__name__}. "
            "Save `model.state_dict()` and give that file."
        )
    return dict(state)


def find_model(given: Path | str, box: Path = BOX) -> Path:
    """Return a path as it is, and for a name that is no path the folder in the box; raises UserError if none has it."""
    path = Path(given)
    if path.exists() or len(path.parts) != 1 or path.suffix:
        return path
    known = sorted(folder.parent.name for folder in box.glob("*/config.json"))
    if path.name in known:
        return box / path.name
    raise UserError(
        f"{given}: expected a folder of `persondays export`, a file of harnet weights, or a backbone that comes with "
        f"persondays ({', '.join(known) or 'there is none yet'}); found none of these."
    )


def load_model(given: Path | str) -> Encoder:
    """Load the feature extractor of an exported folder, a file of harnet weights, or a backbone in the box by its name.

    Returns a module in evaluation mode, on the CPU: windows in g at 30 Hz, float32 (batch, 3, `ticks`), to
    (batch, `features`, 1). Raises UserError.
    """
    path = find_model(given)
    if not path.is_dir():
        return load_harnet_weights(path)
    settings, weights = _read_export(path)
    return load_backbone(settings, backbone_weights(weights), str(path))


def read_weights(given: Path | str) -> dict[str, Tensor]:
    """Return all entries of what `load_model` takes, heads included, without the prefix `module.`; raises UserError."""
    path = find_model(given)
    return _read_export(path)[1] if path.is_dir() else without_distributed_prefix(read_tensors(path))


def _read_export(folder: Path) -> tuple[NetworkSettings, dict[str, Tensor]]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        settings = NetworkSettings(config["network"]["preset"], config["network"]["width"])
        expected = config["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}: expected a folder written by `persondays export`, found no usable config.json ({error}). "
            "Give the folder that was --out of the export."
        ) from None
    data = checked_bytes(folder, "model.safetensors", expected, "export it again")
    return settings, tensors_of(data, f"{folder / 'model.safetensors'}")


def checked_bytes(folder: Path, name: str, expected: str, again: str) -> bytes:
    """Return a file of a folder whose config.json has its sha256; raises UserError, with how to make it `again`."""
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise UserError(
            f"{folder}: {name} cannot be read ({error.strerror}). Copy the folder again, or {again}."
        ) from None
    if sha256(data).hexdigest() != expected:
        raise UserError(
            f"{folder}: {name} is not the file that config.json describes (another sha256): the copy is damaged, or "
            f"one of the two was replaced. Copy the folder again, or {again}."
        )
    return data


def tensors_of(data: bytes, where: str) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file; raises UserError for anything else, of which nothing is run."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(data)
    except SafetensorError:
        raise UserError(
            f"{where}: expected a file of safetensors, with tensors alone; found something else, of which nothing was "
            "run. Give the file that persondays wrote."
        ) from None
