"""Streaming: samples in pieces of any size give the features of the whole recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.numerics.resample import UNITY, design, resample_windows
from tests.train.export.test_export import hub, state, trained
from train.export.folder import write_export
from train.export.streaming import Resampler, Streaming, taps
from train.labelled.wisdm import find_files, read_samples
from train.networks.weights import load_model

CLOSE: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "model"
    write_export(trained("harnet5"), state("harnet5"), out, "checkpoint")
    return out


def recording(rate_hz: float, seconds: float) -> NDArray[np.float32]:
    """Gravity that turns, with movement and noise, float32 (samples, 3)."""
    random = np.random.default_rng(3)
    time_N = np.arange(round(seconds * rate_hz)) / rate_hz
    angle_N = 0.3 * time_N
    x_NC = np.stack((np.cos(angle_N), np.sin(angle_N), 0.4 * np.sin(2 * np.pi * 1.7 * time_N)), 1)
    return (x_NC + 0.05 * random.standard_normal(x_NC.shape)).astype(np.float32)


def streamed(stream: Streaming, samples_NC: NDArray[np.float32], seed: int) -> list[tuple[float, Tensor]]:
    """Push in pieces of random sizes, also none."""
    random, found, first = np.random.default_rng(seed), [], 0
    while first < len(samples_NC):
        size = int(random.choice([0, 1, 7, 100, 1_000]))
        found += stream.push(samples_NC[first : first + size])
        first += size
    return [(each.start_s, each.vector_F) for each in found]


def whole(model: Path, samples_NC: NDArray[np.float32], rate_hz: float, hop: int) -> list[tuple[float, Tensor]]:
    """The features of windows of the whole recording, resampled at once by the code that ingests."""
    network, ticks = load_model(model), int(len(samples_NC) * 30 / rate_hz)
    x_CT = torch.from_numpy(resample_windows(samples_NC.T[None], rate_hz, ticks)[0])
    starts = list(range(0, ticks - network.ticks + 1, hop))
    with torch.inference_mode():
        vectors = network(torch.stack([x_CT[:, start : start + network.ticks] for start in starts])).flatten(1)
    return [(start / 30, vector_F) for start, vector_F in zip(starts, vectors, strict=True)]


@pytest.mark.parametrize("rate_hz", [12.5, 25.0, 30.0, 50.0, 99.7, 100.0, 256.0])
def test_filters_are_those_of_ingest(rate_hz: float) -> None:
    difference = np.abs(taps(rate_hz).numpy() * UNITY - design(rate_hz, "bandlimited").taps_PL)
    assert difference.max() <= 1, "a tap on the edge of rounding may differ by one"
    assert (difference > 0.5).mean() < 0.01


@pytest.mark.parametrize(("rate_hz", "hop_s"), [(100.0, None), (50.0, 1.0), (31.25, 2.5), (30.0, 0.1), (20.0, 7.0)])
def test_any_pieces_give_the_features_of_the_whole(exported: Path, rate_hz: float, hop_s: float | None) -> None:
    samples_NC = recording(rate_hz, 23)
    stream = hub_streaming(exported, rate_hz, hop_s)
    expected = whole(exported, samples_NC, rate_hz, stream.hop)
    for seed in (0, 1):
        stream.reset()
        found = streamed(stream, samples_NC, seed)
        assert len(expected) - 1 - int(1 / (hop_s or 5)) <= len(found) <= len(expected), "the last need later samples"
        assert len(found) >= 2
        for (start_s, vector_F), (expected_s, expected_F) in zip(found, expected, strict=False):
            assert start_s == expected_s
            torch.testing.assert_close(vector_F, expected_F, **CLOSE)


def hub_streaming(model: Path, rate_hz: float, hop_s: float | None) -> Streaming:
    made: Any = torch.hub.load(str(model), "streaming", source="local", rate_hz=rate_hz, hop_s=hop_s)
    return made


def test_real_samples_as_they_come(exported: Path, real_data: Path) -> None:
    samples = read_samples(find_files(real_data / "labelled" / "wisdm_watch")[0])
    samples_NC = np.ascontiguousarray(samples.x_CN.T[:1_000], np.float32)
    found = streamed(hub_streaming(exported, 20.0, 1.0), samples_NC, 0)
    expected = whole(exported, samples_NC, 20.0, 30)
    assert len(found) >= 40
    for (_, vector_F), (_, expected_F) in zip(found, expected, strict=False):
        torch.testing.assert_close(vector_F, expected_F, **CLOSE)


def test_a_long_stream_holds_little_and_stays_in_time(exported: Path) -> None:
    resampler = Resampler(100.0)
    for _ in range(400):
        resampler.push(torch.from_numpy(recording(100.0, 10)))
        assert resampler.held_CN.shape[1] < 200
    assert abs(resampler.tick - 400 * 300) < 30
    steady = Streaming(torch.nn.Flatten(), 150, 100.0, hop_s=60.0)
    starts = [each.start_s for _ in range(40) for each in steady.push(np.ones((1_000, 3)))]
    assert starts == [0.0, 60.0, 120.0, 180.0, 240.0, 300.0, 360.0]


def test_a_classifier_can_stream(exported: Path) -> None:
    network = hub(exported, "harnet5", pretrained=True, class_num=4).eval()
    samples_NC = recording(100.0, 12)
    (first, second) = Streaming(network, 150, 100.0, 5.0).push(samples_NC)
    assert (first.start_s, second.start_s) == (0.0, 5.0)
    assert first.vector_F.shape == (4,)


def test_what_does_not_fit_is_refused(exported: Path) -> None:
    network = load_model(exported)
    for rate_hz in (5.0, float("nan"), 1e6):
        with pytest.raises(ValueError, match="rate_hz: expected 10 to 10,000"):
            Streaming(network, 150, rate_hz)
    for hop_s in (0.0, 0.05, -1.0):
        with pytest.raises(ValueError, match="hop_s: expected a multiple of 1/30 s"):
            Streaming(network, 150, 100.0, hop_s)
    stream = Streaming(network, 150, 100.0)
    with pytest.raises(ValueError, match="found \\(3, 100\\)"):
        stream.push(np.zeros((3, 100)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        stream.push(np.full((10, 3), np.nan))
