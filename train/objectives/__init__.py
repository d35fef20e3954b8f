"""Objectives: what a network learns from windows without labels. `objective.py` defines the interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from train.objectives.cmc import Cmc, CmcSettings
from train.objectives.collossl import Collo, ColloSettings
from train.objectives.distil import Distil, DistilSettings
from train.objectives.joint import Joint, JointSettings
from train.objectives.masked import Masked, MaskedSettings
from train.objectives.multitask import Multitask, MultitaskSettings
from train.objectives.objective import Objective
from train.objectives.simclr import Simclr, SimclrSettings

__all__ = ["OBJECTIVES", "Objective", "ObjectiveSettings", "make_objective"]


@dataclass(frozen=True)
class ObjectiveSettings:
    """The name of the objective, and the settings of each objective."""

    name: str = "multitask"
    multitask: MultitaskSettings = field(default_factory=MultitaskSettings)
    simclr: SimclrSettings = field(default_factory=SimclrSettings)
    joint: JointSettings = field(default_factory=JointSettings)
    masked: MaskedSettings = field(default_factory=MaskedSettings)
    collossl: ColloSettings = field(default_factory=ColloSettings)
    cmc: CmcSettings = field(default_factory=CmcSettings)
    distil: DistilSettings = field(default_factory=DistilSettings)

    def __post_init__(self) -> None:
        if self.name not in OBJECTIVES:
            raise ValueError(f"unknown objective {self.name!r}: expected one of {', '.join(OBJECTIVES)}")


OBJECTIVES: dict[str, Callable[[ObjectiveSettings], Objective]] = {
    "multitask": lambda settings: Multitask(settings.multitask),
    "simclr": lambda settings: Simclr(settings.simclr),
    "joint": lambda settings: Joint(settings.joint, settings.simclr, settings.multitask),
    "masked": lambda settings: Masked(settings.masked),
    "collossl": lambda settings: Collo(settings.collossl),
    "cmc": lambda settings: Cmc(settings.cmc),
    "distil": lambda settings: Distil(settings.distil),
}


def make_objective(settings: ObjectiveSettings) -> Objective:
    """Return the objective that the settings name."""
    return OBJECTIVES[settings.name](settings)
