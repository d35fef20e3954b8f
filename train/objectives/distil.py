"""Distillation from a table of features: learn how a teacher's vectors compare windows with each other.

After COMODO (Chen et al. 2025, arXiv:2503.07259), in which a video network teaches one for motion sensors. A queue
holds the teacher's vectors of past windows. The teacher compares its vector of a window with those of the batch and the
queue; the student, whose features go through a projection, is to find the same similarities. So the teacher may be any
network, of any width, that wrote its vectors into a table: nothing of it is needed but these.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.grid import SECONDS_PER_DAY
from train.autocast import autocast
from train.distributed import collectives
from train.objectives.contrast import figures, same_day, unit
from train.objectives.objective import Figures, Objective
from train.objectives.simclr import Projection
from train.objectives.teacher import InTable
from train.random import WindowRandom


@dataclass(frozen=True)
class DistilSettings:
    """The teacher's table, and how its vectors are compared."""

    table: str = ""
    """A table of features of the store that is trained on (docs/embed.md): a path or an s3:// URL."""
    queue: int = 16_384
    """How many vectors of past windows each window is compared with, besides those of its batch."""
    temperature: float = 0.05
    """Of the student's similarities."""
    teacher_temperature: float = 0.1
    """Of the teacher's. 0: the teacher finds each window similar to itself alone, which is InfoNCE."""

    def __post_init__(self) -> None:
        for name, valid, expected in (
            ("queue", self.queue >= 1, "at least 1"),
            ("temperature", 0 < self.temperature < float("inf"), "a number above 0"),
            ("teacher_temperature", 0 <= self.teacher_temperature < float("inf"), "a number of 0 or more"),
        ):
            if not valid:
                raise ValueError(f"{name}: expected {expected}, found {getattr(self, name)}")


class Student(nn.Module):
    """Maps features to the teacher's space; holds the queue, so that checkpoints have it.

    `queue` (size, numbers) has unit vectors in the order in which they were appended, from row `queued` % size on;
    `queued` is how many have been appended in all.
    """

    queue: Tensor
    queued: Tensor

    def __init__(self, features: int, teacher: int, size: int) -> None:
        super().__init__()
        self.projection = Projection(features, teacher)
        self.register_buffer("queue", torch.zeros(size, teacher))
        self.register_buffer("queued", torch.zeros((), dtype=torch.int64))

    def forward(self, features_BF: Tensor) -> Tensor:
        projected: Tensor = self.projection(features_BF)
        return projected

    @property
    def is_filled(self) -> Tensor:
        """Which rows of the queue have a vector."""
        return torch.arange(len(self.queue), device=self.queue.device) < self.queued

    @torch.no_grad()
    def append(self, vector_NF: Tensor) -> None:
        """Append vectors; the oldest leave."""
        kept_NF = vector_NF[-len(self.queue) :].to(self.queue.dtype)
        first = self.queued + len(vector_NF) - len(kept_NF)
        row_N = (first + torch.arange(len(kept_NF), device=self.queue.device)) % len(self.queue)
        self.queue.index_copy_(0, row_N, kept_NF)
        self.queued += len(vector_NF)


