"""The engine `deepspeed`: DeepSpeed with ZeRO 0, 1 or 2.

Its configuration follows from the recipe, so that a run means the same under both engines; a DeepSpeed JSON file may be
merged over it. The optimizer is torch's, because DeepSpeed compiles its fused ones on first use. bfloat16 is autocast
with gradients reduced in float32, because DeepSpeed's own `bf16` makes weights bfloat16 but keeps BatchNorm's
statistics float32, which does not work.
"""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.extras import missing_extra
from pipeline.settings import merge
from train.checkpoint import format as ck
from train.distributed.engine import Forward, LossOf, compile_options, norm_and_clip, set_rate
from train.distributed.processes import Processes
from train.distributed.settings import EngineSettings, StepSettings
from train.windows.pool import Windows

DECIDED_BY_THE_RECIPE = (
    *("optimizer", "scheduler", "fp16", "bf16", "amp", "torch_autocast", "gradient_clipping"),
    *("gradient_accumulation_steps", "train_batch_size", "train_micro_batch_size_per_gpu"),
)
"""Keys that a user's DeepSpeed file may not set."""


def configuration(settings: EngineSettings, step: StepSettings, elements: int) -> dict[str, Any]:
    """Build DeepSpeed's configuration, with the user's file merged over it.

    `elements` is the number of all gradients: buckets get this size, where DeepSpeed would allocate 5e8 elements each.
    Raises UserError for a file that cannot be read, or that sets what the recipe decides.
    """
    ours = {
        "train_micro_batch_size_per_gpu": step.windows // step.accumulate,
        "gradient_accumulation_steps": step.accumulate,
        "gradient_clipping": (step.clip_norm or 0.0) if settings.zero_stage else 0.0,
        "zero_optimization": {
            "stage": settings.zero_stage,
            "reduce_bucket_size": elements,
            "allgather_bucket_size": elements,
        },
        "zero_allow_untested_optimizer": True,
        "torch_autocast": {
            "enabled": step.precision == "bfloat16",
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
        "steps_per_print": 1 << 62,
    }
    return ours if settings.deepspeed is None else merge(ours, _read(settings.deepspeed, settings.zero_stage))


def _read(path: Path, zero_stage: int) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(table, dict):
            raise ValueError(f"expected an object, found {type(table).__name__}")
    except (OSError, ValueError) as error:
        raise UserError(f"engine.deepspeed: cannot read {path} as JSON ({error}).") from None
    if taken := sorted(set(table) & set(DECIDED_BY_THE_RECIPE)):
        raise UserError(
            f"engine.deepspeed: {path} sets {', '.join(taken)}, which the recipe decides, so that a run is the same "
            "under every engine. Set [optimizer], run.batch, run.accumulate or run.precision in the recipe instead."
        )
    zero = table.get("zero_optimization", {})
    if not isinstance(zero, dict):
        raise UserError(f"engine.deepspeed: {path}: zero_optimization: expected an object, found {zero!r}.")
    stage = zero.get("stage", zero_stage)
    if stage != zero_stage:
        raise UserError(
            f"engine.deepspeed: {path} sets ZeRO stage {stage}, engine.zero_stage is {zero_stage}: "
            "set engine.zero_stage (0, 1 or 2)."
        )
    return table


class DeepSpeed:
    """The engine `deepspeed`."""

    def __init__(
        self,
        settings: EngineSettings,
        step: StepSettings,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        processes: Processes,
        forward: Forward,
    ) -> None:
        with processes.all_or_none():
            if step.precision == "float64":
                raise UserError("run.precision: DeepSpeed cannot train in float64. Use --engine ddp.")
            elements = sum(value.numel() for value in model.parameters() if value.requires_grad)
            config = configuration(settings, step, elements)
            deepspeed = _import(processes)
        processes.join_alone()
        self.model, self.optimizer, self.processes = model, optimizer, processes
        self.zero = settings.zero_stage > 0
        self.clip_norm = step.clip_norm
        self.active = {name: value for name, value in model.named_parameters() if value.requires_grad}
        try:
            self.engine, *_ = deepspeed.initialize(
                model=forward.module, optimizer=optimizer, config=config, dist_init_required=False
            )
        except Exception as error:  # of many types, depending on the file
            if settings.deepspeed is None:
                raise
            raise UserError(f"engine.deepspeed: DeepSpeed rejects {settings.deepspeed}: {error}") from None
        if step.compile:
            self.engine.compile(compile_kwargs=compile_options(step, forward))

    def step(self, pieces: Sequence[Windows], loss_of: LossOf, rate: float) -> Tensor:
        """See `Engine`. DeepSpeed counts the pieces, divides by their number, and updates after the last."""
        set_rate(self.optimizer.param_groups, rate)
        norm = None
        for number, piece in enumerate(pieces, 1):
            self.engine.backward(loss_of(self.engine, piece))
            if number == len(pieces) and not self.zero:
                norm = norm_and_clip(list(self.active.values()), self.clip_norm)
            self.engine.step()
        return torch.as_tensor(self.engine.get_global_grad_norm() if norm is None else norm)

    def optimizer_state(self) -> ck.OptimizerState:
        """See `Engine`; each process contributes its part of every parameter's state."""
        if not self.zero:
            return ck.optimizer_by_name(self.model, self.optimizer) if self.processes.first else {}
        from deepspeed.utils import safe_get_full_optimizer_state

        own: dict[str, Tensor] = next(iter(self.optimizer.state.values()), {})
        state: ck.OptimizerState = {}
        for name, parameter in self.active.items():
            fields = {
                key: safe_get_full_optimizer_state(parameter, key) if value.ndim else value
                for key, value in sorted(own.items())
            }
            if self.processes.first:
                state[name] = ck.to_host(fields)
        return state

    def load_optimizer(self, state: ck.OptimizerState) -> None:
        """See `Engine`; each process takes its part of every parameter's state."""
        if not self.zero:
            return ck.load_optimizer(self.model, self.optimizer, state)
        from deepspeed.utils import safe_set_full_optimizer_state

        ck.check_names(self.active, state)
        if not state:
            return None
        (own,) = self.optimizer.param_groups[0]["params"]  # this process's part of all parameters, flattened
        like = next(iter(state.values()))
        counts = {key: ck.placed(key, value, own, self.optimizer) for key, value in like.items() if not value.ndim}
        parts = {key: torch.zeros_like(own, requires_grad=False) for key, value in like.items() if value.ndim}
        self.optimizer.state[own] = parts | counts
        self.engine.optimizer._lazy_init_hp_params_optimizer_state()  # otherwise done after the first step
        for name, fields in state.items():
            for key, value in fields.items():
                if key in parts:
                    safe_set_full_optimizer_state(self.active[name], value.to(own.device), key)
        return None


def _import(processes: Processes) -> Any:
    """Import DeepSpeed, without its log output, for this run's device; raises UserError if it is not installed."""
    os.environ.setdefault("DS_ACCELERATOR", processes.device.type)
    os.environ.setdefault("LOCAL_RANK", "0")  # DeepSpeed needs it, even in a single process
    warnings.filterwarnings("ignore", message=".*all_gather_into_tensor.*", category=FutureWarning)
    try:
        import deepspeed
    except ImportError as error:
        raise missing_extra(error) or UserError(
            f"--engine deepspeed: DeepSpeed cannot be imported ({error}). Fix its installation, or use --engine ddp."
        ) from None
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    # DeepSpeed would compile a CPU collective for inference now: that needs a compiler and a minute, and is not used.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed
