"""The folder of an evaluation: results, tables, pictures and cells; it appears complete or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.pages.figures import save
from pipeline.storage.result_folder import require_replaceable, result_folder, write_json
from train.evaluate.cells import FOLDER, Cells
from train.evaluate.dataset import LabelledSet
from train.evaluate.results import sections, tables
from train.evaluate.results.map_picture import draw_map, sample
from train.evaluate.results.parts_pictures import draw_curve, draw_shifts
from train.evaluate.results.picture import draw, draw_confusion
from train.evaluate.results.rows_picture import draw_rows
from train.evaluate.rows.features import features_of
from train.evaluate.rows.handmade import handmade
from train.networks import Encoder

KIND = "persondays-evaluation"
VERSION = 1
MARKER = "results.json"
FILES = {
    *(MARKER, "tables.md", "rows.csv", "differences.csv", "evaluation.png", "rows.png", "confusion", FOLDER),
    *("labels.csv", "people.csv", "domain.csv", "shifts.csv", "retrieval.csv"),
    *("labels.png", "people.png", "shifts.png", "map.png"),
}


def require_writable(out: Path) -> None:
    """Raise UserError when `write_results` could not write to `out`: before the work, not after it."""
    require_replaceable(out, MARKER, KIND, FILES)


def write_results(results: dict[str, Any], out: Path, cells: Cells, network: Encoder, data: LabelledSet) -> None:
    """Write the results of a network on a labelled set to the folder `out`, and the cells that they come from."""
    with result_folder(out, MARKER, KIND, FILES) as folder:
        texts = {"tables.md": tables.page(results, sections.sections(results)), "rows.csv": tables.rows_csv(results)}
        texts |= {"differences.csv": tables.differences_csv(results), **sections.files(results)}
        for name, text in texts.items():
            (folder / name).write_text(text, encoding="utf-8")
        _draw(results, folder)
        if "retrieval" in results:
            _draw_map(results, folder, network, data)
        cells.copy_to(folder / FOLDER)
        write_json(folder / MARKER, {"format": KIND, "version": VERSION, **results})
    cells.clear()


def _draw(results: dict[str, Any], folder: Path) -> None:
    save(draw_rows(results), folder / "rows.png")
    if "summary" in results:
        save(draw(results), folder / "evaluation.png")
    for row in results["rows"]:
        save(draw_confusion(results, row), folder / "confusion" / f"{row}.png")
    for name in sections.CURVES:
        if name in results:
            save(draw_curve(results, name), folder / f"{name}.png")
    if "shifts" in results:
        save(draw_shifts(results), folder / "shifts.png")


def _draw_map(results: dict[str, Any], folder: Path, network: Encoder, data: LabelledSet) -> None:
    drawn = sample(len(data.y_N), results["seed"])
    x_NCT = data.x_NCT[drawn]
    spaces = {"Backbone": features_of(network, x_NCT), "Hand-made features": handmade(x_NCT)}
    save(draw_map(spaces, data.y_N[drawn], data.classes, results["seed"]), folder / "map.png")
