"""Draw maps of features in two dimensions, coloured by activity: t-SNE where scikit-learn is installed, else PCA."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.pages.figures import new_figure, style
from train.evaluate.retrieval import unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.figure import Figure

WINDOWS = 2_000
MARKERS = "os^"


def sample(windows: int, seed: int) -> NDArray[np.int64]:
    """Return the numbers of at most WINDOWS windows, drawn at random, in order."""
    return np.sort(np.random.default_rng(seed).permutation(windows)[:WINDOWS])


def flatten(features_NF: NDArray[np.float32], seed: int) -> tuple[NDArray[np.float64], str]:
    """Return places in two dimensions (windows, 2) and the method's name.

    Features are standardised and each window is scaled to length 1, as in retrieval. t-SNE (van der Maaten and Hinton
    2008) starts from the two largest principal components.
    """
    unit_NF = unit(features_NF).astype(np.float64)
    centred_NF = unit_NF - unit_NF.mean(0)
    if importlib.util.find_spec("sklearn") is None or len(centred_NF) < 10:
        _, _, axes_CF = np.linalg.svd(centred_NF, full_matrices=False)
        return centred_NF @ axes_CF[:2].T, "PCA"
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(30.0, (len(centred_NF) - 1) / 3)
    with threadpool_limits(1):  # its threads wait for each other, minutes on a busy machine
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(centred_NF), "t-SNE"


def draw_map(
    spaces: Mapping[str, NDArray[np.float32]], y_N: NDArray[np.int64], classes: tuple[str, ...], seed: int
) -> Figure:
    """Draw features by name, each (windows, features), coloured by activity."""
    with style():
        from matplotlib import colormaps

        colours = colormaps["tab10"].colors  # type: ignore[attr-defined]
        figure = new_figure(5.0 + 0.21 * -(-len(classes) // 5))
        panels = figure.subplots(1, len(spaces), squeeze=False)[0]
        for axes, (name, features_NF) in zip(panels, spaces.items(), strict=True):
            places_N2, method = flatten(features_NF, seed)
            for number, label in enumerate(classes):
                own = y_N == number
                axes.scatter(
                    *places_N2[own].T,
                    s=7,
                    marker=MARKERS[number // len(colours) % len(MARKERS)],
                    color=colours[number % len(colours)],
                    alpha=0.7,
                    linewidth=0,
                    label=label,
                )
            axes.set_title(f"{name} ({method})")
            axes.set_xticks([])
            axes.set_yticks([])
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=5, markerscale=2)
    return figure
