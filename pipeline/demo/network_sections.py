"""The page's sections about the network: its training, its evaluation, and what to do next."""

from __future__ import annotations

import math

from pipeline.demo.data_sections import training_report_command
from pipeline.demo.results import Json, Results
from pipeline.demo.verdicts import CONTROLS, guessing_of, judge_backbone, judge_task, reasons_not_better
from pipeline.pages import html
from pipeline.progress import duration

QUESTIONS = {
    "reversal": "is it played backwards?",
    "permutation": "are its segments shuffled?",
    "warp": "is its time stretched and squeezed?",
    "scaling": "is its amplitude changed?",
    "contrast": "which of the day's other views is of the same window?",
}
METRICS = {"macro_f1": "macro F1", "kappa": "Cohen's kappa"}
VERDICTS = {
    "better": "is better than random weights",
    "worse": "is worse than random weights",
    "no difference shown": "shows no clear difference from random weights",
    "undecided": "cannot be compared with random weights, because there is no interval",
}


def training_section(results: Results) -> list[str]:
    run, found = results.name, results.training
    made_by = html.commands([*_training_commands(run, found), training_report_command(run)])
    curves = results.picture("report/curves.png", "Validation accuracy of each pretext task and its controls")
    if found is None:
        return [results.missing("report/training.json"), curves, made_by]
    return [
        html.shows(
            "The accuracy of each pretext task on held-out participants during training, with its 99% interval, and "
            "the accuracy on controls without human movement. The table gives the final accuracies, with the "
            "intervals below."
        ),
        curves,
        html.paragraph(_how_it_went(found)),
        html.table(*_task_table(found)),
        html.explained(
            f"{_what_is_learned(found)} "
            "Three controls measure this: windows of noise, real windows with randomised phases (which keep only the "
            "spectrum), and a second network trained on noise alone. Only an accuracy above all controls shows that "
            "the network learned something about movement.",
            f"Only {found['participants_held_out']} participants are held out. The interval treats their "
            f"{found['validation_windows']:,} windows as independent, which windows of one participant are not, so "
            "the true uncertainty is larger.",
        ),
        made_by,
    ]


def _training_commands(run: str, found: Json | None) -> list[str]:
    """Return the commands that trained the network and its control, with the numbers of windows if known."""
    start = f"torchrun --standalone --nproc-per-node {found['processes'] if found else 2} -m train demo"
    windows, control_windows = "", ""
    if found is not None:
        windows = f" --set run.windows={found['windows_asked']}"
        control_windows = f" --set run.windows={found['control']['windows_asked']}" if found["control"] else ""
    return [
        f"{start} --store {run}/store --checkpoints {run}/checkpoints{windows}",
        f"{start} --store {run}/store --checkpoints {run}/control{control_windows} --set data.control=noise",
    ]


def _how_it_went(found: Json) -> str:
    control, speed = found["control"], found["windows_per_s"]
    epochs = found["windows_seen"] / found["epoch_windows"]
    sentences = [
        f"{found['network']['preset']} at width {found['network']['width']:g} saw {found['windows_seen']:,} windows "
        f"({epochs:.1f} epochs) from {found['person_days']:,} person-days of {found['participants']:,} participants.",
        f"The training steps took {duration(found['training_seconds'])} in {found['processes']} process(es) on "
        f"{found['device']}"
        + (
            f": {speed:,.0f} windows/s, with {found['data_wait']:.0%} of the time spent waiting for data."
            if speed
            else "."
        ),
        f"The final loss on held-out participants is {found['validation_loss']:.3f}; without learning, it would be "
        f"{_unlearned_loss(found):.3f}.",
    ]
    if control:
        sentences.append(f"The network trained on noise saw {control['windows_seen']:,} windows.")
    return " ".join(sentences)


def _what_is_learned(found: Json) -> str:
    """Say what the network is trained to do, and how it could do that without knowing anything about movement."""
    if "contrast" in found["tasks"]:
        return (
            "Each window is changed in two ways, slightly turned, scaled, cut into segments in another order, and with "
            "noise. The network learns to find the window's other version among those of the same day, which needs no "
            "labels. But how the arm points and how strong the movement is also tell windows apart."
        )
    return (
        "The network learns to recognise whether a window was changed, which needs no labels. But a change also "
        "leaves traces, such as joins and smoothed segments, that reveal it without any knowledge of movement."
    )


def _unlearned_loss(found: Json) -> float:
    """Return the loss of a prediction that learns nothing, the mean over tasks; that of guessing in older results."""
    losses = [
        scores["unlearned_loss"] if "unlearned_loss" in scores else -math.log(guessing_of(scores, found))
        for scores in found["tasks"].values()
    ]
    return sum(losses) / len(losses)


def _task_table(found: Json) -> tuple[list[list[str]], list[str]]:
    """Return rows and head of the table of pretext tasks: accuracies with intervals, and the verdict."""
    controls = [name for name in CONTROLS if any(scores.get(name) for scores in found["tasks"].values())]
    rows = [
        [
            f"{task}: {QUESTIONS[task]}" if task in QUESTIONS else task,
            *(_score(scores.get(name)) for name in ("real", *controls)),
            judge_task(scores, guessing_of(scores, found)),
        ]
        for task, scores in found["tasks"].items()
    ]
    return rows, ["task", "real windows", *(CONTROLS[name] for name in controls), "verdict"]


