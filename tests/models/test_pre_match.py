from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.win_probability import flow, pre_match
from models.win_probability.pre_match import INPUTS, MatchContext, Side

TEAM = {
    "games": 10,
    "wins": 8,
    "form": 0.9,
    "kills_mean": 15.0,
    "deaths_mean": 9.0,
    "towers_mean": 8.0,
    "towers_lost_mean": 3.0,
    "dragons_mean": 3.0,
    "barons_mean": 1.0,
    "gold_diff_mean": 4000.0,
}
WEAK = TEAM | {"wins": 2, "form": 0.1, "kills_mean": 8.0, "towers_mean": 2.0, "gold_diff_mean": None}
PLAYER = {"games": 10, "wins": 7, "kills_mean": 4.0, "deaths_mean": 1.5, "assists_mean": 6.0}
CHAMPION = {"picks": 40, "wins": 26}


def strong() -> Side:
    return Side(TEAM, [PLAYER] * 5, [CHAMPION] * 5)


def fitted() -> pre_match.PreMatch:
    weights = dict.fromkeys(INPUTS, 0.1)
    return pre_match.PreMatch("1", 0.2, weights, ["2016 Spring"], 10.0)


def test_sides_that_change_places_change_the_signs() -> None:
    weak = Side(WEAK, [PLAYER | {"wins": 1, "kills_mean": 1.0}] * 5, [CHAMPION | {"wins": 14}] * 5)
    one, other = pre_match.inputs([MatchContext(strong(), weak), MatchContext(weak, strong())])
    np.testing.assert_allclose(one, -other)
    known = dict(zip(INPUTS, one, strict=True))
    assert all(
        value > 0
        for name, value in known.items()
        if name not in ("team_monsters", "team_games", "head_to_head")
    )
    assert np.isnan(known["head_to_head"])


def test_nothing_known_is_no_estimate_and_something_is() -> None:
    found = pre_match.inputs([MatchContext(), MatchContext(blue=strong()), MatchContext(strong(), strong())])
    said = fitted().log_odds(found)
    assert np.isnan(said[0])
    assert said[1] > 0.2
    assert said[2] == pytest.approx(0.2)


def test_unknown_part_of_a_form_adds_nothing() -> None:
    context = MatchContext(Side(TEAM | {"gold_diff_mean": None}), Side(WEAK))
    parts = dict(zip(INPUTS, fitted().parts(pre_match.inputs([context]))[0], strict=True))
    assert parts["team_gold"] == 0 and parts["draft"] == 0 and parts["team_wins"] > 0


def test_few_games_say_less_than_many() -> None:
    few = MatchContext(Side(TEAM | {"games": 1, "wins": 1}), Side())
    many = MatchContext(Side(TEAM | {"games": 20, "wins": 20}), Side())
    wins = pre_match.inputs([few, many])[:, list(INPUTS).index("team_wins")]
    assert 0 < wins[0] < wins[1]


def test_regression_finds_what_was_put_in_and_comes_back_from_its_file(tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    found = random.normal(size=(20_000, len(INPUTS)))
    found[random.random(found.shape) < 0.1] = np.nan
    true = np.linspace(-0.5, 0.5, len(INPUTS))
    won = random.random(len(found)) < 1 / (1 + np.exp(-0.3 - np.nan_to_num(found) @ true))
    seasons = np.full(len(found), "2016 Spring")
    model = pre_match.fit(found, won.astype(np.int64), seasons, "4", penalty=1.0)
    np.testing.assert_allclose(list(model.weights.values()), true, atol=0.06)
    assert model.intercept == pytest.approx(0.3, abs=0.05)
    pre_match.save(model, tmp_path)
    assert pre_match.load(tmp_path) == model


def states(count: int = 60_000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """States in which the prior fades and the live evidence grows with the clock."""
    random = np.random.default_rng(9)
    clock = random.uniform(0, 45, count) * 60_000
    live, before = random.normal(size=(2, count))
    fading = np.interp(clock / 60_000, (0, 40), (1.0, 0.2))
    won = random.random(count) < 1 / (1 + np.exp(-fading * before - (1.2 - fading) * live))
    return live, before, clock, won.astype(np.int64)


def test_flow_finds_how_much_each_counts_at_each_minute(tmp_path: Path) -> None:
    live, before, clock, won = states()
    found = flow.fit(live, before, clock, won, ["2016 Spring"], "2")
    np.testing.assert_allclose(found.before, np.interp(found.knots, (0, 40), (1.0, 0.2)), atol=0.12)
    np.testing.assert_allclose(found.live, np.interp(found.knots, (0, 40), (0.2, 1.0)), atol=0.12)
    flow.save(found, tmp_path)
    assert flow.load(tmp_path) == found


def test_flow_leaves_the_live_estimate_alone_where_nothing_is_known_before() -> None:
    live, before, clock, won = states(5000)
    found = flow.fit(live, before, clock, won, ["2016 Spring"], "2")
    unknown = np.full(len(live), np.nan)
    np.testing.assert_array_equal(found(live, unknown, clock), live)
    half = np.where(np.arange(len(live)) % 2, before, np.nan)
    np.testing.assert_array_equal(found(live, half, clock)[::2], live[::2])


def test_flow_does_not_jump_as_the_clock_goes_on() -> None:
    live, before, clock, won = states(5000)
    found = flow.fit(live, before, clock, won, ["2016 Spring"], "2")
    moments = np.arange(0, 50 * 60_000, 1000)
    said = found(np.full(len(moments), 1.0), np.full(len(moments), -1.0), moments)
    assert np.abs(np.diff(said)).max() < 0.01
