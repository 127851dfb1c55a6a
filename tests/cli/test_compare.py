"""Two versions against what happened."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from riftstream.cli.compare import FEWEST, compare
from riftstream.errors import ModelError

MODEL = "win_probability"


def said(version: str, match: str, offset: int, probability: float, **more: Any) -> dict[str, Any]:
    fields = {"model_name": MODEL, "model_version": version, "match_id": match, "request_id": None}
    place = {"source_partition": 0, "source_offset": offset, "degraded": False}
    return {**fields, **place, "probability": probability, **more}


def world(matches: int, skill: dict[str, float]) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Predictions of versions that know the winner better or worse, and the winners."""
    chance = random.Random(4)  # noqa: S311
    winners = {f"M/{n}": chance.choice(("blue", "red")) for n in range(matches)}

    def spoken() -> Iterator[dict[str, Any]]:
        for match, winner in winners.items():
            for offset in range(5):
                for version, right in skill.items():
                    sure = min(0.95, max(0.05, right + chance.gauss(0, 0.1)))
                    yield said(version, match, offset, sure if winner == "blue" else 1 - sure)

    return list(spoken()), winners


def test_the_version_that_knows_more_is_better_with_near_certainty() -> None:
    predictions, winners = world(60, {"1": 0.6, "2": 0.75})
    found = compare(MODEL, ("1", "2"), predictions, winners)
    assert (found.matches, found.moments) == (60, 300)
    assert found.better > 0.99 and found.interval[1] < 0
    assert found.brier[1] < found.brier[0]
    back = compare(MODEL, ("2", "1"), predictions, winners)
    assert back.difference == pytest.approx(-found.difference)
    assert back.better < 0.01


def test_equals_are_not_told_apart() -> None:
    predictions, winners = world(60, {"1": 0.7, "2": 0.7})
    found = compare(MODEL, ("1", "2"), predictions, winners)
    assert 0.02 < found.better < 0.98
    assert found.interval[0] < 0 < found.interval[1]


def test_only_moments_at_which_both_spoke_for_themselves_count() -> None:
    predictions, winners = world(FEWEST, {"1": 0.6, "2": 0.7})
    extra = [
        said("1", "M/0", 99, 0.0),
        said("2", "M/0", 77, 0.0, degraded=True),
        said("1", "M/0", 77, 0.0),
        said("2", "M/0", 0, 0.0, request_id="asked"),
        said("2", "M/unknown", 0, 0.0),
    ]
    assert compare(MODEL, ("1", "2"), [*predictions, *extra], winners) == compare(
        MODEL, ("1", "2"), predictions, winners
    )


def test_few_matches_say_nothing() -> None:
    predictions, winners = world(FEWEST - 1, {"1": 0.6, "2": 0.7})
    with pytest.raises(ModelError, match=f"{FEWEST - 1} matches"):
        compare(MODEL, ("1", "2"), predictions, winners)
