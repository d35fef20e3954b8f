"""What numbers allow one to say: each judgement follows from an interval, never from a mean alone."""

from __future__ import annotations

from typing import Any, Literal

Score = dict[str, float]

TaskVerdict = Literal["at guessing", "not above its controls", "above its controls"]
BackboneVerdict = Literal["better", "worse", "no difference shown", "cannot be said"]

CONTROLS = {
    "phase": "phases randomised",
    "noise": "noise only",
    "trained_on_noise": "trained on noise",
}


def judge_task(scores: dict[str, Score | None], guessing: float) -> TaskVerdict:
    """What a pretext task's accuracies say of the network.

    Above its controls means that the interval on real windows lies above the interval of every control.
    """
    real = scores["real"]
    if real is None or real["low"] <= guessing:
        return "at guessing"
    ends = [score["high"] for name in CONTROLS if (score := scores.get(name)) is not None]
    return "above its controls" if all(real["low"] > end for end in ends) else "not above its controls"


def judge_backbone(summary: dict[str, Any]) -> BackboneVerdict:
    """What a metric's summary says: better or worse only where the interval of the paired difference excludes 0.

    Better also asks that every random network was beaten: random weights differ, and one of them may beat
    the mean of the others too.
    """
    low, high = summary["difference"]["low"], summary["difference"]["high"]
    if low is None or high is None:
        return "cannot be said"
    if low > 0 and summary["beaten"] == len(summary["random_networks"]):
        return "better"
    return "worse" if high < 0 else "no difference shown"


def reasons_not_better(training: dict[str, Any] | None, difference: dict[str, float | None], people: int) -> str:
    """What may be why a backbone is not better, as far as the run's own numbers say."""
    reasons = []
    if training is not None:
        tasks, guessing = training["tasks"], training["guessing"]
        unlearnt = [task for task, scores in tasks.items() if judge_task(scores, guessing) != "above its controls"]
        if unlearnt:
            reasons.append(
                f"of {len(tasks)} pretext tasks, {len(unlearnt)} did not get above the controls "
                f"({', '.join(unlearnt)}), so there was little that could carry over"
            )
        reasons.append(
            f"pretraining was short ({training['windows_seen']:,} windows of {training['participants']:,} people, "
            f"{training['network']['preset']} at width {training['network']['width']:g})"
        )
    low, high = difference["low"], difference["high"]
    if low is not None and high is not None:
        reasons.append(f"{people} people leave the difference uncertain by {(high - low) / 2:.3f} to either side")
    return f"What may be why: {'; '.join(reasons)}." if reasons else ""
