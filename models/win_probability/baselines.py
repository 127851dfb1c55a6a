"""The two baselines that the model must beat at every minute: base rate and logistic regression."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from models.win_probability.data import MINUTES, States
from models.win_probability.features import FEATURES
from models.win_probability.train import Doubles, calibrate, probability

OBJECTIVES = (
    "kills_diff",
    "towers_diff",
    "inhibitors_diff",
    "dragons_diff",
    "elder_dragons_diff",
    "heralds_diff",
    "barons_diff",
)
_COLUMNS = [FEATURES.index(name) for name in OBJECTIVES]
_GOLD = FEATURES.index("gold_diff")


def base_rate(training: States, states: States) -> Doubles:
    """At each minute, the share of training matches still running then that blue won; shape [n]."""
    found = np.empty(len(states.won))
    for minute in np.unique(states.minute):
        found[states.minute == minute] = training.won[training.minute == minute].mean()
    return found


def logistic(training: States, validation: States, states: States) -> Doubles:
    """At each minute, a logistic regression of its own on the objective and gold differences; shape [n].

    Gold is in thousands, 0 with a flag where unknown. All minutes together are Platt scaled on the validation
    states, as the model is, so that the comparison is of what is learnt and not of calibration.
    """
    fitted = {}
    for minute in MINUTES:
        chosen = training.minute == minute
        regression = LogisticRegression(C=1.0, max_iter=5000)
        fitted[minute] = regression.fit(_inputs(training.matrix[chosen]), training.won[chosen])

    def log_odds(of: States) -> Doubles:
        found = np.empty(len(of.won))
        for minute, regression in fitted.items():
            chosen = of.minute == minute
            if chosen.any():
                found[chosen] = regression.decision_function(_inputs(of.matrix[chosen]))
        return found

    return probability(calibrate(log_odds(validation), validation.won)(log_odds(states)))


def _inputs(matrix: np.ndarray) -> np.ndarray:
    gold = matrix[:, _GOLD]
    unknown = np.isnan(gold)
    return np.column_stack((matrix[:, _COLUMNS], np.where(unknown, 0, gold) / 1000, unknown))
