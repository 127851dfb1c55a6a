from __future__ import annotations

import numpy as np
import pytest

from models.win_probability.data import Corpus, at_minutes, sampled, split_of
from models.win_probability.features import FEATURES


def corpus() -> Corpus:
    """Two matches: one won by red with four states, one won by blue with two."""
    clock = np.array([0, 65_000, 70_000, 130_000, 0, 179_000])
    matrix = np.zeros((6, len(FEATURES)), np.float32)
    matrix[:, 0] = clock
    return Corpus(
        matrix=matrix,
        match=np.array([0, 0, 0, 0, 1, 1]),
        clock_ms=clock,
        won=np.array([0, 1]),
        end_ms=np.array([240_000, 180_000]),
        season=np.array(["2016 Spring", "2017 Summer"]),
        before=np.full((2, 3), np.nan),
        ids=np.array(["LCK/1", "LCK/2"]),
        sha256="",
        events=8,
        excluded={},
    )


@pytest.mark.parametrize(
    ("season", "split"),
    [
        ("2014 Summer", "train"),
        ("2016 Summer", "train"),
        ("2017 Spring", "validation"),
        ("2017 Summer", "test"),
        ("2017 Winter", None),
        ("2018 Spring", None),
        ("Spring", None),
        (None, None),
    ],
)
def test_splits_are_by_time(season: str | None, split: str | None) -> None:
    assert split_of(season) == split


def test_no_match_is_in_two_splits() -> None:
    assert corpus().matches("train").tolist() == [0]
    assert corpus().matches("validation").tolist() == []
    assert corpus().matches("test").tolist() == [1]


def test_sampling_takes_the_last_state_of_each_minute_in_which_something_happened() -> None:
    states = sampled(corpus(), np.array([0]))
    assert states.matrix[:, 0].tolist() == [0, 70_000, 130_000]
    assert states.minute.tolist() == [0, 1, 2]
    assert states.won.tolist() == [0, 0, 0]


def test_each_minute_holds_every_running_match_with_its_newest_state_and_none_of_the_future() -> None:
    states = at_minutes(corpus(), np.array([0, 1]))
    assert states.minute.tolist() == [1, 2, 3, 1, 2]
    assert states.match.tolist() == [0, 0, 0, 1, 1]
    assert states.matrix[:, 0].tolist() == [0, 70_000, 130_000, 0, 0]
    assert (states.matrix[:, 0] <= states.minute * 60_000).all()
