"""Embedding a store: the features of its windows, or means of them, by batch inference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from train.distributed.processes import Processes
from train.embed.days import Day
from train.embed.inference import Member, Output, infer
from train.embed.rows import rows_of
from train.embed.table import Facts, Pool, schema, to_parquet
from train.networks import Encoder
from train.networks.weights import digest

if TYPE_CHECKING:
    from pipeline.store.store import Store


@dataclass(frozen=True)
class EmbedSettings:
    """Which windows, and which rows; None is the window of the network, or a number of days that suits the pool."""

    stride_s: int | None = None
    pool: Pool = "none"
    min_eligible: float = 1.0
    days_per_file: int | None = None

    def facts(self, network: Encoder, store: Store) -> Facts:
        """Return what the table will be made from, and how."""
        seconds = network.ticks // store.attributes.sample_rate_hz
        return Facts(
            preset=network.preset,
            width=float(network.width),
            features=network.features,
            model_sha256=digest(network.state_dict()),
            store_fingerprint=store.attributes.fingerprint,
            store_key_check=store.attributes.key_check,
            seconds=seconds,
            stride_s=self.stride_s or seconds,
            pool=self.pool,
            min_eligible=self.min_eligible,
            days_per_file=self.days_per_file or (8 if self.pool == "none" else 64),
        )


def embed(network: Encoder, store_url: str, out_url: str, settings: EmbedSettings, processes: Processes) -> str:
    """Embed a store and return what was done, in words. All processes of a run have to call this.

    Raises UserError for what a user can fix; days that cannot be read are among that, after everything else is written.
    """
    done = infer(partial(features, network, settings), store_url, out_url, processes, "embed")
    done.require_readable()
    return f"{done} embedded now"


def features(network: Encoder, settings: EmbedSettings, store: Store) -> Output:
    """Return the table of features of a store."""
    facts = settings.facts(network, store)
    columns = schema(facts)

    def rows(day: Day, vector_WF: NDArray[np.float32], member: Member) -> pa.Table:
        return rows_of(day, vector_WF, facts.pool, member.date, member.participant, columns)

    return Output(
        name="features",
        network=network,
        values=facts.features,
        seconds=facts.seconds,
        stride_s=facts.stride_s,
        min_eligible=facts.min_eligible,
        days_per_file=facts.days_per_file,
        facts=facts.to_json(),
        columns=columns,
        rows=rows,
        encode=partial(to_parquet, dictionary=["participant"], statistics=["slot", "start_second", "time"]),
    )
