"""`persondays export`."""

from __future__ import annotations

from pathlib import Path

import typer


def export(
    checkpoint: str = typer.Option(
        ..., help="A checkpoint, or the folder of a run's checkpoints (then its newest complete one); any fsspec URL."
    ),
    out: Path = typer.Option(..., help="The folder to write: weights, network, hub entry points, model card."),
    best: bool = typer.Option(False, "--best", help="From a folder of checkpoints, the best instead of the newest."),
    averaged: bool = typer.Option(False, "--averaged", help="The running mean of the weights, where the run kept one."),
) -> None:
    """Turn a checkpoint into a folder that `torch.hub.load(FOLDER, ..., source="local")` loads."""
    from train.checkpoint.format import open_checkpoint
    from train.export.folder import write_export
    from train.optim.averaging import averaged_model

    opened = open_checkpoint(checkpoint, "best" if best else "newest")
    model = averaged_model(opened, checkpoint) if averaged else opened.model
    network = write_export(model, opened.state, out, checkpoint)
    print(f"exported {network.preset} (width {network.width:g}, {network.features} features) to {out}")
    print(f'use it: torch.hub.load("{out}", "{network.preset}", source="local", pretrained=True, class_num=5)')
