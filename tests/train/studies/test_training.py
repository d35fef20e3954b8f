"""Losses, heads and training of the UTD-MHAD study, on small made trials; and its command from start to end."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bench.command import ROOT, module
from bench.utd_mhad.least_steps import course
from bench.utd_mhad.least_steps import table as steps_table
from bench.utd_mhad.results import binomial, curve_table, interval, picture, table
from bench.utd_mhad.rows import Lengths, Study
from pipeline.errors import UserError
from pipeline.pages.figures import png
from train.labelled.paired import PairedTrials, write_paired
from train.studies.utd_mhad import training
from train.studies.utd_mhad.inertial import InertialEncoder
from train.studies.utd_mhad.label_curve import draw_labelled
from train.studies.utd_mhad.networks import Encoders
from train.studies.utd_mhad.training import (
    CMC,
    SIMCLR,
    batches,
    cmc_loss,
    features_of,
    measure_batch_norm,
    nt_xent,
    pretrain,
    train_supervised,
)
from train.studies.utd_mhad.trials import TRAINING_PEOPLE, read_split


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three actions of four people, four times each: waves of another rate for each action, in noise."""
    random = np.random.default_rng(0)
    y = [(action, person, trial) for person in "1234" for action in ("slow", "middle", "fast") for trial in range(1, 5)]
    rate_N = np.array([{"slow": 1, "middle": 3, "fast": 9}[action] for action, _, _ in y])
    wave_NT = np.sin(2 * np.pi * rate_N[:, None] * np.arange(50) / 50 + random.uniform(0, 6, (len(y), 1)))

    def waves(*each: int) -> NDArray[np.float32]:
        amplitude = random.uniform(0.5, 1, each)
        return (np.multiply.outer(wave_NT, amplitude) + random.normal(0, 0.05, (*wave_NT.shape, *each)) + 1).astype(
            np.float32
        )

    actions, people, trials = (np.array(column) for column in zip(*y, strict=True))
    skeleton = waves(20, 3) + random.uniform(-1, 1, (20, 3)).astype(np.float32)
    folder = tmp_path_factory.mktemp("study") / "paired"
    write_paired(
        folder, PairedTrials({"inertial": waves(6), "skeleton": skeleton}, actions, people, trials), "a test", {}
    )
    return folder


def unit_rows(z_VD: NDArray[np.float64]) -> NDArray[np.float64]:
    return z_VD / np.linalg.norm(z_VD, axis=1, keepdims=True)


def test_cmc_against_plain_numpy() -> None:
    one, other = np.random.default_rng(1).normal(size=(2, 7, 5))
    logit = np.exp(unit_rows(one) @ unit_rows(other).T / 0.1)
    diagonal = np.diag(logit)
    expected = (-np.log(diagonal / logit.sum(1)) - np.log(diagonal / logit.sum(0))).mean() / 2
    found = cmc_loss(torch.from_numpy(one), torch.from_numpy(other), 0.1)
    assert found.item() == pytest.approx(expected, abs=1e-10)


def test_nt_xent_against_plain_numpy() -> None:
    z = np.random.default_rng(2).normal(size=(8, 5))
    logit = np.exp(unit_rows(z) @ unit_rows(z).T / 0.5)
    np.fill_diagonal(logit, 0)
    expected = np.mean([-np.log(logit[i, (i + 4) % 8] / logit[i].sum()) for i in range(8)])
    assert nt_xent(torch.from_numpy(z), 0.5).item() == pytest.approx(expected, abs=1e-10)


def test_batches_hold_every_trial_once() -> None:
    found = list(batches(431, 64))
    assert torch.equal(torch.cat(found).sort().values, torch.arange(431))
    assert {len(batch) for batch in found} == {61, 62}


