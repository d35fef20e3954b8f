"""The counter-based generator: known answers, ranges, moments, and dependence on the window only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from train.objectives import ObjectiveSettings, make_objective
from train.random import MASK, Purpose, WindowRandom, philox, philox_in_torch, round_key, to_uniform, words

WORD = st.integers(0, MASK)

KNOWN_ANSWERS = [  # Random123 1.14, kat_vectors, philox4x32 10
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def windows(count: int, seed: int = 7) -> WindowRandom:
    index = torch.arange(count)
    return WindowRandom.of(seed, index % 64, index // 1000, index * 31 % 5000, index * 17 % 86400)


def tensors(values: list[int]) -> Any:
    return tuple(torch.tensor(value) for value in values)


def plain_philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x32-10 in Python's own integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        high0, low0 = divmod(c0 * 0xD2511F53, 2**32)
        high1, low1 = divmod(c2 * 0xCD9E8D57, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_published_answers(counter: str, key: str, answer: str) -> None:
    counter_words, key_words, expected = ([int(word, 16) for word in text.split()] for text in (counter, key, answer))
    assert [int(word) for word in philox(tensors(counter_words), tensors(key_words))] == expected


@given(st.lists(WORD, min_size=4, max_size=4), st.lists(WORD, min_size=2, max_size=2))
def test_philox_equals_plain_integers(counter: list[int], key: list[int]) -> None:
    for made in (philox, philox_in_torch):
        assert [int(word) for word in made(tensors(counter), tensors(key))] == plain_philox(counter, key)


def test_numbers_drawn_together_are_those_drawn_one_by_one() -> None:
    """Fewer numbers than were drawn, other purposes and other views are as before; a part is that of the whole."""
    random = windows(50)
    drawn = random.together(
        {Purpose.WARP: 18, Purpose.JITTER: 901, Purpose.AXES: 1}, [Purpose.REVERSAL, Purpose.WARP], views=(0, 2)
    )
    for view in (0, 1, 2):
        one, together = random.of_view(view), drawn.of_view(view)
        for purpose, count in ((Purpose.WARP, 18), (Purpose.WARP, 5), (Purpose.WARP, 40), (Purpose.MASK, 5)):
            assert torch.equal(together.uniform(purpose, count), one.uniform(purpose, count))
            assert torch.equal(together.normal(purpose, count), one.normal(purpose, count))
        assert torch.equal(together.uniform(Purpose.JITTER, 901), one.uniform(Purpose.JITTER, 901))
        for purposes in ([Purpose.WARP, Purpose.REVERSAL], [Purpose.REVERSAL], [Purpose.SCALING, Purpose.WARP]):
            assert torch.equal(together.coins(purposes), one.coins(purposes))
    for part in drawn.split(25):
        assert not part.drawn


@pytest.mark.parametrize("settings", [ObjectiveSettings(), ObjectiveSettings("simclr")], ids=["multitask", "simclr"])
def test_the_views_of_an_objective_draw_all_their_numbers_in_one_call(
    settings: ObjectiveSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    random, calls = windows(4), []

    def counting(*given: Any) -> tuple[torch.Tensor, ...]:
        calls.append(given)
        return philox(*given)

    monkeypatch.setattr("train.random.philox", counting)
    make_objective(settings).views(torch.randn(4, 3, 300), random)
    assert len(calls) == 1


def test_philox_broadcasts() -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = [(7, 1), (1, 33), (33,), (), (7, 1), (5, 7, 1)]
    inputs = [torch.randint(0, MASK + 1, shape, generator=generator) for shape in shapes]
    compiled = philox(tuple(inputs[:4]), tuple(inputs[4:]))  # type: ignore[arg-type]
    for found, expected in zip(compiled, philox_in_torch(tuple(inputs[:4]), tuple(inputs[4:])), strict=True):  # type: ignore[arg-type]
        assert found.shape == (5, 7, 33)
        assert torch.equal(found, expected)


@given(WORD, st.integers(0, 2**40), st.integers(0, 2**63 - 1))
def test_words_are_blocks_of_philox_in_order(slot: int, round_: int, seed: int) -> None:
    key = plain_philox([3, round_ & MASK, round_ >> 32, 0], [seed & MASK, seed >> 32])[:2]
    expected = [word for block in range(3) for word in plain_philox([slot, 77, int(Purpose.WARP), block], key)]
    assert words(round_key(seed, 3, round_), slot, 77, Purpose.WARP, 10).tolist() == expected[:10]


def test_uniform_numbers_stay_strictly_inside_0_and_1() -> None:
    ends = to_uniform(torch.tensor([0, MASK]))
    assert ends.dtype == torch.float32
    assert 0 < ends[0] < 2.0**-23
    assert 1 - 2.0**-23 < ends[1] < 1


def test_uniform_and_normal_have_their_moments() -> None:
    uniform, normal = windows(4000).uniform(Purpose.DRAW, 25), windows(4000).normal(Purpose.DRAW, 25)
    root = 1e5**0.5
    assert abs(uniform.mean() - 0.5) < 4 * 12**-0.5 / root
    assert abs(uniform.var() - 1 / 12) < 4 * 180**-0.5 / root
    assert abs(normal.mean()) < 4 / root
    assert abs(normal.var() - 1) < 4 * 2**0.5 / root
    assert abs((normal**4).mean() - 3) < 4 * 96**0.5 / root
    correlation = torch.corrcoef(normal.T) - torch.eye(25)
    assert correlation.abs().max() < 5 * 4000**-0.5


def test_a_number_depends_on_its_window_alone() -> None:
    whole = windows(100)
    chosen = torch.tensor([97, 3, 50])
    part = WindowRandom(whole.key0[chosen], whole.key1[chosen], whole.slot[chosen], whole.start[chosen])
    assert torch.equal(part.uniform(Purpose.WARP, 9), whole.uniform(Purpose.WARP, 9)[chosen])
    assert torch.equal(part.uniform(Purpose.WARP, 3), whole.uniform(Purpose.WARP, 9)[chosen, :3])
    assert torch.equal(part.coins([Purpose.WARP]), whole.coins([Purpose.AXES, Purpose.WARP])[chosen, 1:])


def test_every_part_of_the_key_and_counter_changes_the_numbers() -> None:
    def number(seed: int, lane: int, round_: int, slot: int, start: int, purpose: Any) -> float:
        parts = [torch.tensor([value]) for value in (lane, round_, slot, start)]
        return WindowRandom.of(seed, *parts).uniform(purpose, 1).item()

    base = (1, 2, 3, 4, 5, Purpose.DRAW)
    others = [
        (*base[:place], Purpose.WARP if place == 5 else base[place] + 1, *base[place + 1 :]) for place in range(6)
    ]
    others += [(1 + 2**32, *base[1:]), (1, 2, 3 + 2**32, 4, 5, Purpose.DRAW), (1, 3, 2, 4, 5, Purpose.DRAW)]
    assert len({number(*arguments) for arguments in [base, *others]}) == len(others) + 1


def test_coins_are_fair_and_independent_of_each_other_and_of_the_draws() -> None:
    count = 20000
    purposes = list(Purpose)
    random = windows(count)
    coins = random.coins(purposes).numpy().astype(float)
    draws = np.concatenate([random.uniform(purpose, 2).numpy() for purpose in purposes], 1)
    assert np.abs(coins.mean(0) - 0.5).max() < 4 * 0.5 / count**0.5
    correlation = np.corrcoef(np.concatenate([coins, draws], 1).T) - np.eye(3 * len(purposes))
    assert np.abs(correlation).max() < 5 / count**0.5
