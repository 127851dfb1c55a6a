from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from scipy import stats

from models.artefact import ONNX, digest, load_card
from models.player_props import adjustments, choice, data, evaluate, explain, fit
from models.player_props.build import build, in_split
from models.player_props.contract import COUNTED, MODEL, NAMES, OUTPUTS, STATS, WIN
from models.player_props.distribution import NegativeBinomial
from models.player_props.model import PlayerProps, load
from models.win_probability import model as win_model
from models.win_probability.features import MODEL as WIN_MODEL
from tests.models import oracle


@functools.cache
def win() -> win_model.WinProbability:
    return win_model.load(load_card(WIN_MODEL))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of the sample."""
    folder = tmp_path_factory.mktemp("props")
    build(oracle.material(), win(), folder, source="some", win_version="3", rounds=30)
    return folder


@pytest.fixture(scope="module")
def small(built: Path) -> PlayerProps:
    return load(load_card(MODEL, built))


def rows_at(minutes: list[int]) -> data.Rows:
    games = oracle.material().games
    moments = np.array(minutes, np.int64) * data.MINUTE_MS
    return data.rows_of(games, in_split(games, "test"), adjustments.NOTHING, lambda _, __: moments)


def test_rows_count_what_happened_up_to_their_moment_and_the_rest_is_to_come() -> None:
    rows = rows_at([0, 15])
    games = oracle.material().games
    played = {match[0]["match_id"]: match for match in oracle.played()}
    for place in range(0, len(rows.won), 7):
        game = games.rows[rows.game[place]]
        until = rows.minutes[place] * data.MINUTE_MS
        kills = [
            event
            for event in played[game["match_id"]]
            if event["event_type"] == "CHAMPION_KILL" and event["game_time_ms"] <= until
        ]
        so_far = {
            "kills": sum(event.get("player_id") == game["player_id"] for event in kills),
            "deaths": sum(event.get("victim_id") == game["player_id"] for event in kills),
            "assists": sum(game["player_id"] in (event.get("assist_ids") or ()) for event in kills),
            "team_kills": sum(event.get("team") == game["side"] for event in kills),
        }
        found = dict(zip(NAMES, rows.matrix[place], strict=True))
        assert {name: found[name] for name in so_far} == so_far
        for stat in COUNTED:
            assert rows.to_come(stat)[place] == game[stat] - so_far[stat] >= 0


def test_rows_end_with_the_match_and_a_match_without_kill_events_has_its_start_alone() -> None:
    assert (rows_at([0, 119]).minutes == 0).all()
    games = oracle.material().games
    silent = data.Games(games.rows, {}, "", 0)
    found = data.rows_of(silent, np.arange(10), adjustments.NOTHING, data.judged_moments)
    assert (found.minutes == 0).all() and len(found.won) == 10


def test_same_data_and_seed_give_the_same_files(built: Path, tmp_path: Path) -> None:
    card = build(oracle.material(), win(), tmp_path, source="some", win_version="3", rounds=30)
    assert "snapshot_id" not in card["data"]
    for file in (*card["files"], "card.json", "card.md"):
        assert digest(tmp_path / file) == digest(built / file), file


def test_onnx_says_what_xgboost_says(built: Path, small: PlayerProps) -> None:
    rows = rows_at([0, 5, 12, 21, 33]).with_column("win_probability", 0.3)
    matrix = rows.matrix.copy()
    matrix[::3, WIN] = np.nan
    matrix[::2, NAMES.index("champion_kills")] = 0.2
    assert np.isnan(matrix).any()
    found = onnxruntime.InferenceSession(built / ONNX).run(OUTPUTS, {"features": matrix})
    expected = fit.predict(small.boosters, small.calibration, matrix)
    for name, values in zip(OUTPUTS, found, strict=True):
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)


def test_prop_never_says_less_than_what_was_counted_and_follows_the_win_probability(
    small: PlayerProps,
) -> None:
    rows = rows_at([20])
    props = small.said(rows.with_column("win_probability", 0.5).matrix)
    for stat in COUNTED:
        so_far = rows.matrix[:, NAMES.index(stat)]
        assert (props[stat].overall.cdf(so_far - 1) == 0).all()
    likely, unlikely = (small.said(rows.with_column("win_probability", p).matrix) for p in (0.9, 0.1))
    for stat, sign in (("kills", 1), ("deaths", -1), ("assists", 1)):
        gain = likely[stat].overall.mean - unlikely[stat].overall.mean
        assert (sign * gain >= -1e-9).all() and (sign * gain > 0.01).any()


def test_reasons_multiply_to_the_mean(small: PlayerProps) -> None:
    """Given the outcome, factors times the mean of an average moment are the mean that is said."""
    matrix = rows_at([0]).with_column("win_probability", 1.0).matrix[:20]
    parts = explain.contributions(small.boosters, small.calibration, matrix, "kills")
    mean = fit.predict(small.boosters, small.calibration, matrix)["kills_mean"][:, 1]
    average = np.log(mean) - parts.sum(axis=1)
    np.testing.assert_allclose(average, average[0], atol=1e-4)
    told = explain.reasons(small.boosters, small.calibration, matrix[0], "kills", most=4)
    assert 0 < len(told) <= 4
    sizes = [abs(reason.contribution) for reason in told]
    assert sizes == sorted(sizes, reverse=True)
    assert all(reason.words.endswith("%") for reason in told)


def test_champions_borrow_in_proportion_to_games_seen() -> None:
    random = np.random.default_rng(6)
    parts = random.gamma(20, 1 / 20, 200)
    games = random.integers(1, 400, 200)
    expected = games * 3.0
    found, strength = adjustments.pool(random.poisson(expected * parts).astype(np.float64), expected)
    assert strength == pytest.approx(20, rel=0.5)
    few, many = games < 10, games > 200
    np.testing.assert_allclose(np.exp(found[many]), parts[many], rtol=0.2)
    assert np.abs(found[few]).mean() < np.abs(np.log(parts[few])).mean()
    alike, _ = adjustments.pool(expected, expected)
    np.testing.assert_allclose(alike, 0, atol=1e-9)


def test_meta_before_a_match_holds_matches_that_had_ended_and_is_pooled_with_the_patch_before() -> None:
    def game(name: str, started: int, patch: str, kills: int) -> dict[str, object]:
        return {
            "match_id": name,
            "started": started,
            "event_time": started + 10,
            "patch": patch,
            "season": "2026",
            "league": "LCK",
            "kills": kills,
            "assists": 2 * kills,
        }

    rows = [game("a", 0, "1", 40), game("b", 5, "1", 0), game("c", 20, "1", 20), game("d", 40, "2", 20)]
    table, before = adjustments.fit_meta(rows, {"kills": 20.0, "assists": 40.0}, "1")
    assert before["a"]["kills"] == before["b"]["kills"] == 0
    pooled = (20 * adjustments.META_GAMES + 40) / (adjustments.META_GAMES + 2) / 20
    assert before["c"]["kills"] == pytest.approx(np.log(pooled))
    assert before["d"]["kills"] == pytest.approx(table.scopes["1"]["kills"], abs=1e-6)
    known = adjustments.Tables(adjustments.NOTHING.champions, table, adjustments.NOTHING.leagues)
    assert known.meta("unheard of", "kills") == known.meta("2", "kills") == known.meta(None, "kills")


def test_dispersion_of_greatest_likelihood_is_the_one_that_was_drawn_with() -> None:
    size = 1 / 0.4
    mean = np.linspace(0.5, 6, 20_000)
    came = stats.nbinom(size, size / (size + mean)).rvs(random_state=2)
    assert fit.dispersion_of(came, mean) == pytest.approx(0.4, rel=0.1)
    assert fit.dispersion_of(came[:0], mean[:0]) == 0


def test_calibration_finds_shift_slope_and_dispersion_by_phase_and_outcome() -> None:
    """Counts drawn with those of each phase and outcome, round what no trees say."""
    rows = rows_at([0, 12])
    many = rows.where(np.tile(np.arange(len(rows.won)), 200))
    random = np.random.default_rng(7)
    champion = random.normal(0, 0.5, len(many.won))
    empty = data.Rows(many.matrix * 0, many.game, many.won, many.final, many.match)
    empty = empty.with_column("clock_minutes", many.minutes)
    for stat in COUNTED:
        empty = empty.with_column(f"champion_{stat}", champion)
    bare = {stat: fit.Trees(fit.fit(empty, stat, seed=1, rounds=0).booster, 0.7) for stat in COUNTED}
    phase, drawn = fit.phase_of(empty.minutes), {}
    shift = np.where(phase == 0, 1.0, 0.2) + 0.3 * empty.won
    slope = np.where(empty.won == 1, 0.5, 1.5)
    mean = np.exp(shift + slope * champion)
    size = 1 / 0.3
    for stat in COUNTED:
        drawn[stat] = random.negative_binomial(size, size / (size + mean))
    final = data.Rows(empty.matrix, empty.game, empty.won, drawn, empty.match)
    found = fit.calibrate(bare, final, ["x"], "1")
    for place in np.unique(phase):
        for outcome in (0, 1):
            expected = (1.0 if place == 0 else 0.2) + 0.3 * outcome, 0.5 if outcome else 1.5, 0.3
            cell = (of["kills"][place][outcome] for of in (found.shift, found.slope, found.dispersion))
            assert tuple(cell) == pytest.approx(expected, abs=0.08)
    nothing_seen = next(place for place in range(len(fit.PHASES)) if place not in phase)
    assert found.shift["kills"][nothing_seen] == pytest.approx([0.7, 0.7], abs=1e-6)
    assert found.slope["kills"][nothing_seen] == [1.0, 1.0]


def test_evaluation_scores_the_truth_best_and_finds_its_intervals_honest() -> None:
    """Counts drawn from known distributions: the true one has the lowest CRPS, and covers as it says."""
    material = oracle.material()
    games = material.games
    rows = rows_at([0])
    many = rows.where(np.tile(np.arange(len(rows.won)), 20))
    random = np.random.default_rng(1)
    mean = random.uniform(0.5, 6, len(many.won))
    final = {stat: random.poisson(mean) for stat in COUNTED}
    drawn = data.Rows(many.matrix, many.game, many.won, final, many.match)
    from models.player_props import baselines

    roles = baselines.fit(games, in_split(games, "train"))
    truth = NegativeBinomial.of(mean, 0.0)
    found = evaluate.evaluate(dict.fromkeys(STATS, truth), games, drawn, roles, 1)
    row = found["stats"]["kills"][0]
    assert row["crps_less_player_mean"][2] < 0 and row["crps_less_role_mean"][2] < 0
    for one in row["model"]["coverage"]:
        assert one["covered"] == pytest.approx(one["said"], abs=0.02)
        assert one["said"] >= one["level"]
    assert row["model"]["over_ece"] < 0.02 < row["role_mean"]["over_ece"]


def test_kinds_of_distribution_are_told_apart(small: PlayerProps) -> None:
    rows = rows_at([0]).with_column("win_probability", 0.5)
    found = choice.kinds(small, rows)
    assert set(found) == set(COUNTED)
    assert all(set(of) == {"poisson", "negative_binomial", "mixture"} for of in found.values())
