"""The demo's page: it shows the numbers in the files, judges by intervals, and opens in a browser."""

from __future__ import annotations

import copy
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.demo.command import demo
from pipeline.demo.page import SECTIONS, write_page
from pipeline.demo.verdicts import judge_backbone, judge_task, reasons_not_better
from pipeline.errors import UserError
from tests.pipeline.pages import Page, browse, width_needed

INSPECT: dict[str, Any] = {
    "format": "persondays-inspect",
    "version": 1,
    "recordings": {"done": 12, "rejected": 1, "reasons": {"no block is <whole> & read": 1}, "bytes": 1_000_000},
    "participants": 12,
    "person_days": 36,
    "wear_hours": 558.9,
    "eligible_hours": 550.5,
    "state_hours": {"measured": 575.2, "idle sleep": 0.0, "gap": 0.83},
    "devices": {"AX3": 12},
    "locations": {"left wrist": 9, "right wrist": 3},
    "calibration": {"own": 11, "none": 1},
    "bytes": {"signal": 170_000_000, "motion": 3_000_000, "state": 1_000_000, "tables": 40_000},
    "day": {"slot": 4, "wear_hours": 23.9, "enmo_mg": 39.9},
}


def score(accuracy: float, half: float = 0.02) -> dict[str, float]:
    return {"accuracy": accuracy, "low": accuracy - half, "high": accuracy + half}


TRAINING: dict[str, Any] = {
    "format": "persondays-training",
    "version": 1,
    "network": {"preset": "harnet10", "width": 0.25},
    "processes": 2,
    "device": "cpu",
    "participants": 10,
    "participants_held_out": 2,
    "person_days": 30,
    "epoch_windows": 29_196,
    "windows_asked": 120_000,
    "windows_seen": 120_064,
    "validation_windows": 600,
    "validation_loss": 0.512,
    "windows_per_s": 812.3,
    "data_wait": 0.01,
    "training_seconds": 151.0,
    "guessing": 0.5,
    "tasks": {
        "reversal": {"real": score(0.71), "phase": score(0.51), "noise": score(0.5), "trained_on_noise": score(0.5)},
        "warp": {"real": score(0.86), "phase": score(0.81), "noise": score(0.7), "trained_on_noise": score(0.93)},
    },
    "control": {"windows_asked": 40_000, "windows_seen": 40_192},
    "draws": {
        "eligible_starts": 86_391,
        "drawn": 1_500,
        "seconds_a_window": 10,
        "median_weight_g": {"eligible": 0.0234, "drawn": 0.36},
        "deciles": [{"share": 0.1, "low": 0.05, "high": 0.2}] * 9 + [{"share": 0.504, "low": 0.1, "high": 0.2}],
    },
}


