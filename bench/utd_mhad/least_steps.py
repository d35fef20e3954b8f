"""How many steps supervised training on skeletons needs: one training person left out in turn.

    python -m bench.utd_mhad.least_steps --paired FOLDER

Accuracy on the person left out after each epoch, with BatchNorm's running statistics, and with those of the training
trials in their place. No test person is used.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.command import machine, parser, read_json, write_json
from bench.tables import markdown_table
from pipeline.errors import UserError
from train.optim.optimizer import make_optimizer
from train.studies.utd_mhad.networks import Classifier, Encoders
from train.studies.utd_mhad.training import ADAM, SUPERVISED_BATCH, features_of, measure_batch_norm, one_epoch
from train.studies.utd_mhad.trials import Trials, read_split

MODALITIES = ("skeleton",)
Course = list[tuple[float, float]]
"""Accuracy after each epoch: with running statistics, and with those of the training trials."""


def course(training: Trials, left_out: Trials, classes: int, epochs: int) -> Course:
    """Train on some people, and test on one after each epoch."""
    encoders = Encoders(MODALITIES)
    classifier = Classifier(encoders.features, classes)
    optimizer = make_optimizer(ADAM, nn.ModuleList([encoders, classifier]))

    def loss_of(chosen_B: Tensor) -> Tensor:
        return F.cross_entropy(classifier(encoders(training.of(MODALITIES, chosen_B))), training.y_N[chosen_B])

    def accuracy(tested: Encoders) -> float:
        with torch.inference_mode():
            right_N = classifier(features_of(tested, left_out)).argmax(1) == left_out.y_N
        return float(right_N.float().mean())

    found = []
    for _ in range(epochs):
        encoders.train()
        one_epoch(loss_of, optimizer, len(training), SUPERVISED_BATCH)
        measured = copy.deepcopy(encoders)
        with torch.random.fork_rng(devices=[]):
            measure_batch_norm(measured, training)
        found.append((accuracy(encoders.eval()), accuracy(measured)))
    return found


def table(courses: dict[str, Course], steps: int) -> list[str]:
    """Return the courses as Markdown, accuracies in percent, with `steps` steps an epoch."""
    kinds = ("running", "measured")
    head = ["steps", *(f"person {name}, {kind}" for name in courses for kind in kinds)]
    epochs = len(next(iter(courses.values())))
    rows = [
        [steps * (epoch + 1), *(f"{100 * value:.1f}" for found in courses.values() for value in found[epoch])]
        for epoch in range(epochs)
    ]
    return markdown_table(head, rows)


def main() -> None:
    """Parse the command line, and train once without each training person; finished ones are kept in --out."""
    made = parser(__doc__, "utd_mhad_steps")
    made.add_argument("--paired", type=Path, required=True, help="a folder made by `persondays labelled utd-mhad`")
    made.add_argument("--epochs", type=int, default=20)
    given = made.parse_args()
    try:
        split = read_split(given.paired)
    except UserError as error:
        sys.exit(f"error: {error}")
    trials, courses = split.training, {}
    for person in trials.person_N.unique().tolist():
        path = given.out / f"{person + 1}.json"
        if len(read_json(path).get("accuracies", [])) != given.epochs:
            torch.manual_seed(person)
            apart_N = trials.person_N == person
            training, left_out = (trials.part(torch.nonzero(chosen_N).flatten()) for chosen_N in (~apart_N, apart_N))
            write_json(path, {"accuracies": course(training, left_out, len(split.classes), given.epochs)})
        courses[str(person + 1)] = read_json(path)["accuracies"]
    most = max(int((trials.person_N != person).sum()) for person in trials.person_N.unique().tolist())
    print(machine(), "", *table(courses, -(-most // SUPERVISED_BATCH)), sep="\n")


if __name__ == "__main__":
    main()
