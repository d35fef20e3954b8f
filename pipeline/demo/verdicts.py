"""What the demo's numbers show: every verdict follows from an interval, never from a mean alone."""

from __future__ import annotations

from typing import Any, Literal

Score = dict[str, float]

TaskVerdict = Literal["at chance", "not above its controls", "above its controls"]
BackboneVerdict = Literal["better", "worse", "no difference shown", "undecided"]

CONTROLS = {
    "phase": "randomised phases",
    "noise": "noise",
    "trained_on_noise": "network trained on noise",
}


def guessing_of(scores: dict[str, Any], training: dict[str, Any]) -> float:
    """Return the accuracy of guessing at a task: its own, or that of all tasks in results that have no other."""
    guessing: float = scores.get("guessing") or training["guessing"]
    return guessing


def judge_task(scores: dict[str, Score | None], guessing: float) -> TaskVerdict:
    """Judge a pretext task from the intervals of its accuracies; `guessing` is the accuracy of chance.

    A task is above its controls if its interval on real windows lies above the interval of every control.
    """
    real = scores["real"]
    if real is None or real["low"] <= guessing:
        return "at chance"
    ends = [score["high"] for name in CONTROLS if (score := scores.get(name)) is not None]
    return "above its controls" if all(real["low"] > end for end in ends) else "not above its controls"


def judge_backbone(summary: dict[str, Any]) -> BackboneVerdict:
    """Judge a backbone from the interval of its paired difference from random weights: does it exclude 0?

    "better" also requires that it beats every random network, since one of them may beat the mean of the others.
    """
    low, high = summary["difference"]["low"], summary["difference"]["high"]
    if low is None or high is None:
        return "undecided"
    if low > 0 and summary["beaten"] == len(summary["random_networks"]):
        return "better"
    return "worse" if high < 0 else "no difference shown"


def reasons_not_better(training: dict[str, Any] | None, difference: dict[str, float | None], participants: int) -> str:
    """Return possible reasons why a backbone is not better, as far as the numbers show; empty if there are none."""
    reasons = []
    if training is not None:
        tasks = training["tasks"]
        unlearnt = [
            task
            for task, scores in tasks.items()
            if judge_task(scores, guessing_of(scores, training)) != "above its controls"
        ]
        if unlearnt:
            reasons.append(
                f"{len(unlearnt)} of {len(tasks)} pretext tasks did not exceed their controls "
                f"({', '.join(unlearnt)}), so the network learned little that could transfer"
            )
        reasons.append(
            f"pretraining was short ({training['windows_seen']:,} windows of {training['participants']:,} "
            f"participants, {training['network']['preset']} at width {training['network']['width']:g})"
        )
    low, high = difference["low"], difference["high"]
    if low is not None and high is not None:
        reasons.append(f"with {participants} participants the difference is uncertain by ±{(high - low) / 2:.3f}")
    return f"Possible reasons: {'; '.join(reasons)}." if reasons else ""