def difference(mean: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    both = {"mean": 0.5, "sd": 0.1}
    return {
        "people": 12,
        "pretrained": both,
        "random": both,
        "difference": {"mean": mean, "low": low, "high": high},
        "beaten": 3,
        "random_networks": [0.4, 0.45, 0.42],
    }


def evaluation(mean: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {
        "format": "persondays-evaluation",
        "version": 1,
        "data": {"windows": 5_431, "people": 12, "classes": 9},
        "protocol": {"split": "folds by person"},
        "notes": ["resampled from 50 to 30 Hz"],
        "summary": {"macro_f1": difference(mean, low, high), "kappa": difference(mean, low, high)},
    }


def png(colour: tuple[float, float, float], width: int = 1200, height: int = 300) -> bytes:
    """A picture of one colour."""
    from matplotlib.image import imsave

    data = io.BytesIO()
    imsave(data, np.full((height, width, 3), colour), format="png")
    return data.getvalue()


def write_run(run: Path, results: dict[str, Any]) -> Path:
    """Write everything that the page reads into a demo's folder."""
    for name in ("recordings", "report", "evaluation"):
        (run / name).mkdir(parents=True, exist_ok=True)
    (run / "recordings" / "simulation.json").write_text('{"participants": 12, "days": 2.0, "seed": 0}')
    (run / "report" / "inspect.json").write_text(json.dumps(INSPECT))
    (run / "report" / "training.json").write_text(json.dumps(TRAINING))
    (run / "evaluation" / "results.json").write_text(json.dumps(results))
    for path, colour in {
        "report/day.png": (1.0, 0.0, 1.0),
        "report/draws.png": (0.0, 1.0, 1.0),
        "report/curves.png": (1.0, 1.0, 0.0),
        "evaluation/evaluation.png": (0.0, 1.0, 0.0),
        "evaluation/rows.png": (0.0, 0.0, 1.0),
    }.items():
        (run / path).write_bytes(png(colour))
    return run


def read_page(run: Path) -> tuple[str, Page]:
    source = write_page(run).read_text(encoding="utf-8")
    return source, Page(source)


# verdicts


@pytest.mark.parametrize(
    ("real", "others", "verdict"),
    [
        ((0.48, 0.55), [(0.45, 0.52)], "at chance"),
        ((0.50, 0.58), [], "at chance"),
        ((0.40, 0.45), [], "at chance"),
        ((0.62, 0.68), [(0.45, 0.52), (0.51, 0.60)], "above its controls"),
        ((0.62, 0.68), [(0.45, 0.52), (0.55, 0.62)], "not above its controls"),
        ((0.62, 0.68), [(0.90, 0.95)], "not above its controls"),
    ],
)
def test_a_task_is_judged_by_intervals(
    real: tuple[float, float], others: list[tuple[float, float]], verdict: str
) -> None:
    names = ("phase", "noise", "trained_on_noise")
    scores = {name: {"low": low, "high": high} for name, (low, high) in zip(names, others, strict=False)}
    assert judge_task({"real": {"low": real[0], "high": real[1]}, **scores}, 0.5) == verdict


@given(st.floats(-1, 1), st.floats(-1, 1), st.integers(0, 3))
def test_a_backbone_is_better_or_worse_only_if_the_interval_excludes_0(one: float, other: float, beaten: int) -> None:
    low, high = sorted((one, other))
    summary = {"difference": {"low": low, "high": high}, "beaten": beaten, "random_networks": [0.1, 0.2, 0.3]}
    verdict = judge_backbone(summary)
    assert (verdict == "worse") == (high < 0)
    assert (verdict == "better") == (low > 0 and beaten == 3)


def test_without_an_interval_the_verdict_is_undecided() -> None:
    summary = {"difference": {"low": None, "high": None}, "beaten": 3, "random_networks": [0.1, 0.2, 0.3]}
    assert judge_backbone(summary) == "undecided"


def test_reasons_follow_from_the_numbers() -> None:
    reasons = reasons_not_better(TRAINING, {"mean": 0.0, "low": -0.04, "high": 0.04}, 12)
    assert "1 of 2 pretext tasks did not exceed their controls (warp)" in reasons
    assert "uncertain by ±0.040" in reasons
    assert reasons_not_better(None, {"mean": None, "low": None, "high": None}, 1) == ""


# the page


def test_the_page_is_complete_and_loads_nothing_else(tmp_path: Path) -> None:
    source, page = read_page(write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08)))
    assert list(SECTIONS) == [name for name in page.text if name != "top"]
    assert sum(link.startswith("data:image/png;base64,") for link in page.sources) == 5
    assert all(link.startswith(("data:", "#")) for link in page.sources)
    for outward in ("http:", "https:", "<script", "@import", "url("):
        assert outward not in source
    assert "does not exist" not in source
    assert str(tmp_path) not in source, "a path of this machine"
    assert [path.name for path in (tmp_path / "run" / "report").iterdir() if path.suffix == ".html"] == ["index.html"]


def test_numbers_come_from_the_files(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08))
    _, page = read_page(run)
    assert "12 simulated participants with a wrist-worn device for 2 days" in page.text["top"]
    assert "11 done" not in page.text["store"]
    assert "no block is <whole> & read" in page.text["store"], "escaped, and so shown as it is"
    assert "4.8 MB per person-day" in page.text["store"]
    assert "In 9 of 10 tenths" in page.text["draws"]
    assert "50.4%" in page.text["draws"]
    assert (
        "took 2:31 in 2 process(es) on cpu: 812 windows/s, with 1% of the time spent waiting for data"
        in page.text["training"]
    )
    assert "0.860 0.840 to 0.880" in page.text["training"]
    changed = copy.deepcopy(INSPECT)
    changed["recordings"]["done"], changed["participants"] = 11, 10
    (run / "report" / "inspect.json").write_text(json.dumps(changed))
    _, page = read_page(run)
    assert "11 done" in page.text["store"]


def test_tasks_are_compared_with_their_controls(tmp_path: Path) -> None:
    _, page = read_page(write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08)))
    rows = re.search(r"reversal: .*? warp: .*? not above its controls", page.text["training"])
    assert rows
    assert rows.group(0).split("warp:")[0].rstrip().endswith("above its controls")
    assert "not above" not in rows.group(0).split("warp:")[0]


def test_the_loss_is_shown_beside_that_without_learning(tmp_path: Path) -> None:
    """Of guessing (0.693 for two answers), or as the results have it where no answer can be guessed."""
    run = write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08))
    assert "is 0.512; without learning, it would be 0.693" in read_page(run)[1].text["training"]
    tasks = {"masked": {**TRAINING["tasks"]["warp"], "unlearned_loss": 0.87}}
    (run / "report" / "training.json").write_text(json.dumps(TRAINING | {"tasks": tasks}))
    assert "is 0.512; without learning, it would be 0.870" in read_page(run)[1].text["training"]


