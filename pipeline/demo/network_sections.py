"""The page's sections about the network: how training went, what its backbone is worth, and where to go on."""

from __future__ import annotations

import math

from pipeline.demo.data_sections import report_command
from pipeline.demo.results import Found, Results
from pipeline.demo.verdicts import CONTROLS, judge_backbone, judge_task, reasons_not_better
from pipeline.pages import html
from pipeline.progress import duration

QUESTIONS = {
    "reversal": "is it played backwards?",
    "permutation": "are its pieces shuffled?",
    "warp": "is time stretched and squeezed in it?",
    "scaling": "are its axes made stronger or weaker?",
}
METRICS = {"macro_f1": "macro F1", "kappa": "Cohen's kappa"}


def training_section(results: Results) -> list[str]:
    run, found = results.name, results.training
    made = html.commands([*_train_commands(run, found), report_command(run)])
    curves = results.picture("report/curves.png", "Validation accuracy of each pretext task beside its controls")
    if found is None:
        return [results.missing("report/training.json"), curves, made]
    return [
        html.seen(
            "each pretext task's accuracy on people whom training never sees, with its 99% interval, beside windows "
            "without movement; below it, how the run went."
        ),
        curves,
        html.paragraph(_how_it_went(found)),
        html.table(*_task_table(found)),
        html.explained(
            "The network answers questions to which the answer is known without labels. But changing a window leaves "
            "traces (joins, smoothed stretches) that give the answer away without any movement. So it is asked the "
            "same about noise and about windows that kept only their spectrum, and a second network is trained on "
            "noise alone. Only what lies above all of these shows that movement was learned.",
            f"Only {found['participants_held_out']} people are held out. The interval takes their "
            f"{found['validation_windows']:,} windows for independent, which windows of one person are not: from "
            "person to person, accuracies vary more than it says.",
        ),
        made,
    ]


def _train_commands(run: str, found: Found | None) -> list[str]:
    """The commands that trained the network and its control, with the run's own numbers where they are known."""
    start = f"torchrun --standalone --nproc-per-node {found['processes'] if found else 2} -m train demo"
    windows, control_windows = "", ""
    if found is not None:
        windows = f" --set run.windows={found['windows_asked']}"
        control_windows = f" --set run.windows={found['control']['windows_asked']}" if found["control"] else ""
    return [
        f"{start} --store {run}/store --checkpoints {run}/checkpoints{windows}",
        f"{start} --store {run}/store --checkpoints {run}/control{control_windows} --set data.control=noise",
    ]


def _how_it_went(found: Found) -> str:
    control = found["control"]
    speed, wait = found["windows_per_s"], found["data_wait"]
    pace = f", at {speed:,.0f} windows a second with {wait:.0%} of the time spent waiting for data" if speed else ""
    return (
        f"{found['network']['preset']} at width {found['network']['width']:g} saw {found['windows_seen']:,} windows of "
        f"{found['participants']:,} people ({found['person_days']:,} person-days; {found['epoch_windows']:,} windows "
        f"are once through) in {duration(found['training_seconds'])} of training steps, {found['processes']} "
        f"process(es) on {found['device']}{pace}. The loss on people held out ended at {found['validation_loss']:.3f}; "
        f"guessing gives {-math.log(found['guessing']):.3f}."
        + (f" The network trained on noise saw {control['windows_seen']:,} windows of it." if control else "")
    )


def _task_table(found: Found) -> tuple[list[list[str]], list[str]]:
    """A row a task: accuracies with intervals, and what they allow one to say."""
    controls = [name for name in CONTROLS if any(scores.get(name) for scores in found["tasks"].values())]
    rows = [
        [
            f"{task}: {QUESTIONS[task]}" if task in QUESTIONS else task,
            *(_score(scores.get(name)) for name in ("real", *controls)),
            judge_task(scores, found["guessing"]),
        ]
        for task, scores in found["tasks"].items()
    ]
    return rows, ["accuracy [99% interval]", "real windows", *(CONTROLS[name] for name in controls), "real windows are"]


