"""One look for every picture: the colours keep their meaning from picture to picture, and a file is there whole.

Figures are made without pyplot, so nothing needs a display, nothing is global, and matplotlib is only loaded
by who draws. Colours are told apart with the common kinds of colour blindness (after Okabe and Ito 2008, and
Tol's muted scheme); every picture names what it shows in words too.
"""

from __future__ import annotations

import io
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.storage.folder import Folder
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NONWEAR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
WIDTH_IN = 9.0
"""A picture's width; with text of 10 points it can be read from a telephone's half of it up."""

STATE_COLOURS = {
    MEASURED: "#009e73",
    IDLE: "#56b4e9",
    GAP: "#7f7f7f",
    CLIPPED: "#e69f00",
    NONWEAR: "#cc79a7",
    BAD: "#d55e00",
}
AXIS_COLOURS = {"x": "#332288", "y": "#44aa99", "z": "#aa4499"}
OURS, CONTROL, SECOND_CONTROL, THIRD_CONTROL = "#1f6f8b", "#8a8a8a", "#c98a1b", "#7a3b69"
"""What is claimed, and what it is held against."""
INK, FAINT = "#222222", "#d9d9d9"

STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "agg.path.chunksize": 10_000,
}


def style() -> AbstractContextManager[None]:
    """The project's look, for as long as the block lasts: make and draw a figure inside."""
    import matplotlib

    return matplotlib.rc_context(STYLE)


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure; call it, and draw on it, inside `style()`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all.

    Raises UserError for another kind of file, or a folder that cannot be written to.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: pictures are PNG files, expected a name that ends in .png.")
    Folder(str(path.absolute().parent)).write(path.name, png(figure))


def png(figure: Figure) -> bytes:
    """A figure as the bytes of a PNG file; the same figure gives the same bytes."""
    data = io.BytesIO()
    figure.savefig(data, dpi=DOTS_PER_INCH, format="png", metadata={"Software": "persondays"})
    return data.getvalue()


def thousands(axes: Axes) -> None:
    """Count the horizontal axis in thousands and millions: 50k, 1.5M."""
    from matplotlib.ticker import EngFormatter

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