@pytest.mark.parametrize(
    ("numbers", "verdict", "reasons"),
    [
        ((0.05, 0.02, 0.08), "with its 95% interval: +0.050 (+0.020 to +0.080)", False),
        ((0.05, -0.01, 0.11), "shows no clear difference from random weights", True),
        ((-0.05, -0.08, -0.02), "is worse than random weights", True),
        ((None, None, None), "cannot be compared with random weights", True),
    ],
)
def test_the_backbone_is_called_better_only_if_the_interval_shows_it(
    tmp_path: Path, numbers: tuple[float | None, ...], verdict: str, reasons: bool
) -> None:
    _, page = read_page(write_run(tmp_path / "run", evaluation(*numbers)))
    text = page.text["evaluation"]
    assert verdict in text
    assert ("is better than" in text) == (not reasons)
    assert ("Possible reasons" in text) == reasons


def test_every_row_of_an_evaluation_is_shown(tmp_path: Path) -> None:
    results = evaluation(0.05, 0.02, 0.08)
    _, page = read_page(write_run(tmp_path / "old", results))
    assert "random forest" not in page.text["evaluation"]
    scores = {"macro_f1": {"mean": 0.746, "sd": 0.104}, "kappa": {"mean": None, "sd": None}}
    results["rows"] = {"forest": {"title": "hand-made features, random forest", **scores}}
    _, page = read_page(write_run(tmp_path / "new", results))
    assert "hand-made features, random forest" in page.text["evaluation"]
    assert "0.746 SD 0.104" in page.text["evaluation"]


def test_a_backbone_that_comes_along_is_a_row_beside_them(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08))
    scores = {"macro_f1": {"mean": 0.801, "sd": 0.05}, "kappa": {"mean": 0.777, "sd": 0.06}}
    for name, found in (("wrist-tiny", {"format": "persondays-evaluation", "version": 1}), ("broken", {})):
        (run / "box" / name).mkdir(parents=True)
        found = found | {"rows": {"linear": scores}} if found else found
        (run / "box" / name / "results.json").write_text(json.dumps(found))
    text = read_page(run)[1].text["evaluation"]
    assert "the backbone wrist-tiny that comes with persondays, pretrained on real people 0.801 SD 0.050" in text
    assert "broken" not in text


def test_missing_results_are_named_in_their_place(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    _, page = read_page(run)
    missing = {
        "store": ["report/inspect.json"],
        "day": ["report/day.png"],
        "draws": ["report/draws.png"],
        "training": ["report/training.json", "report/curves.png"],
        "evaluation": ["evaluation/results.json", "evaluation/evaluation.png"],
    }
    for name, paths in missing.items():
        for path in paths:
            assert f"{path} does not exist or cannot be read" in page.text[name]
    assert "does not exist" not in page.text["next"]


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"format": "persondays-evaluation", "version": 2}'])
def test_incomplete_files_and_other_formats_count_as_missing(tmp_path: Path, broken: str) -> None:
    run = write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08))
    (run / "evaluation" / "results.json").write_text(broken)
    (run / "report" / "day.png").write_bytes(b"\x89PNG")
    _, page = read_page(run)
    assert "evaluation/results.json does not exist or cannot be read" in page.text["evaluation"]
    assert "report/day.png does not exist or cannot be read" in page.text["day"]


# in a browser


@pytest.mark.parametrize("width", [390, 1200])
def test_a_browser_shows_all_pictures_without_sideways_scrolling(tmp_path: Path, chromium: str, width: int) -> None:
    from matplotlib.image import imread

    run = write_run(tmp_path / "run", evaluation(0.05, 0.02, 0.08))
    page, shot, size = write_page(run), tmp_path / "shot.png", f"--window-size={width},9000"
    browse(chromium, tmp_path / "profile", size, f"--screenshot={shot}", page.as_uri())
    pixels = imread(str(shot))[..., :3]
    assert pixels.shape[1] == width
    for colour in ((1, 0, 1), (0, 1, 1), (1, 1, 0), (0, 1, 0)):
        assert np.abs(pixels - colour).max(2).min() < 0.02, f"the picture of colour {colour} is not on the screen"
    assert width_needed(chromium, tmp_path / "profile", page, width) == width, "wider than the screen"


def test_the_demo_does_not_write_into_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="Name another folder"):
        demo(tmp_path / "file", participants=4, days=1, windows=5_000, processes=1)
