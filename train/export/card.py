"""The model card: the weights, the training data in numbers, validation and use, without identifiers.

A checkpoint's state contains URLs and SQL conditions that may hold identifiers. Only numbers, booleans and short plain
words are copied from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.+ -]{0,31}|[0-9]{1,4}(\.[0-9]+)+[A-Za-z0-9.+]{0,24}")
HEX = re.compile(r"[0-9a-fA-F]{12,}")


def shareable(values: Any) -> Any:
    """Return the numbers, booleans, plain words and versions among nested values; drop everything else."""
    if isinstance(values, Mapping):
        kept = {str(name): shareable(value) for name, value in values.items() if PLAIN_WORD.fullmatch(str(name))}
        return {name: value for name, value in kept.items() if value is not None and value != {}}
    if isinstance(values, list | tuple):
        return [value for value in map(shareable, values) if value is not None]
    if isinstance(values, bool | int):
        return values
    if isinstance(values, float):
        return values if abs(values) < float("inf") else None
    if isinstance(values, str) and PLAIN_WORD.fullmatch(values) and not HEX.search(values):
        return values
    return None


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values as (dotted name, text), in order."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(map(_text, value))
        else:
            yield f"{prefix}{name}", _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def table(head: tuple[str, str], values: Mapping[str, Any]) -> str:
    """Return nested values as a two-column Markdown table; an empty string if there are none."""
    if not values:
        return ""
    rows = [head, ("---", "---"), *flat(values)]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def section(title: str, body: str) -> str:
    """Return a heading and its text; an empty string if there is no text."""
    return f"\n## {title}\n\n{body}\n" if body else ""


STREAMING = """```python
stream = torch.hub.load("FOLDER", "streaming", source="local", rate_hz=100, hop_s=10)
for start_s, features in stream.push(samples):  # g, (any number, 3), at rate_hz; a list, often empty
    ...
stream.reset()  # after a gap
```

Features are those of the whole recording, resampled to 30 Hz and cut into windows every `hop_s` seconds."""


def files(description: Mapping[str, Any]) -> str:
    """Return the table of the files with weights, and what int8 costs."""
    rows = ["| file | bytes | ms a window |", "| --- | --- | --- |"]
    for name, facts in description["files"].items():
        time = "" if facts["ms"] is None else f"{facts['ms']:.3g}"
        rows.append(f"| {name} | {facts['bytes']:,} | {time} |")
    text = "\n".join(rows) + (
        "\n\nMilliseconds were measured when this folder was written: one window at a time on one core of "
        f"{description['measured_on']}, median; other programs may have run beside it. ONNX and int8 were run by "
        "onnxruntime, the others by torch."
    )
    if "opset" in description:
        text += f" ONNX models have opset {description['opset']} and take any number of windows."
    if "int8" in description:
        lost = description["int8"]
        text += (
            f"\n\nint8, tested with a linear head on {lost['windows']:,} labelled windows of {lost['people']} people, "
            f"in folds by person: macro F1 {lost['macro F1 int8']:.3f} where float32 has "
            f"{lost['macro F1 float32']:.3f}; lost {lost['macro F1 lost']:.4f} (95% interval over people "
            f"{lost['macro F1 lost low']:.4f} to {lost['macro F1 lost high']:.4f}). Its ranges are of some of these "
            "windows, without their labels."
        )
    elif "backbone.int8.onnx" in description["files"]:
        text += " What int8 costs has not been measured: no labelled set was given."
    return text


def card(description: Mapping[str, Any]) -> str:
    """Return the README.md of an export, from the content of its config.json."""
    preset, width = description["network"]["preset"], description["network"]["width"]
    ticks, training = description["input"]["ticks"], description["training"]
    data, validation, settings, versions = (
        training.get(name, {}) for name in ("data", "validation", "settings", "versions")
    )
    seen = data.get("windows seen")
    seconds = ticks // description["input"]["rate_hz"]
    size = "at its full width" if width == 1 else f"at {width:g} times its full width"
    trained = f", trained on {seen:,} windows without labels" if isinstance(seen, int) and seen else ""
    narrow = "" if width == 1 else " Code that expects the number of features at full width does not work with it."
    return (
        f"""# {preset}: a backbone for human-activity recognition

The feature extractor of {preset} {size} ({description["parameters"]:,} parameters){trained} with persondays.
It turns {seconds} s of acceleration, measured on the body, into {description["features"]:,} features.

```python
import torch

model = torch.hub.load("FOLDER", "{preset}", source="local", pretrained=True, class_num=5)
x = torch.zeros(8, 3, {ticks})  # g, 30 Hz, batch x axes x ticks
features = model.feature_extractor(x)  # (8, {description["features"]}, 1)
logits = model(x)  # (8, 5), from a classifier that you have to train
```

`FOLDER` is this folder. It needs only torch and safetensors. With huggingface_hub,
`torch.hub.load("FOLDER", "hugging_face", source="local")` is a class with `from_pretrained` and `push_to_hub`.
"""
        + section(
            "Input",
            "Acceleration in g, including gravity, at 30 Hz, as float32 of shape (batch, 3, ticks) with "
            f"{ticks} ticks. Calibrate the device and resample before cutting windows. Divide data in m/s² by "
            "9.80665.",
        )
        + section("Streaming", STREAMING)
        + section("Files", files(description) if "files" in description else "")
        + section("Training data", table(("figure", "value"), data))
        + section("Validation on people not in the training data", table(("figure", "value"), validation))
        + section(
            "Intended use",
            "In research, a starting point for activity classifiers on body-worn accelerometers. Freeze the feature "
            "extractor and train a linear head, or fine-tune it. `persondays evaluate` compares it with random weights "
            "on your own labelled data.",
        )
        + section(
            "Limits",
            "It was trained on the devices, wear sites and people of the training data; test it person by person "
            "before you use it on others. Accuracies of pretext tasks are not accuracies of activity recognition. It "
            "is not a medical device. The classifier that torch.hub adds has random weights until you train it."
            f"{narrow}",
        )
        + section("Training settings", table(("setting", "value"), settings))
        + section("Versions", table(("package", "version"), versions))
        + section(
            "Licence",
            "The Python files are part of persondays, under the Apache License 2.0. The weights are derived from the "
            "training data; the terms of that data decide who may use and share them.",
        )
    )
