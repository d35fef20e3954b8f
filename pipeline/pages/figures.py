"""The style of every picture: a colour means the same thing everywhere, and PNG files are written atomically.

Figures are made without pyplot, so they need no display and no global state; matplotlib is imported only where
something is drawn. The colours are distinguishable with the common kinds of colour blindness (after Okabe and Ito
2008, and Tol's muted scheme), and every picture also has labels in words.
"""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.private_folder import private_folder, writable
from pipeline.storage.folder import write_file
from pipeline.store.states import BAD, CLIPPED, GAP, IDLE, MEASURED, NONWEAR

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 150
WIDTH_IN = 9.0
"""Width of a picture. Its 10-point text is still readable at half size, on a telephone."""

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
"""Colours of our results, and of the controls they are compared with."""
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
    """Apply the style inside a `with` block: create figures and draw on them there."""
    _give_matplotlib_a_folder()
    import matplotlib

    return matplotlib.rc_context(STYLE)


def _give_matplotlib_a_folder() -> None:
    """Keep matplotlib's list of fonts in a private temporary folder where it cannot keep it in the home folder."""
    if "MPLCONFIGDIR" in os.environ:
        return
    home = Path(os.path.expanduser("~"))
    chosen = (
        Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config"),
        Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache"),
    )
    if all(writable(folder / "matplotlib") for folder in chosen):
        return
    private = private_folder()
    if private is None:
        raise UserError("pictures need a folder for matplotlib's list of fonts. Set MPLCONFIGDIR to one of yours.")
    os.environ["MPLCONFIGDIR"] = str(private / "matplotlib")


def new_figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """Return an empty figure. Call this inside `style()`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG file, atomically.

    Raises UserError when the name does not end in .png or the folder is not writable.
    """
    if path.suffix.lower() != ".png":
        raise UserError(f"{path}: expected a name that ends in .png, because pictures are PNG files.")
    write_file(path, png(figure))


def png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file; the same figure gives the same bytes."""
    data = io.BytesIO()
    figure.savefig(data, dpi=DOTS_PER_INCH, format="png", metadata={"Software": "persondays"})
    return data.getvalue()


def thousands(axes: Axes) -> None:
    """Label the horizontal axis in thousands and millions: 50k, 1.5M."""
    from matplotlib.ticker import EngFormatter

    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
