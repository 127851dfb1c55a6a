from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pytest

from models.artefact import digest, load_card
from models.win_probability import evaluate, interval, train
from models.win_probability.build import build
from models.win_probability.data import States
from models.win_probability.features import FEATURES, MODEL
from tests.models import oracle


def made_up_states(count: int) -> States:
    """States of matches whose winner follows from the kills, to fit something small to."""
    random = np.random.default_rng(5)
    matrix = np.zeros((count, len(FEATURES)), np.float32)
    lead = random.integers(-8, 9, count)
    matrix[:, FEATURES.index("clock_ms")] = random.integers(0, 2_400_000, count)
    matrix[:, FEATURES.index("kills_diff")] = lead
    won = (random.random(count) < 1 / (1 + np.exp(-lead / 3))).astype(np.int64)
    return States(matrix, np.arange(count), np.zeros(count, np.int64), won)


@pytest.fixture(scope="module")
def fitted() -> train.Fit:
    return train.fit(made_up_states(6000), seed=1)


def test_same_seed_same_trees_and_another_seed_others(fitted: train.Fit) -> None:
    def sha(of: train.Fit) -> str:
        return hashlib.sha256(of.booster.save_raw("ubj")).hexdigest()

    assert sha(train.fit(made_up_states(6000), seed=1)) == sha(fitted)
    assert sha(train.fit(made_up_states(6000), seed=2)) != sha(fitted)


def test_calibration_finds_the_shift_and_slope_that_were_put_in() -> None:
    random = np.random.default_rng(4)
    margins = random.normal(size=200_000)
    won = (random.random(200_000) < train.probability(0.3 + 0.7 * margins)).astype(np.int64)
    platt = train.calibrate(margins, won)
    assert platt.shift == pytest.approx(0.3, abs=0.03)
    assert platt.slope == pytest.approx(0.7, abs=0.03)


def test_baked_booster_says_by_itself_what_calibration_says_of_the_fit(fitted: train.Fit) -> None:
    states = made_up_states(500)
    platt = train.Platt(0.2, 0.8)
    booster = train.bake(fitted, platt)
    np.testing.assert_allclose(
        booster.inplace_predict(states.matrix, validate_features=False),
        train.probability(platt(fitted.margins(states))),
        atol=1e-6,
    )


def test_same_data_and_seed_give_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "ROUNDS", 10)
    monkeypatch.setattr(evaluate, "DRAWS", 5)
    monkeypatch.setattr(interval, "_STEPS", 1)
    corpus = oracle.material().corpus
    # The sample is played five times: forms would tell the winner, and nothing were left for the live state.
    noise = np.random.default_rng(3).normal(size=corpus.before.shape)
    corpus = dataclasses.replace(corpus, before=noise)
    cards = [
        build(corpus, tmp_path / name, source="some", snapshot_id=7, replicates=2) for name in ("a", "b")
    ]
    assert cards[0]["data"]["snapshot_id"] == 7
    for file in (*cards[0]["files"], "card.json", "card.md"):
        assert digest(tmp_path / "a" / file) == digest(tmp_path / "b" / file), file
    assert load_card(MODEL, tmp_path / "a").metrics["matches"] == 20


def test_a_season_predicted_from_a_quarter_of_the_matches_is_judged_with_twice_the_width() -> None:
    states = made_up_states(4000)
    lead = states.matrix[:, FEATURES.index("kills_diff")].astype(float)
    random = np.random.default_rng(8)
    rehearsals = [
        train.Rehearsal(name, states, lead / 3 + random.normal(0, 0.2), learnt, np.full(len(lead), np.nan))
        for name, learnt in (("2016 Spring", 100), ("2016 Summer", 400))
    ]
    early, late = interval.rehearsed(rehearsals, False, learnt=400)
    assert (early.widening, late.widening) == (2.0, 1.0)
    shape = (len(interval.PHASE_EDGES_MS) + 1, len(interval.LEAD_EDGES) + 1)
    half = tuple(map(tuple, np.full(shape, 0.1).tolist()))
    table = interval.Table(0.9, interval.PHASE_EDGES_MS, interval.LEAD_EDGES, half, 1.0)
    assert early.covered(table) == interval.coverage(table.widened(2.0), early.states, early.log_odds)
    assert early.covered(table)["mean_width"] > 1.8 * late.covered(table)["mean_width"]
