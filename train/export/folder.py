"""Write the exported folder: weights, the network's source file, hub entry points, further files, model card."""

from __future__ import annotations

import inspect
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.grid import AXES, SAMPLE_RATE_HZ
from pipeline.storage.result_folder import require_replaceable, result_folder, write_json
from train.checkpoint.state import State
from train.evaluate.dataset import LabelledSet, read_labelled
from train.export import hubconf, shapes, streaming
from train.export.card import card, shareable
from train.networks import NETWORKS, Encoder, NetworkSettings, downstream
from train.networks.model import is_data
from train.networks.weights import backbone_weights, load_backbone, without_distributed_prefix

KIND = "persondays-export"
VERSION = 2
ENCODERS, SEVERAL_KIND = "encoders.json", "persondays-exports"
"""The file that names the encoders of a run with several, and its format."""
WEIGHTS = "model.safetensors"
FILES = {WEIGHTS, "config.json", "README.md", *shapes.FILES.values()}
HUB_MIXIN = Path(__file__).with_name("hub_mixin.py")
"""Not imported: it needs huggingface_hub."""
SOURCES = (*(Path(inspect.getfile(module)) for module in (hubconf, downstream, streaming)), HUB_MIXIN)
"""Files that every export contains; they import nothing from persondays."""


@dataclass(frozen=True)
class Further:
    """What to write besides the weights: names in `shapes.SHAPES`, a fine-tuned network to write as ONNX.

    `labelled` is a labelled set, by which int8 is made and judged.
    """

    shapes: tuple[str, ...] = ()
    classifier: Path | None = None
    labelled: Path | None = None

    def __post_init__(self) -> None:
        if self.labelled and "int8" not in self.shapes:
            raise UserError("--labelled is for int8. Add int8 to --shapes, or leave it out.")


NOTHING_FURTHER = Further()


def write_export(
    model: Mapping[str, Tensor],
    state: State,
    out: Path,
    where: str,
    further: Further = NOTHING_FURTHER,
    encoder: str = "",
) -> Encoder:
    """Export a checkpoint's tensors (`feature_extractor.*` and the pretext heads) and state to the folder `out`.

    `state.settings["network"]` names the network; other facts of `state` go into the model card. `where` names the
    checkpoint in errors, `encoder` the encoder of a run that trains several (`train.networks.several`). Returns the
    exported feature extractor. Raises UserError unless the tensors are exactly those of the network, and when `out`
    holds something other than an earlier export.
    """
    from safetensors.torch import save

    named = without_distributed_prefix(model)
    entries = {name: tensor.detach().cpu().contiguous() for name, tensor in named.items() if not is_data(name)}
    backbone = load_backbone(network_settings(state, where), backbone_weights(entries), where)
    weights = save(entries, {"format": "pt"})
    description = describe(backbone, entries, weights, state, encoder)
    sources = [*SOURCES, source_of(NETWORKS[backbone.preset].kind)]
    data = read_labelled(further.labelled, backbone.ticks) if further.labelled else None
    tuned = shapes.read_classifier(further.classifier, backbone) if further.classifier else None
    with result_folder(out, "config.json", KIND, FILES | replaceable_sources()) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        for source in sources:
            shutil.copyfile(source, folder / source.name)
        description |= write_further(backbone, entries, further, data, tuned, folder)
        write_json(folder / "config.json", description)
        (folder / "README.md").write_text(card(description), encoding="utf-8")
    return backbone


def write_exports(
    models: Mapping[str, Mapping[str, Tensor]], state: State, out: Path, where: str, further: Further = NOTHING_FURTHER
) -> Encoder:
    """Export each encoder of a run (`train.networks.several.separated`): to `out` itself, or several to `out`/NAME.

    All folders appear together or not at all. Raises UserError as `write_export` does, also for what is in `out`/NAME.
    """
    if list(models) == [""]:
        return write_export(models[""], state, out, where, further)
    for name in models:
        require_replaceable(out / name, "config.json", KIND, FILES | replaceable_sources())
    with result_folder(out, ENCODERS, SEVERAL_KIND, {ENCODERS, *models}) as folder:
        for name, entries in models.items():
            network = write_export(entries, state, folder / name, where, further, name)
        write_json(folder / ENCODERS, {"format": SEVERAL_KIND, "version": VERSION, "encoders": list(models)})
    return network


def replaceable_sources() -> set[str]:
    """Names of the source files that an earlier export may contain."""
    return {each.name for each in (*SOURCES, *(source_of(network.kind) for network in NETWORKS.values()))}


def write_further(
    backbone: Encoder,
    entries: Mapping[str, Tensor],
    further: Further,
    data: LabelledSet | None,
    tuned: nn.Module | None,
    folder: Path,
) -> dict[str, Any]:
    """Write the further files and check them; return bytes and milliseconds of each, and what int8 costs.

    Nothing is timed if there are none: such an export is the same bytes every time.
    """
    if further == NOTHING_FURTHER:
        return {}
    written = [shapes.Written(WEIGHTS, backbone)]
    facts: dict[str, Any] = {}
    path = {name: folder / file for name, file in shapes.FILES.items()}
    if "mdl" in further.shapes:
        written.append(shapes.write_mdl(entries, path["mdl"]))
    if "program" in further.shapes:
        written.append(shapes.write_program(backbone, backbone.ticks, path["program"]))
    if {"onnx", "int8"} & set(further.shapes):
        written.append(shapes.write_onnx(backbone, backbone.ticks, "features", path["onnx"]))
    for each in written:
        shapes.require_same(each, backbone, backbone.ticks)
    if tuned is not None:
        written.append(shapes.write_onnx(tuned, backbone.ticks, "logits", path["classifier"]))
        shapes.require_same(written[-1], tuned, backbone.ticks)
    if "int8" in further.shapes:
        from train.export.quantised import macro_f1_lost, write_int8

        int8, run = write_int8(path["onnx"], data, path["int8"]), shapes.onnx_run(path["int8"])
        written.append(int8)
        if data is not None:
            facts["int8"] = macro_f1_lost(backbone, run, data)
    facts["files"] = {
        each.file: {
            "bytes": (folder / each.file).stat().st_size,
            "ms": round(shapes.milliseconds(each.run, backbone.ticks), 3) if each.run else None,
        }
        for each in written
    }
    if {"onnx", "int8"} & set(further.shapes) or tuned is not None:
        facts["opset"] = shapes.OPSET
    facts["measured_on"] = processor()
    return facts


def processor() -> str:
    """Return the name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return model or platform.processor() or platform.machine()


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


def describe(
    backbone: Encoder, entries: Mapping[str, Tensor], weights: bytes, state: State, encoder: str
) -> dict[str, Any]:
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
        "training": training(state, encoder),
    }


def training(state: State, encoder: str) -> dict[str, Any]:
    """Return a checkpoint's facts of the training without identifiers: data in numbers, scores, settings, versions."""
    data = {
        "windows seen": state.windows_seen,
        "steps": state.step,
        "people trained on": state.facts.participants,
        "person-days trained on": state.facts.stream.members if state.facts.stream else None,
        "people held out": len(state.facts.validation_participants) or None,
        "started from other weights": bool(state.facts.init) or None,
        "encoder of several": encoder.replace("_", " ") or None,
    }
    rest = {"validation": state.validation, "settings": state.settings, "versions": state.facts.versions}
    return dict(shareable({"data": data, **rest}))
