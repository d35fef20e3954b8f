"""A classifier: the network, its classes and what is known about it; and its folder, of which every byte is checked.

The folder has `model.safetensors`, `config.json`, a card (`README.md`) and the confusion matrix (`confusion.png`).
`config.json` has the sha256 of the other files, and of itself without that entry. A fine-tuned network's tensors have
the names of the downstream network, so `persondays export --classifier` and code written for harnet take them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from pipeline.errors import UserError
from train.classify.network import HEADS, empty_network
from train.classify.smoothing import Smoothing
from train.evaluate.rows.training import TrainedNetwork
from train.networks import NetworkSettings
from train.networks.weights import backbone_weights, checked_bytes, load_backbone, load_entries, tensors_of

KIND = "persondays-classifier"
VERSION = 1
MODEL, CONFIG, CARD, CONFUSION = "model.safetensors", "config.json", "README.md", "confusion.png"
FILES = {MODEL, CONFIG, CARD, CONFUSION}
DIGEST = "sha256"
AGAIN = "run `persondays fit` again"


@dataclass(frozen=True)
class Classifier:
    """A network from windows in g, float32 (batch, 3, ticks) at 30 Hz, to logits (batch, classes).

    Logits divided by `temperature` give probabilities, for activities as frequent as in `prior_K`. `config` is the
    content of config.json.
    """

    network: nn.Module
    ticks: int
    classes: tuple[str, ...]
    temperature: float
    prior_K: NDArray[np.float64]
    smoothing: Smoothing | None
    config: dict[str, Any]

    @property
    def sha256(self) -> str:
        """The digest that stands for everything in the folder."""
        return str(self.config[DIGEST])

    def log_probabilities(self, logits_NK: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the logarithms of the calibrated probabilities of logits (windows, classes)."""
        return np.asarray(log_softmax(logits_NK.astype(np.float64) / self.temperature, 1))

    def classes_of(self, log_NK: NDArray[np.float64], number_N: NDArray[np.int64], step_s: float) -> NDArray[np.int64]:
        """Return the class of each window, smoothed over time if the classifier does that; `number_N` number steps."""
        if self.smoothing is None:
            return log_NK.argmax(1)
        return self.smoothing.decode(log_NK, self.prior_K, number_N, step_s)

    def logits(self, x_NCT: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 logits (windows, classes) of windows in g (windows, 3, ticks)."""
        return TrainedNetwork(self.network).logits(x_NCT)


def write_classifier(folder: Path, model: bytes, card: str, confusion: bytes, description: dict[str, Any]) -> None:
    """Write a classifier's files to an empty folder, with their checksums."""
    files = {MODEL: model, CARD: card.encode(), CONFUSION: confusion}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    config = {"format": KIND, "version": VERSION, **description}
    config["files"] = {name: sha256(data).hexdigest() for name, data in files.items()}
    config[DIGEST] = digest(config)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def digest(config: dict[str, Any]) -> str:
    """Return the sha256 of a config.json without its own digest."""
    rest = {name: value for name, value in config.items() if name != DIGEST}
    return sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def read_classifier(folder: Path) -> Classifier:
    """Read a classifier, after checking all its files; raises UserError."""
    config = _read_config(folder)
    try:
        settings = NetworkSettings(config["network"]["preset"], config["network"]["width"])
        classes, head, files = tuple(config["classes"]), config["head"], config["files"]
        temperature, prior_K = float(config["temperature"]), np.array(config["prior"], np.float64)
        smoothing = Smoothing.of_json(config.get("smoothing"))
        complete = head in HEADS and set(files) == FILES - {CONFIG} and len(prior_K) == len(classes)
    except (ValueError, KeyError, TypeError):
        complete = False
    if not complete:
        raise UserError(
            f"{folder}: expected a classifier of version {VERSION}, found one that this release cannot read (version "
            f"{config.get('version')}). Use the release that wrote it, or {AGAIN}."
        )
    data = {name: checked_bytes(folder, name, expected, AGAIN) for name, expected in files.items()}
    entries = tensors_of(data[MODEL], f"{folder / MODEL}")
    network = _load(settings, head, len(classes), entries, folder)
    return Classifier(network, config["input"]["ticks"], classes, temperature, prior_K, smoothing, config)


def _read_config(folder: Path) -> dict[str, Any]:
    if (folder / CONFIG).is_file():
        try:
            config: Any = json.loads((folder / CONFIG).read_bytes())
        except ValueError:
            raise UserError(
                f"{folder}: {CONFIG} is damaged: it is not JSON. Copy the folder again, or {AGAIN}."
            ) from None
        if isinstance(config, dict) and config.get("format") == KIND:
            if config.get(DIGEST) != digest(config):
                raise UserError(
                    f"{folder}: {CONFIG} was changed or damaged after `persondays fit` wrote it (another sha256). Copy "
                    f"the folder again, or {AGAIN}."
                )
            return config
        found = "a backbone" if isinstance(config, dict) and config.get("format") == "persondays-export" else "another"
    else:
        found = "no folder" if not folder.is_dir() else f"a folder without {CONFIG}"
    hint = " Fit a classifier with it first: `persondays fit --model ...`." if found == "a backbone" else ""
    raise UserError(f"{folder}: expected a classifier, a folder that `persondays fit` wrote; found {found}.{hint}")


def _load(settings: NetworkSettings, head: str, classes: int, entries: dict[str, Tensor], folder: Path) -> nn.Module:
    """Return the network with these entries; raises UserError unless every one matches."""
    where = f"{folder / MODEL}"
    network = empty_network(head, load_backbone(settings, backbone_weights(entries), where), classes)
    what = f"{settings.preset} at width {settings.width:g} with a {head} head for {classes} classes"
    return load_entries(
        network, entries, what, where, f"It belongs to another classifier: copy the folder again, or {AGAIN}."
    )
