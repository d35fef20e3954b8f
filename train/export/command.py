"""`persondays export`."""

from __future__ import annotations

from pathlib import Path

import typer


def export(
    checkpoint: str = typer.Option(
        ..., help="A checkpoint, or a folder of checkpoints (its newest complete one is used): a path or an s3:// URL."
    ),
    out: Path = typer.Option(..., help="The folder to write."),
    best: bool = typer.Option(False, "--best", help="Use the best checkpoint of a folder instead of the newest."),
    averaged: bool = typer.Option(False, "--averaged", help="Export the running mean of the weights, if there is one."),
) -> None:
    """Export a checkpoint as a folder for `torch.hub.load(FOLDER, ..., source="local")`.

    The folder has the weights, the network, hub entry points and a model card.
    """
    from train.checkpoint.format import open_checkpoint
    from train.export.folder import write_export
    from train.optim.averaging import averaged_model

    opened = open_checkpoint(checkpoint, "best" if best else "newest")
    model = averaged_model(opened, checkpoint) if averaged else opened.model
    network = write_export(model, opened.state, out, checkpoint)
    print(f"exported {network.preset} (width {network.width:g}, {network.features} features) to {out}")
    print(f'use it: torch.hub.load("{out}", "{network.preset}", source="local", pretrained=True, class_num=5)')
