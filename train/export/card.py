"""The model card: what the weights are, what they learned from, in numbers, without a name of anyone.

A checkpoint's state knows URLs and conditions that may hold identifiers. Only numbers, switches and
short plain words leave it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

PLAIN_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_.+ -]{0,31}|[0-9]{1,4}(\.[0-9]+)+[A-Za-z0-9.+]{0,24}")
HEX = re.compile(r"[0-9a-fA-F]{12,}")


def shareable(values: Any) -> Any:
    """The numbers, switches, plain words and versions among nested values; everything else is left out."""
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
    """Nested values as (dotted name, text), in order."""
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
    """Nested values as a two-column Markdown table; nothing at all when there are none."""
    if not values:
        return ""
    rows = [head, ("---", "---"), *flat(values)]
    return "\n".join(f"| {name} | {value} |" for name, value in rows)


def section(title: str, body: str) -> str:
    """A heading and its text; nothing at all when there is no text."""
    return f"\n## {title}\n\n{body}\n" if body else ""


def card(description: Mapping[str, Any]) -> str:
    """README.md of an export, from what its config.json says."""
    preset, width = description["network"]["preset"], description["network"]["width"]
    ticks, training = description["input"]["ticks"], description["training"]
    data, validation, settings, versions = (
        training.get(name, {}) for name in ("data", "validation", "settings", "versions")
    )
    seen = data.get("windows seen")
    seconds = ticks // description["input"]["rate_hz"]
    size = "at its full width" if width == 1 else f"at {width:g} times its full width"
    trained = f", trained on {seen:,} windows without labels" if isinstance(seen, int) else ""
    narrow = "" if width == 1 else " At this width it does not fit code that expects the features of the full one."
    return (
        f"""# {preset}: a backbone for human-activity recognition

The feature extractor of {preset} {size} ({description["parameters"]:,} parameters){trained}, made with persondays.
It turns {seconds} s of acceleration, measured on the body, into {description["features"]:,} features.

```python
import torch

model = torch.hub.load("FOLDER", "{preset}", source="local", pretrained=True, class_num=5)
x = torch.zeros(8, 3, {ticks})  # g, 30 Hz, batch x axes x ticks
features = model.feature_extractor(x)  # (8, {description["features"]}, 1)
logits = model(x)  # (8, 5), from a classifier that is still to be trained
```

`FOLDER` is this folder; it needs torch and safetensors, nothing else.
"""
        + section(
            "Input",
            "Acceleration in g with gravity in it, at 30 Hz, float32 of shape (batch, 3, ticks) with "
            f"{ticks} ticks. Calibrate the device and resample before cutting windows. Data in m/s² divided by "
            "9.80665 is in g.",
        )
        + section("What it learned from", table(("figure", "value"), data))
        + section("Validation on people that training did not see", table(("figure", "value"), validation))
        + section(
            "Intended use",
            "A starting point for classifiers of activity from body-worn accelerometers in research: freeze the "
            "feature extractor under a linear head, or fine-tune it. `persondays evaluate` compares it with random "
            "weights on people of yours.",
        )
        + section(
            "Limits",
            "It knows the devices, wear sites and people that it was trained on; on others, test first, person by "
            "person. Accuracies of pretext tasks are not accuracies of activities. It is not a medical device. The "
            f"classifier that the hub adds has random weights until it is trained.{narrow}",
        )
        + section("Settings of the training", table(("setting", "value"), settings))
        + section("Versions", table(("package", "version"), versions))
        + section(
            "Licence",
            "The Python files are part of persondays and stand under the Apache License 2.0. The weights "
            "come from the data of whoever trained them; the terms of that data decide who may use and share them.",
        )
    )
