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
    shapes: str | None = typer.Option(
        None, help="Write further files: onnx, int8, program (torch.export), mdl, with commas, or all."
    ),
    classifier: Path | None = typer.Option(
        None, help="Also write this fine-tuned network (the state dict of what torch.hub.load gave) as ONNX."
    ),
    labelled: Path | None = typer.Option(
        None, help="A labelled set: int8 gets its ranges from the windows, and its loss of macro F1 is measured."
    ),
    averaged: bool = typer.Option(False, "--averaged", help="Export the running mean of the weights, if there is one."),
) -> None:
    """Export a checkpoint as a folder for `torch.hub.load(FOLDER, ..., source="local")`.

    The folder has the weights, the network, hub entry points and a model card. If a run trains several encoders, each
    gets a folder of its own below it, under its name.
    """
    from train.checkpoint.format import open_checkpoint
    from train.export.folder import Further, write_exports
    from train.export.shapes import parse_shapes
    from train.networks.several import separated
    from train.optim.averaging import averaged_model

    further = Further(parse_shapes(shapes), classifier, labelled)
    opened = open_checkpoint(checkpoint, "best" if best else "newest")
    model = averaged_model(opened, checkpoint) if averaged else opened.model
    models = separated(model)
    network = write_exports(models, opened.state, out, checkpoint, further)
    for folder in (out / name for name in models):
        print(f"exported {network.preset} (width {network.width:g}, {network.features} features) to {folder}")
    print(f'use it: torch.hub.load("{folder}", "{network.preset}", source="local", pretrained=True, class_num=5)')
