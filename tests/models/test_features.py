from __future__ import annotations

import numpy as np
import pytest

from models.win_probability.features import FEATURES, mirror, mirrored, monotone
from streams.schemas import for_topic
from tests import recompute


def test_every_feature_is_a_number_of_match_features() -> None:
    fields = {field.name: field for field in for_topic("match-features").fields}
    assert len(set(FEATURES)) == len(FEATURES)
    for name in FEATURES:
        assert fields[name].type in ("int", "long", "double"), name
        assert fields[name].logical == "", f"{name} is a time of day, which says nothing about a match"


@pytest.mark.parametrize("name", ["match_id", "event_time", "source_offset", "flink_time", "events"])
def test_nothing_that_tells_the_match_or_the_log_is_a_feature(name: str) -> None:
    assert name not in FEATURES


def test_constraints_turn_round_with_the_sides() -> None:
    for name in FEATURES:
        other, sign = mirrored(name)
        assert other in FEATURES
        assert monotone(other) * sign == -monotone(name), name
    assert {name for name in FEATURES if "_diff" in name} <= {n for n in FEATURES if monotone(n) == 1}


def test_mirror_is_what_the_oracle_says_of_a_match_with_the_sides_changed() -> None:
    from tests.test_recompute import building, gold, kill, match, monster, start, tick

    def vectors(first: str, second: str) -> np.ndarray:
        def snapshot(clock: int, ours: int, theirs: int) -> dict[str, object]:
            return gold(clock, ours, theirs) if first == "blue" else gold(clock, theirs, ours)

        events = match(
            start(),
            snapshot(60_000, 500, 400),
            kill(61_000, first),
            kill(62_000, second),
            kill(63_000, first),
            monster(400_000, second, "DRAGON", "AIR_DRAGON"),
            building(500_000, second),
            building(1_300_000, first, "INHIBITOR"),
            monster(1_350_000, first, "BARON_NASHOR"),
            snapshot(1_380_000, 1000, 1200),
            tick(1_400_000),
        )
        states = recompute.match_features(events)
        return np.array([[s[name] for name in FEATURES] for s in states], dtype=np.float32)

    np.testing.assert_array_equal(mirror(vectors("blue", "red")), vectors("red", "blue"))


def test_mirroring_twice_changes_nothing() -> None:
    rows = np.random.default_rng(0).normal(size=(5, len(FEATURES))).astype(np.float32)
    np.testing.assert_array_equal(mirror(mirror(rows)), rows)
