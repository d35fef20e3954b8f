"""Starting a run from given weights: the whole feature extractor has to match, a head is taken where it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipeline.errors import UserError
from train.networks import NetworkSettings
from train.networks.model import Model
from train.networks.several import alone
from train.networks.weights import BACKBONE, backbone_weights, digest, load_backbone, read_weights

SHOWN = 4


@dataclass(frozen=True)
class Initial:
    """Weights to start from, by their names in `Model`, and what they are called in messages."""

    where: str
    weights: Mapping[str, Tensor]

    @property
    def digest(self) -> str:
        """The sha256 of the weights."""
        return digest(self.weights)


def read_initial(given: Path | str) -> Initial:
    """Read an exported folder, a file of harnet weights, or a backbone in the box by its name; raises UserError."""
    return Initial(str(given), read_weights(given))


def start_from(model: Model, settings: NetworkSettings, initial: Initial) -> str:
    """Load weights into a model, and return what matched, what is missing and what is left over, in words.

    Each of several encoders starts from the same weights.

    Raises UserError unless every entry of the feature extractor matches, and where a value is not finite.
    """
    load_backbone(settings, backbone_weights(initial.weights), initial.where)
    wanted, found = model.state_dict(), initial.weights
    source = {name: alone(name) for name in wanted}
    matched = {
        name: found[source[name]]
        for name, tensor in wanted.items()
        if source[name] in found and found[source[name]].shape == tensor.shape
    }
    if not all(bool(tensor.isfinite().all()) for tensor in matched.values()):
        raise UserError(
            f"{initial.where}: expected finite weights, found NaN or infinity in a head. Give other weights."
        )
    model.load_state_dict(matched, strict=False)
    backbone = sum(name.startswith(BACKBONE) for name in matched)
    missing = [name for name in wanted if name not in matched]
    taken = {source[name] for name in matched}
    left_over = [name for name in found if name not in taken]
    return (
        f"init: {initial.where}: {len(matched)} of {len(wanted)} entries matched ({backbone} of the feature extractor, "
        f"{len(matched) - backbone} of heads)"
        + _listed("missing in the file, so as for a new run", missing)
        + _listed("left over in the file", left_over)
    )


def _listed(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"; {what}: {', '.join(names[:SHOWN])}{more}"
