"""The two baselines that the model must beat at every minute: base rate and logistic regression."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from models.win_probability.data import Corpus, States, at_minutes
from models.win_probability.features import FEATURES
from models.win_probability.train import Doubles, Rehearsal, calibrate_on, probability, seasons_ahead

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


def logistic(corpus: Corpus, states: States, calibrated: bool = True) -> Doubles:
    """At each minute, a logistic regression of its own on the objective and gold differences; shape [n].

    Gold is in thousands, 0 with a flag where unknown. It is fitted to the training split; calibrated means
    Platt scaled on the same rehearsed seasons as the model, so that what is compared is what was learnt.
    """
    training = at_minutes(corpus, corpus.matches("train"))
    log_odds = _log_odds(training, states)
    if not calibrated:
        return probability(log_odds)
    rehearsals = []
    for season, before, matches in seasons_ahead(corpus):
        ahead = at_minutes(corpus, matches)
        margins = _log_odds(at_minutes(corpus, before), ahead)
        rehearsals.append(Rehearsal(season, ahead, margins, len(before), np.full(len(margins), np.nan)))
    return probability(calibrate_on(rehearsals)(log_odds))


def _log_odds(training: States, states: States) -> Doubles:
    found = np.empty(len(states.won))
    for minute in np.unique(states.minute):
        learnt, asked = training.minute == minute, states.minute == minute
        regression = LogisticRegression(C=1.0, max_iter=5000)
        regression.fit(_inputs(training.matrix[learnt]), training.won[learnt])
        found[asked] = regression.decision_function(_inputs(states.matrix[asked]))
    return found


def _inputs(matrix: np.ndarray) -> np.ndarray:
    gold = matrix[:, _GOLD]
    unknown = np.isnan(gold)
    return np.column_stack((matrix[:, _COLUMNS], np.where(unknown, 0, gold) / 1000, unknown))
