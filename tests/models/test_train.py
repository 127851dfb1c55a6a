from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from models.artefact import MODEL_FILES, digest, load_card
from models.win_probability import train
from models.win_probability.build import build
from models.win_probability.data import States
from models.win_probability.features import FEATURES, MODEL
from streams.sources import open_source


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


@pytest.fixture(scope="module")
def small(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, object]]]:
    """Twenty-five matches of each season."""
    by_season: dict[str, list[list[dict[str, object]]]] = defaultdict(list)
    for match in open_source("lol-pro", str(data)).matches():
        by_season[match[0]["season"]].append(match)
    return [match for season in sorted(by_season) for match in by_season[season][:25]]


@pytest.mark.timeout(1200)
def test_training_twice_gives_the_same_files(small: list[list[dict[str, object]]], tmp_path: Path) -> None:
    cards = [build(small, tmp_path / name, source="some", replicates=2) for name in ("a", "b")]
    for file in (*MODEL_FILES, "card.json", "card.md"):
        assert digest(tmp_path / "a" / file) == digest(tmp_path / "b" / file), file
    assert cards[0]["data"]["sha256"] == cards[1]["data"]["sha256"]
    assert load_card(MODEL, tmp_path / "a").metrics["matches"] == 25
