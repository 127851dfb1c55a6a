"""How long an answer counts, whatever keeps it."""

from __future__ import annotations

import random

import pytest

from serving.caches import KEPT_MS, MEMORY_MS, Answer, Memory

KEY = ("m", "1", "match", "LCK/1")


def answer(made: int, live_ms: int | None = None, cost: float = 0.0) -> Answer:
    return Answer({"probability": 0.5}, made, made, cost, live_ms, {})


def test_an_answer_is_fresh_for_half_a_minute_and_kept_for_five() -> None:
    memory = Memory()
    memory.put(KEY, answer(1_000))
    assert memory.fresh(KEY, 1_000 + MEMORY_MS - 1) is not None
    assert memory.fresh(KEY, 1_000 + MEMORY_MS) is None
    assert memory.kept(KEY, 1_000 + KEPT_MS) is not None
    assert memory.kept(KEY, 1_001 + KEPT_MS) is None


def test_an_answer_about_a_match_that_is_played_counts_for_the_budget_only() -> None:
    memory = Memory()
    memory.put(KEY, answer(1_000, live_ms=500))
    assert memory.fresh(KEY, 1_499) is not None
    assert memory.fresh(KEY, 1_500) is None


def test_another_version_has_another_answer() -> None:
    memory = Memory()
    memory.put(KEY, answer(1_000))
    assert memory.fresh(("m", "2", *KEY[2:]), 1_001) is None


def test_an_older_answer_does_not_take_the_place_of_a_newer_one() -> None:
    memory = Memory()
    memory.put(KEY, answer(2_000))
    memory.put(KEY, answer(1_000))
    found = memory.kept(KEY, 2_000)
    assert found is not None and found.made_ms == 2_000


def test_the_oldest_go_first_when_there_are_too_many() -> None:
    memory = Memory(most=3)
    keys = [("m", "1", "match", str(number)) for number in range(5)]
    for key in keys:
        memory.put(key, answer(1_000))
    assert [memory.kept(key, 1_000) is not None for key in keys] == [False, False, True, True, True]
    assert len(memory) == 3


def test_an_answer_that_was_costly_is_refreshed_early_by_some(monkeypatch: pytest.MonkeyPatch) -> None:
    costly, almost_over = answer(0, cost=100.0), MEMORY_MS - 100
    for chance, fresh in ((0.1, True), (0.9, False)):
        monkeypatch.setattr(random, "random", lambda chance=chance: chance)
        assert costly.fresh(almost_over, MEMORY_MS) is fresh
