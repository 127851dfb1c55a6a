"""Why a model says what it says: what each feature adds (SHAP values of the trees, Lundberg et al. 2018)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from features.views import find_view
from models.artefact import Card, load_booster

MATCH_STATE = "match_state"
MOST_REASONS = 10

_boosters: dict[str, Any] = {}
_lock = threading.Lock()


def reasons(card: Card, vector: np.ndarray, most: int = MOST_REASONS) -> dict[str, Any]:
    """What each feature of a match adds to blue's log odds, the strongest first.

    Args:
        card: The version of win_probability that is asked.
        vector: Features in the model's order, float32, shape [f].
        most: How many features are named; what the others add is told as one number.

    Returns:
        ``unit``; ``base``, which holds without any feature; ``reasons``, each with its feature, the feature's
        meaning, its value and what it adds; ``others``. All of them add up to the log odds.
    """
    import xgboost as xgb

    booster = _booster(card)
    with _lock:
        data = xgb.DMatrix(vector.reshape(1, -1), feature_names=booster.feature_names, nthread=1)
        added = booster.predict(data, pred_contribs=True)[0]
    order = np.argsort(-np.abs(added[:-1]), kind="stable")[:most]
    view = find_view(MATCH_STATE)
    told = [
        {
            "feature": card.features[place],
            "meaning": view.feature(card.features[place]).doc,
            "value": None if np.isnan(vector[place]) else float(vector[place]),
            "adds": float(added[place]),
        }
        for place in order
    ]
    base, whole = float(added[-1]), float(added.sum())
    others = whole - base - sum(one["adds"] for one in told)
    return {"unit": "log odds that blue wins", "base": base, "reasons": told, "others": others}


def _booster(card: Card) -> Any:
    with _lock:
        if card.sha256 not in _boosters:
            _boosters[card.sha256] = load_booster(card)
        return _boosters[card.sha256]