def test_people_are_split(paired: Path, tmp_path: Path) -> None:
    split = read_split(paired)
    assert split.classes == ("fast", "middle", "slow")
    assert (len(split.training), len(split.test)) == (24, 24)
    assert set(split.training.person_N.tolist()) == {0, 2}
    assert set(split.test.person_N.tolist()) == {1, 3}
    assert split.test.x["skeleton"].shape == (24, 50, 20, 3)

    def refused(chosen: list[int], match: str, steps: int = 50) -> None:
        all_x = {"inertial": (48, steps, 6), "skeleton": (48, steps, 20, 3)}
        x = {name: np.zeros(shape, np.float32)[chosen] for name, shape in all_x.items()}
        y, pid = (np.load(paired / f"{name}.npy")[chosen] for name in ("Y", "pid"))
        write_paired(tmp_path / "part", PairedTrials(x, y, pid, np.ones(len(y), np.int64)), "a test", {})
        with pytest.raises(UserError, match=match):
            read_split(tmp_path / "part")

    assert TRAINING_PEOPLE == ("1", "3", "5", "7")
    refused(list(range(12)), "found only one")
    refused([0, *range(12, 24)], "none of: fast, middle")
    refused(list(range(48)), "--steps 50", steps=30)


@pytest.mark.parametrize("name", ["inertial", "skeleton", "cmc"])
def test_pretraining_is_repeatable(paired: Path, name: str) -> None:
    trials, settings = read_split(paired).training, CMC if name == "cmc" else SIMCLR[name]
    runs = []
    for _ in range(2):
        torch.manual_seed(4)
        losses: list[float] = []
        encoders = pretrain(settings, trials, 1, lambda _, loss, kept=losses: kept.append(loss))  # type: ignore[misc]
        assert not encoders.training
        runs.append((losses, torch.cat(features_of(encoders, trials), 1)))
    assert runs[0][0] == runs[1][0]
    assert torch.equal(runs[0][1], runs[1][1])