def evaluation_section(results: Results) -> list[str]:
    run, found = results.name, results.evaluation
    made = html.commands(
        [
            f"persondays export --checkpoint {run}/checkpoints --out {run}/model",
            f"persondays labelled truth --store {run}/store --truth {run}/recordings/_truth.parquet "
            f"--key-file {run}/key {run}/labelled",
            f"persondays evaluate --model {run}/model --labelled {run}/labelled --out {run}/evaluation",
        ]
    )
    image = results.picture("evaluation/evaluation.png", "Scores by person of the backbone and of random weights")
    if found is None:
        return [results.missing("evaluation/results.json"), image, made]
    data = found["data"]
    return [
        html.box("verdict", _answers(results.training, found)),
        html.seen(
            f"two frozen networks of the same shape, one with the pretrained weights and one with random weights, each "
            f"under a linear head that learns {data['classes']} activities from the labels of other people. A line in "
            "the picture is a person."
        ),
        image,
        html.table(*_score_table(found)),
        html.explained(
            "Macro F1 is the mean over activities of how well each is found (1 is perfect); kappa is agreement beyond "
            "chance. The difference is taken person by person and comes with its 95% interval over people: it tells "
            "better from worse only where the interval leaves out 0.",
            "The labels are the simulator's own diary, and its activities are cleaner than life. These people's "
            "recordings may also have been in pretraining (never their labels). Random weights are a strong opponent, "
            "because many activities differ by strength and rhythm alone.",
        ),
        html.table(list(found["protocol"].items()), ["how it was done", ""]),
        *(html.paragraph(f"Note: {note}.") for note in found["notes"]),
        made,
    ]


def _answers(training: Found | None, found: Found) -> list[str]:
    """The verdict of each metric in words, from the intervals alone, and what may be why where it is not better."""
    words = {
        "better": "better than random weights",
        "worse": "worse than random weights",
        "no difference shown": "not shown to differ from random weights",
        "cannot be said": "neither better nor worse as far as can be said",
    }
    answers = []
    for metric, title in METRICS.items():
        summary = found["summary"][metric]
        answers.append(
            f"By {title} the pretrained backbone is {words[judge_backbone(summary)]}: "
            f"{_difference(summary['difference'])} over {summary['people']} people, with the 95% interval in brackets; "
            f"{summary['beaten']} of {len(summary['random_networks'])} random networks are beaten."
        )
    summary = found["summary"]["macro_f1"]
    if judge_backbone(summary) != "better":
        answers.append(reasons_not_better(training, summary["difference"], found["data"]["people"]))
    return [answer for answer in answers if answer]


def _score_table(found: Found) -> tuple[list[list[str]], list[str]]:
    rows = []
    for metric, title in METRICS.items():
        summary = found["summary"][metric]
        both = (summary[name] for name in ("pretrained", "random"))
        scores = (f"{_figure(score['mean'])} [{_figure(score['sd'])}]" for score in both)
        rows.append([title, *scores, _difference(summary["difference"]), f"{summary['people']}"])
    return rows, ["mean [SD over people]", "pretrained", "random weights", "difference [95% interval]", "people"]


def next_section(results: Results) -> list[str]:
    run = results.name
    return [
        html.table(
            [
                ("recordings", f"{run}/recordings"),
                ("window store", f"{run}/store"),
                ("checkpoints and logs", f"{run}/checkpoints"),
                ("exported backbone", f"{run}/model"),
                ("labelled windows", f"{run}/labelled"),
                ("scores by person", f"{run}/evaluation/results.json"),
            ]
        ),
        html.commands(
            [
                f"persondays inspect {run}/store --slot 0 --picture day.png",
                f"tensorboard --logdir {run}/checkpoints/logs",
                f'python -c \'import torch; print(torch.hub.load("{run}/model", "{_preset(results)}", '
                'source="local", pretrained=True, class_num=5))\'',
            ],
            "Go on from here",
        ),
        html.paragraph(
            "With your own recordings, ingest and training take the same commands, with a folder or a bucket in place "
            "of the simulated ones. The demo goes on from what is there; `make clean-demo` starts over."
        ),
    ]


def _preset(results: Results) -> str:
    return str(results.training["network"]["preset"]) if results.training else "harnet10"


def _score(score: dict[str, float] | None) -> str:
    return "-" if score is None else f"{score['accuracy']:.3f} [{score['low']:.3f} to {score['high']:.3f}]"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.3f}"


def _difference(difference: dict[str, float | None]) -> str:
    low, high = difference["low"], difference["high"]
    return f"{signed(difference['mean'])} [{signed(low)} to {signed(high)}]"
