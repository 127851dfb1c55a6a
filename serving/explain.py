"""Why a model says what it says: what each feature adds (SHAP values of the trees, Lundberg et al. 2018).

Where something was known before the match, the log odds are a weighted sum of the trees' and of the pre-match
ones (ADR 0076): so are the parts that each feature and each pre-match input adds.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from features.views import find_view
from models.artefact import Card, load_booster
from models.win_probability.pre_match import INPUTS
from serving import pre_match

MATCH_STATE = "match_state"
MOST_REASONS = 10

_boosters: dict[str, Any] = {}
_lock = threading.Lock()


def reasons(
    card: Card,
    vector: np.ndarray,
    before: float | None = None,
    inputs: Sequence[float] | None = None,
    most: int = MOST_REASONS,
) -> dict[str, Any]:
    """What each feature of a match adds to blue's log odds, the strongest first.

    Args:
        card: The version of win_probability that is asked.
        vector: Features in the model's order, float32, shape [f].
        before: Pre-match log odds; None where nothing was known before the match.
        inputs: What they were made of, see ``pre_match_inputs`` of a ``Prediction``.
        most: How many features are named; what the others add is told as one number.

    Returns:
        ``unit``; ``base``, which holds without any feature; ``reasons``, each with its feature, the feature's
        meaning, its value and what it adds; ``others``. All of them add up to the log odds.
    """
    import xgboost as xgb

    booster = _booster(card)
    with _lock:
        data = xgb.DMatrix(vector.reshape(1, -1), feature_names=booster.feature_names, nthread=1)
        added = booster.predict(data, pred_contribs=True)[0].astype(np.float64)
    view = find_view(MATCH_STATE)
    parts = [
        (name, view.feature(name).doc, None if np.isnan(value) else float(value), float(part))
        for name, value, part in zip(card.features, vector, added[:-1], strict=True)
    ]
    base = float(added[-1])
    if before is not None and inputs is not None:
        clock = vector[card.features.index("clock_ms")]
        shift, weight, live = _weights(card, float(clock))
        parts = [(name, doc, value, live * part) for name, doc, value, part in parts]
        regression = pre_match.regression(card.folder)
        added_before = regression.parts(np.array([inputs]))[0].tolist()
        parts += [
            (name, f"Before the match: {INPUTS[name]}.", value, weight * part)
            for name, value, part in zip(INPUTS, inputs, added_before, strict=True)
        ]
        base = shift + live * base + weight * regression.intercept
    parts.sort(key=lambda one: -abs(one[3]))
    told = [
        {"feature": name, "meaning": doc, "value": value, "adds": adds}
        for name, doc, value, adds in parts[:most]
    ]
    others = sum(adds for *_, adds in parts[most:])
    return {"unit": "log odds that blue wins", "base": base, "reasons": told, "others": others}


def _weights(card: Card, clock_ms: float) -> tuple[float, float, float]:
    """What is added at a match clock, and how much the pre-match and the live log odds count there."""
    from models.win_probability import flow
    from models.win_probability.data import MINUTE_MS

    found = flow.load(card.folder)
    minute = clock_ms / MINUTE_MS
    shift, before, live = (
        float(np.interp(minute, found.knots, values)) for values in (found.shift, found.before, found.live)
    )
    return shift, before, live


def _booster(card: Card) -> Any:
    with _lock:
        if card.sha256 not in _boosters:
            _boosters[card.sha256] = load_booster(card)
        return _boosters[card.sha256]