@pytest.mark.parametrize(("name", "epochs"), [("inertial", 16), ("skeleton", 4), ("cmc", 4)])
def test_pretraining_lowers_the_loss(paired: Path, name: str, epochs: int) -> None:
    """Views of the inertial sensor differ so much that the loss rises at first."""
    torch.manual_seed(4)
    losses: list[float] = []
    settings = CMC if name == "cmc" else SIMCLR[name]
    pretrain(settings, read_split(paired).training, epochs, lambda _, loss: losses.append(loss))
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_supervised_training_learns_and_stops_early(paired: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one batch an epoch, the least number of steps is one of epochs."""
    monkeypatch.setattr(training, "LEAST_STEPS", 60)
    split = read_split(paired)
    torch.manual_seed(0)
    epochs: list[int] = []
    encoders, classifier = train_supervised(
        ("skeleton",), split.training, 3, 90, lambda epoch, loss: epochs.append(epoch)
    )
    assert 60 <= len(epochs) < 90
    with torch.inference_mode():
        right = classifier(features_of(encoders, split.test)).argmax(1) == split.test.y_N
    assert right.float().mean() > 0.8


def test_the_course_of_training_is_that_of_supervised_training(paired: Path) -> None:
    split = read_split(paired)
    torch.manual_seed(0)
    found = course(split.training, split.test, 3, epochs=2)
    torch.manual_seed(0)
    encoders, classifier = train_supervised(("skeleton",), split.training, 3, 2, lambda *_: None)
    with torch.inference_mode():
        right = classifier(features_of(encoders, split.test)).argmax(1) == split.test.y_N
        measure_batch_norm(encoders, split.training)
        measured = classifier(features_of(encoders, split.test)).argmax(1) == split.test.y_N
    assert found[-1] == pytest.approx((right.float().mean().item(), measured.float().mean().item()))
    assert steps_table({"1": found}, 7)[-1].startswith("| 14 | ")


def test_random_networks_get_the_statistics_of_the_trials(paired: Path) -> None:
    trials = read_split(paired).training
    torch.manual_seed(0)
    encoders = Encoders(("inertial",))
    encoder = encoders.each["inertial"]
    assert isinstance(encoder, InertialEncoder)
    before = encoder.convolutions[0](trials.x["inertial"].transpose(1, 2))
    measure_batch_norm(encoders, trials)
    norm = encoder.convolutions[1]
    torch.testing.assert_close(norm.running_mean, before.mean((0, 2)).detach(), atol=1e-5, rtol=1e-5)
    assert not any(module.training for module in encoders.modules())


def test_labelled_trials_are_drawn_by_class() -> None:
    y_N = torch.arange(5).repeat_interleave(16)[:-1]  # 15 of the last class
    for share, each in ((0.01, [1] * 5), (0.1, [1] * 5), (0.25, [4, 4, 4, 4, 3]), (0.5, [8, 8, 8, 8, 7])):
        draws = draw_labelled(y_N, share, 10, seed=1)
        assert draws.shape == (10, sum(each))
        for draw in draws:
            assert draw.unique().numel() == len(draw)
            assert y_N[draw].bincount().tolist() == each
        assert draws.unique(dim=0).shape[0] == 10
        assert torch.equal(draws, draw_labelled(y_N, share, 10, seed=1))


def test_intervals() -> None:
    low, high = binomial(0.94, 430)
    assert [low, high] == pytest.approx([0.913, 0.959], abs=0.002)
    assert interval([3.0]) == (3.0, 3.0, 3.0)
    mean, low, high = interval([1.0, 2.0, 3.0])
    assert (mean, high - mean, mean - low) == pytest.approx((2, 4.303 / 3**0.5, 4.303 / 3**0.5), abs=1e-3)


def test_cells_resume_and_make_table_and_picture(paired: Path, tmp_path: Path) -> None:
    lengths = Lengths(simclr=1, cmc=1, supervised=1, head=2, repeats=2)
    study = Study(read_split(paired), lengths, tmp_path)
    names = ["skeleton-supervised", "cmc", "fusion"]
    cells = {name: [study.cell(0, name)] for name in names}
    assert cells["cmc"][0]["trials"] == 24
    assert len(cells["cmc"][0]["by_person"]) == 2
    assert [len(cells["cmc"][0]["curve"][share]["accuracies"]) for share in ("0.01", "0.5")] == [2, 2]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "seed-0").iterdir()}
    gone = tmp_path / "seed-0" / "fusion.json"
    gone.unlink()
    again = {name: [study.cell(0, name)] for name in names}
    assert [path for path, time in written.items() if path.stat().st_mtime_ns != time] == [gone]
    assert again["fusion"][0] == {**cells["fusion"][0], "cpu_minutes": again["fusion"][0]["cpu_minutes"]}
    assert table(cells)[-1].startswith("| both, fusion of the two SimCLR | 94.88 |")
    assert "| both, CMC | 2 |" in curve_table(cells)[2]
    assert png(picture(cells)).startswith(b"\x89PNG")
    longer = Study(study.split, replace(lengths, head=3), tmp_path)
    longer.cell(0, "cmc")
    assert [path.name for path, time in written.items() if path.stat().st_mtime_ns != time] == ["cmc.json", gone.name]


def test_the_command(paired: Path, tmp_path: Path) -> None:
    flags = ["--rows", "skeleton-random", "--head", 2, "--repeats", 2, "--out", tmp_path]
    done = subprocess.run(
        module("bench.utd_mhad", "--paired", paired, *flags), cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "| skeleton, random weights |" in done.stdout
    assert (tmp_path / "utd_mhad.png").exists()
    assert (tmp_path / "table.md").read_text() in done.stdout
    wrong = module("bench.utd_mhad", "--paired", tmp_path, "--out", tmp_path)
    refused = subprocess.run(wrong, cwd=ROOT, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "persondays labelled utd-mhad" in refused.stderr
    assert "Traceback" not in refused.stderr
