"""The classifier's card: what it tells apart, how well by person, what it was made from, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.export.card import section, table

HEADS = {
    "linear": "The backbone is as it was pretrained; a linear head on its features was fitted.",
    "two-layer": "The backbone and a two-layer head were trained together, all layers.",
}


def card(description: Mapping[str, Any]) -> str:
    """Return the README.md of a classifier, from the content of its config.json."""
    network, validation = description["network"], description["validation"]
    classes = description["classes"]
    seconds = description["input"]["ticks"] // description["input"]["rate_hz"]
    f1 = validation["macro_f1"]
    return (
        f"""# A classifier of {len(classes)} activities

It names the activity of {seconds} s of acceleration measured on the body: {", ".join(classes)}.
{HEADS[description["head"]]}

```
persondays classify --classifier FOLDER --store STORE --out OUT
```

`FOLDER` is this folder. `config.json` has the sha256 of every file; `persondays classify` refuses a folder that was
changed.
"""
        + section(
            "How well it does on people it has not seen",
            f"Tested in {validation['folds']} folds by person, on {f1['people']} people. Macro F1 of a person is the "
            f"mean F1 over that person's activities: **{_mean(f1)}**. {_worst(validation['macro_f1_by_person'])}"
            f"Cohen's kappa: {_mean(validation['kappa'])}. {_fitted_to(description)}."
            f"\n\n{_by_class(description)}\n\n![Confusion matrix](confusion.png)",
        )
        + section("Made from", table(("figure", "value"), _made_from(description)))
        + section(
            "Input",
            f"Acceleration in g, including gravity, at 30 Hz: windows of {seconds} s, float32 (batch, 3, "
            f"{description['input']['ticks']}). `persondays ingest` calibrates and resamples recordings.",
        )
        + section("Smoothing over time", _smoothing(description))
        + section(
            "Limits",
            "Every window gets one of these activities, also when the person did something else: a class such as "
            "`other` helps only if it was labelled. The scores are of people, devices, places on the body and ways of "
            "labelling as in the labelled set; others may be worse. Labelled sets often have clear examples of "
            "activities, and days do not. Probabilities assume that activities are as frequent as in the labelled set, "
            "or even where classes were weighted. It is not a medical device.",
        )
        + section("Versions", table(("package", "version"), description["versions"]))
        + section(
            "Licence",
            "The weights are derived from the backbone and from the labelled set; the terms of both decide who may use "
            f"and share them. The network is {network['preset']} at {network['width']:g} times its full width.",
        )
    )


def _fitted_to(description: Mapping[str, Any]) -> str:
    trained, held = (description["fitted"][who]["people"] for who in ("trained_on", "held_out"))
    whom = (
        "fitted to all of these people"
        if trained == description["fitted"]["people"]
        else f"trained on {trained} of these people and stopped on the other {held}"
    )
    return f"The classifier itself was then {whom}"


def _smoothing(description: Mapping[str, Any]) -> str:
    found = description["smoothing"]
    if found is None:
        return ""
    seconds = zip(description["classes"], found["bout_seconds"], strict=True)
    return (
        "`persondays classify` decodes a day by a hidden Markov model. Its transitions are from "
        f"{found['from']}; mean seconds of a bout: {', '.join(f'{name} {mean:.0f}' for name, mean in seconds)}. The "
        "scores above are without smoothing."
    )


def _mean(score: Mapping[str, Any]) -> str:
    if score["mean"] is None:
        return "not defined"
    interval = "" if score["low"] is None else f" (95% interval {score['low']:.3f} to {score['high']:.3f})"
    return f"{score['mean']:.3f}{interval}"


def _worst(scores: list[float]) -> str:
    return f"The lowest of a person is {scores[0]:.3f}, the highest {scores[-1]:.3f}. " if scores else ""


def _by_class(description: Mapping[str, Any]) -> str:
    rows = ["| activity | windows | recall | precision | F1 |", "| --- | --- | --- | --- | --- |"]
    counts, scores = description["fitted"]["windows_by_class"], description["validation"]["by_class"]
    for name in description["classes"]:
        found = scores[name]
        figures = " | ".join(f"{found[score]:.2f}" for score in ("recall", "precision", "f1"))
        rows.append(f"| {name} | {counts[name]:,} | {figures} |")
    return "\n".join(rows)


def _made_from(description: Mapping[str, Any]) -> dict[str, Any]:
    fitted = description["fitted"]
    facts = {
        "network": f"{description['network']['preset']}, width {description['network']['width']:g}",
        "sha256 of the backbone": description["backbone"]["sha256"],
        "method": fitted["title"],
        "people": fitted["people"],
        "windows": fitted["windows"],
        "people trained on": fitted["trained_on"]["people"],
        "windows trained on": fitted["trained_on"]["windows"],
        "seed": fitted["seed"],
        "C": fitted.get("c"),
        "epochs": fitted.get("epochs"),
        "epochs, best": fitted.get("best_epoch"),
        "temperature of probabilities": description["temperature"],
    }
    return {name: value for name, value in facts.items() if value is not None}
