from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from models import metrics


@pytest.fixture
def said() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    p = random.random(500).round(2)
    return p, (random.random(500) < p).astype(np.int64), random.integers(0, 4, 500)


def test_brier_log_loss_and_auc_are_those_of_scikit_learn(
    said: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    p, y, weights = said
    assert metrics.brier(p, y, weights) == pytest.approx(brier_score_loss(y, p, sample_weight=weights))
    clipped = np.clip(p, 1e-7, 1 - 1e-7)
    assert metrics.log_loss(p, y, weights) == pytest.approx(log_loss(y, clipped, sample_weight=weights))
    assert metrics.auc(p, y, weights) == pytest.approx(roc_auc_score(y, p, sample_weight=weights))


def test_ece_weighs_the_gap_of_each_tenth_by_its_states() -> None:
    p = np.array([0.05, 0.05, 0.95, 0.95])
    y = np.array([0, 1, 1, 1])
    assert metrics.ece(p, y, np.ones(4)) == pytest.approx((abs(0.05 - 0.5) + 0.05) / 2)
    assert metrics.ece(p, y, np.array([2, 0, 1, 0])) == pytest.approx(0.05)


def test_one_lies_in_the_last_tenth() -> None:
    assert metrics.bins(np.array([0.0, 0.1, 0.999, 1.0])).tolist() == [0, 1, 9, 9]


def test_bootstrap_draws_whole_matches() -> None:
    match = np.array([7, 7, 3, 3, 3, 9])
    draws = metrics.bootstrap(match, 50, seed=2)
    assert draws.shape == (50, 6)
    assert (draws[:, 0] == draws[:, 1]).all() and (draws[:, 2] == draws[:, 4]).all()
    assert (draws[:, 0] + draws[:, 2] + draws[:, 5] == 3).all()
    assert len({tuple(draw) for draw in draws.tolist()}) > 1


def test_clustered_error_grows_when_states_of_a_match_move_together() -> None:
    residual = np.random.default_rng(3).normal(size=100)
    alone = metrics.clustered_error(residual, np.arange(100))
    assert alone == pytest.approx(residual.std() / 10)
    copied = metrics.clustered_error(np.repeat(residual, 5), np.repeat(np.arange(100), 5))
    assert copied == pytest.approx(alone)
