from __future__ import annotations

import numpy as np
import pytest

from models.player_props import contract
from models.player_props.contract import FEATURES, NAMES, OUTPUTS, PlayerContext, Prop
from models.player_props.distribution import NegativeBinomial
from models.player_props.series import over_series

COUNT = 60_000


class Known:
    """Adjustments that are easy to tell from one another."""

    def champion(self, name: str | None, stat: str) -> float:
        return 0.0 if name is None else {"kills": 0.1, "deaths": 0.2, "assists": 0.3}[stat]

    def league(self, name: str | None) -> float | None:
        return None if name is None else 0.4

    def meta(self, scope: str | None, stat: str) -> float:
        return 0.0 if scope is None else {"kills": 0.5, "assists": 0.6}[stat]


def some_outputs(rows: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    return {name: random.uniform(0.2, 3, (rows, 2)).astype(np.float32) for name in OUTPUTS}


def test_vector_holds_each_input_under_its_name() -> None:
    context = PlayerContext(
        role="mid",
        player_form={"games": 7, "kills_mean": 3.5, "deaths_mean": None},
        team_form={"form": 0.6, "duration_mean_ms": 1_800_000.0},
        opponent_form={"form": 0.3, "duration_mean_ms": 2_400_000.0},
        champion="Azir",
        league="LCK",
        scope="2017 Summer",
        side="blue",
        win_probability=0.7,
        clock_ms=90_000,
        kills=1,
        team_kills=4,
    )
    row = dict(zip(NAMES, contract.vectors([context, PlayerContext()], Known())[0].tolist(), strict=True))
    expected = {
        "player_games": 7,
        "player_kills_mean": 3.5,
        "team_form": 0.6,
        "opponent_form": 0.3,
        "expected_minutes": 35,
        "league_pace": 0.4,
        "role": 2,
        "blue": 1,
        "clock_minutes": 1.5,
        "kills": 1,
        "deaths": 0,
        "team_kills": 4,
        "win_probability": 0.7,
        "champion_assists": 0.3,
        "meta_assists": 0.6,
    }
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert np.isnan(row["player_deaths_mean"])
    assert len(set(NAMES)) == len(NAMES) and all(feature.doc for feature in FEATURES)


def test_player_of_whom_nothing_is_known_has_a_vector_too() -> None:
    row = contract.vectors([PlayerContext()], Known())[0]
    unknown = {name for name, value in zip(NAMES, row, strict=True) if np.isnan(value)}
    assert {"player_games", "team_form", "role", "blue", "win_probability", "league_pace"} <= unknown
    assert unknown.isdisjoint({"clock_minutes", "kills", "champion_kills", "meta_kills"})


def test_prop_mixes_the_outcomes_by_the_win_probability_and_adds_what_is_counted() -> None:
    contexts = [PlayerContext(win_probability=p, kills=2, deaths=1, assists=5) for p in (0.0, 0.25, 1.0)]
    matrix, outputs = contract.vectors(contexts, Known()), some_outputs(3)
    props = contract.distributions(matrix, outputs)
    assert set(props) == set(contract.STATS)
    kills = props["kills"].overall
    lost, won = outputs["kills_mean"].T
    np.testing.assert_allclose(kills.mean, 2 + np.array([lost[0], 0.75 * lost[1] + 0.25 * won[1], won[2]]))
    assert (kills.cdf(1) == 0).all()
    certain = NegativeBinomial.of(won[2:], outputs["kills_dispersion"][2:, 1], start=2)
    assert kills.over(3.5)[2] == pytest.approx(certain.over(3.5)[0])
    expected = sum(props[stat].overall.mean * points for stat, points in contract.FANTASY.items())
    np.testing.assert_allclose(props["fantasy"].overall.mean, expected, atol=1e-5)


def test_unknown_win_probability_is_one_half() -> None:
    matrix, outputs = contract.vectors([PlayerContext()], Known()), some_outputs(1)
    assert contract.distributions(matrix, outputs)["deaths"].win_probability == [0.5]


def test_series_is_what_playing_it_gives() -> None:
    """Many series are drawn map by map; the counts that come out are those that the sums say."""
    random = np.random.default_rng(11)
    win = np.array([0.65])
    prop = Prop(NegativeBinomial.of([1.5], 0.3), NegativeBinomial.of([4.0], 0.1), win)
    won = random.random((3, COUNT)) < win[0]
    lambdas = np.where(
        won, random.gamma(1 / 0.1, 0.1 * 4.0, (3, COUNT)), random.gamma(1 / 0.3, 0.3 * 1.5, (3, COUNT))
    )
    counts = random.poisson(lambdas)
    counts[2] *= won[0] != won[1]
    series = over_series(prop)
    assert series.third_map == pytest.approx(2 * 0.65 * 0.35)
    assert (won[0] != won[1]).mean() == pytest.approx(series.third_map[0], abs=0.01)
    for place, said in enumerate(series.maps):
        drawn = counts[: place + 1].sum(axis=0)
        assert said.mean == pytest.approx(drawn.mean(), rel=0.02)
        for line in (2.5, 5, 8.5):
            assert said.over(line) == pytest.approx((drawn > line).mean(), abs=0.01)