def first_picture(results: Results) -> list[str]:
    """Return what the demo found, in one picture and a sentence; nothing before there are results."""
    if results.evaluation is None:
        return []
    return [
        results.picture("evaluation/rows.png", "Macro F1 of the backbone beside random weights and a forest"),
        html.paragraph(_answers(results.training, results.evaluation)[0]),
    ]


def evaluation_section(results: Results) -> list[str]:
    run, found = results.name, results.evaluation
    made_by = html.commands(
        [
            f"persondays export --checkpoint {run}/checkpoints --out {run}/model",
            f"persondays labelled truth --store {run}/store --truth {run}/recordings/_truth.parquet "
            f"--key-file {run}/key {run}/labelled",
            f"persondays evaluate --model {run}/model --labelled {run}/labelled --out {run}/evaluation",
        ]
    )
    image = results.picture("evaluation/evaluation.png", "Scores of the backbone and of random weights by participant")
    if found is None:
        return [results.missing("evaluation/results.json"), image, made_by]
    return [
        html.box("verdict", _answers(results.training, found)),
        html.shows(
            "The scores of two frozen networks of the same shape, one with the pretrained weights and one with random "
            f"weights. On top of each, a linear classifier learns {found['data']['classes']} activities from the "
            "labels of the other participants. Each line of the picture is a participant."
        ),
        image,
        html.table(*_score_table(found)),
        *_rows(found, results.box),
        html.explained(
            "Macro F1 is the mean over activities of the F1 score (1 is perfect); Cohen's kappa is the agreement "
            "beyond chance. The difference is computed for each participant and given with its 95% interval over "
            "participants. Only an interval that excludes 0 shows which network is better.",
            "The labels are the simulator's own diary, and its activities are more distinct than real ones. "
            "Pretraining may have used recordings of the same participants, though never their labels. Random weights "
            "are hard to beat, because many activities differ in intensity and rhythm alone.",
        ),
        html.table(list(found["protocol"].items()), ["protocol", ""]),
        *(html.paragraph(f"Note: {note}.") for note in found["notes"]),
        made_by,
    ]


def _answers(training: Json | None, found: Json) -> list[str]:
    """Return the verdict of each metric in words, and possible reasons if the backbone is not better."""
    answers = []
    for metric, title in METRICS.items():
        summary = found["summary"][metric]
        answers.append(
            f"By {title}, the pretrained backbone {VERDICTS[judge_backbone(summary)]}. Mean difference over "
            f"{summary['people']} participants, with its 95% interval: {_difference(summary['difference'])}. It beats "
            f"{summary['beaten']} of {len(summary['random_networks'])} random networks."
        )
    summary = found["summary"]["macro_f1"]
    if judge_backbone(summary) != "better":
        answers.append(reasons_not_better(training, summary["difference"], found["data"]["people"]))
    return [answer for answer in answers if answer]


def _score_table(found: Json) -> tuple[list[list[str]], list[str]]:
    rows = []
    for metric, title in METRICS.items():
        summary = found["summary"][metric]
        both = (summary[name] for name in ("pretrained", "random"))
        scores = (f"{_figure(score['mean'])} [SD {_figure(score['sd'])}]" for score in both)
        rows.append([title, *scores, _difference(summary["difference"]), f"{summary['people']}"])
    return rows, ["mean over participants", "pretrained", "random weights", "difference (95% interval)", "participants"]


def _rows(found: Json, box: dict[str, Json]) -> list[str]:
    """Return the table of everything that was compared, in results that have it, and backbones that come along."""

    def line(title: str, row: Json) -> list[str]:
        return [title, *(f"{_figure(row[metric]['mean'])} [SD {_figure(row[metric]['sd'])}]" for metric in METRICS)]

    rows = [line(row["title"], row) for row in found.get("rows", {}).values()]
    rows += [
        line(f"the backbone {name} that comes with persondays, pretrained on real people", other["rows"]["linear"])
        for name, other in box.items()
    ]
    return [html.table(rows, ["mean over participants", *METRICS.values()])] if rows else []


def next_section(results: Results) -> list[str]:
    run = results.name
    preset = results.training["network"]["preset"] if results.training else "harnet10"
    load = f'torch.hub.load("{run}/model", "{preset}", source="local", pretrained=True, class_num=5)'
    return [
        html.table(
            [
                ("recordings", f"{run}/recordings"),
                ("window store", f"{run}/store"),
                ("checkpoints and logs", f"{run}/checkpoints"),
                ("exported backbone", f"{run}/model"),
                ("labelled windows", f"{run}/labelled"),
                ("scores by participant", f"{run}/evaluation/results.json"),
            ]
        ),
        html.commands(
            [
                f"persondays inspect {run}/store --slot 0 --picture day.png",
                f"tensorboard --logdir {run}/checkpoints/logs",
                f"python -c 'import torch; print({load})'",
            ],
            "Commands to try next",
        ),
        html.paragraph(
            "To use your own recordings, give the same commands your folder or bucket instead of the simulated "
            "recordings. Running the demo again resumes it; `make clean-demo` removes its results."
        ),
    ]


def _score(score: dict[str, float] | None) -> str:
    return "-" if score is None else f"{score['accuracy']:.3f} [{score['low']:.3f} to {score['high']:.3f}]"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    """Format a difference with its sign; `-` if it is unknown."""
    return "-" if value is None else f"{value:+.3f}"


def _difference(difference: dict[str, float | None]) -> str:
    low, high = difference["low"], difference["high"]
    return f"{signed(difference['mean'])} ({signed(low)} to {signed(high)})"
