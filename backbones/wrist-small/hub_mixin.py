"""The export as a model of huggingface_hub: loaded from a folder or the hub, and pushed there as it is.

Every exported folder contains a copy of this file; `torch.hub.load(FOLDER, "hugging_face", source="local")` returns the
class. It needs huggingface_hub besides torch and safetensors. What is pushed is the exported folder, byte for byte, so
that a repository on the hub is an export as well.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn

Load = Callable[[Path], nn.Module]
"""Loads the downstream network of an exported folder, with the weights checked."""
NOT_PUSHED = ("__pycache__", ".*")


def backbone_class(load: Load) -> type[Any]:
    """Return the class `Backbone`; `load` loads the network of a folder."""

    class Backbone(nn.Module, PyTorchModelHubMixin, library_name="pytorch"):
        """The feature extractor of an export: float32 (batch, 3, ticks) in g at 30 Hz to (batch, features).

        `Backbone.from_pretrained(FOLDER or "name/repository")`, `backbone.push_to_hub("name/repository")`.
        """

        def __init__(self, folder: str) -> None:
            super().__init__()
            self.folder = Path(folder)
            self.feature_extractor = load(self.folder).get_submodule("feature_extractor")

        def forward(self, x_BCT: Tensor) -> Tensor:
            features_BF: Tensor = self.feature_extractor(x_BCT).flatten(1)
            return features_BF

        def _save_pretrained(self, save_directory: Path) -> None:
            ignored = shutil.ignore_patterns(*NOT_PUSHED)
            shutil.copytree(self.folder, save_directory, ignore=ignored, dirs_exist_ok=True)

        @classmethod
        def _from_pretrained(cls, *, model_id: str, map_location: str = "cpu", **given: Any) -> Any:
            names = ("revision", "cache_dir", "force_download", "local_files_only", "token")
            folder = Path(model_id)
            if not folder.is_dir():
                folder = Path(snapshot_download(model_id, **{name: given[name] for name in names if name in given}))
            return cls(str(folder)).to(map_location).eval()

    return Backbone