class Distil(Objective):
    """Distillation. Targets are float64 (batch, 1 + numbers): a window's place in the store, and the teacher's vector.

    The place is slot x 86,400 + start second.
    """

    whole_batch = True

    def __init__(self, settings: DistilSettings) -> None:
        if not settings.table:
            raise UserError(
                "objective.distil.table: expected the table of features of a teacher, found none. Write one with "
                "`persondays embed --model TEACHER --store STORE --out TABLE`, and set it."
            )
        self.settings = settings
        self.companions: InTable = InTable(settings.table, settings.queue)

    def heads(self, features: int) -> dict[str, nn.Module]:
        """Return the student's projection with the queue. It is not used after pretraining."""
        self.student = Student(features, self.companions.table.features, self.settings.queue)
        return {"student": self.student}

    def views(self, x: Tensor, random: WindowRandom) -> tuple[Tensor, Tensor]:
        """Return the windows as they are, and their places."""
        return x, (random.slot * SECONDS_PER_DAY + random.start).double()[:, None]

    def with_vectors(self, targets: Tensor, vector_BF: Tensor) -> Tensor:
        """Return the places with the teacher's vectors."""
        return torch.cat((targets, vector_BF.double()), 1)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> tuple[Tensor, Figures]:
        """Return the mean loss of this process's windows among those of all processes and the queue.

        The windows of all processes are in the order of their places, so that the queue is the same however many there
        are; after the comparison they are appended to it.
        """
        z_BF = unit(outputs["student"])
        place_N = collectives.gather(targets[:, 0])
        order_N = place_N.argsort(stable=True)
        vector_NF = unit(collectives.gather(targets[:, 1:].to(z_BF.dtype)))[order_N]
        among_QF = torch.cat((self.student.queue.to(z_BF.dtype), vector_NF))
        filled_Q = self.student.is_filled
        compared_Q = torch.cat((filled_Q, torch.ones_like(place_N, dtype=torch.bool)))
        own_B = collectives.rank() * len(z_BF) + torch.arange(len(z_BF), device=z_BF.device)
        own_B = len(filled_Q) + order_N.argsort()[own_B]
        losses_B, correct_B = self._compare(z_BF, among_QF, own_B, compared_Q.expand(len(z_BF), -1))
        self.student.append(vector_NF)
        return losses_B.mean(), figures(losses_B, correct_B, 1 / compared_Q.sum().expand(len(z_BF)), 1)

    def score(self, outputs: dict[str, Tensor], targets: Tensor) -> Figures:
        """Return the figures with each window compared with those of its day; a day of one window is left out."""
        z_BF = unit(outputs["student"])
        same_BB, kept_B = same_day(targets[:, 0].long() // SECONDS_PER_DAY)
        own_B = torch.arange(len(z_BF), device=z_BF.device)
        losses_B, correct_B = self._compare(z_BF, unit(targets[:, 1:].to(z_BF.dtype)), own_B, same_BB)
        return figures(losses_B[kept_B], correct_B[kept_B], 1 / same_BB.sum(1)[kept_B], 1)

    def _compare(self, z_BF: Tensor, among_QF: Tensor, own_B: Tensor, compared_BQ: Tensor) -> tuple[Tensor, Tensor]:
        with autocast(z_BF.device, bfloat16=False):
            return distillation(
                z_BF, among_QF, own_B, compared_BQ, self.settings.temperature, self.settings.teacher_temperature
            )


def distillation(
    z_BF: Tensor, among_QF: Tensor, own_B: Tensor, compared_BQ: Tensor, temperature: float, teacher_temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the loss of each student's vector (B), and whether its own teacher's is the most similar to it.

    The loss is -sum_q softmax(v.q / teacher_temperature) log softmax(z.q / temperature), over the teacher's vectors q
    that are compared; v is the teacher's own vector, in row `own_B` of `among_QF`. All vectors have length 1. With a
    teacher's temperature of 0, its softmax is 1 for v and 0 elsewhere.
    """
    cosine_BQ = (z_BF @ among_QF.T).masked_fill(~compared_BQ, -torch.inf)
    correct_B = cosine_BQ.argmax(1) == own_B
    log_share_BQ = torch.log_softmax(cosine_BQ / temperature, 1).masked_fill(~compared_BQ, 0.0)
    if teacher_temperature == 0:
        return -log_share_BQ.gather(1, own_B[:, None])[:, 0], correct_B
    teacher_BQ = (among_QF[own_B] @ among_QF.T / teacher_temperature).masked_fill(~compared_BQ, -torch.inf)
    return -(torch.softmax(teacher_BQ, 1) * log_share_BQ).sum(1), correct_B
