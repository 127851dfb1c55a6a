"""The evaluation: model and baselines on matches never seen, pooled and at each minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xgboost as xgb

from models.metrics import BINS, METRICS, Metric, bins, bootstrap, brier, interval
from models.win_probability import baselines
from models.win_probability.data import MINUTES, Corpus, States, at_minutes
from models.win_probability.interval import Table, coverage

DRAWS = 400
CONFIDENCE = 0.95

_MODELS = ("model", "logistic", "logistic_uncalibrated", "base_rate")


def log_odds(booster: xgb.Booster, matrix: np.ndarray) -> np.ndarray:
    """Calibrated log odds that blue wins, shape [n]."""
    margins = booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
    return np.asarray(margins, dtype=np.float64)


def evaluate(
    booster: xgb.Booster,
    table: Table,
    corpus: Corpus,
    split: str,
    seed: int,
    on_minute: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Metrics of one split, JSON-ready; intervals are 95 % bootstrap intervals over whole matches.

    Returns:
        ``pooled`` (by model and metric: value, low, high; all states of minutes 1 to 40), ``by_minute`` (a
        row a minute, with the model's Brier less the logistic's and that difference's interval),
        ``reliability`` (a row a tenth of probability) and ``interval`` (see ``interval.coverage``).
    """
    training, states = (at_minutes(corpus, corpus.matches(name)) for name in ("train", split))
    margins = log_odds(booster, states.matrix)
    said = {
        "model": 1 / (1 + np.exp(-margins)),
        "logistic": baselines.logistic(corpus, states),
        "logistic_uncalibrated": baselines.logistic(corpus, states, calibrated=False),
        "base_rate": baselines.base_rate(training, states),
    }
    rows = []
    for minute in MINUTES:
        chosen = states.minute == minute
        if chosen.any():
            rows.append(_minute(minute, states.where(chosen), {k: p[chosen] for k, p in said.items()}, seed))
        on_minute()
    return {
        "split": split,
        "matches": len(corpus.matches(split)),
        "states": len(states.won),
        "confidence": CONFIDENCE,
        "pooled": _pooled(states, said, seed),
        "by_minute": rows,
        "minutes_not_below_logistic": [row["minute"] for row in rows if row["brier_less_logistic"][0] >= 0],
        "reliability": _reliability(said["model"], states),
        "interval": coverage(table, states, margins),
    }


def _with_interval(value: float, drawn: list[float]) -> tuple[float, float, float]:
    return (value, *interval(np.array(drawn), CONFIDENCE))


def _pooled(states: States, said: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    draws = bootstrap(states.match, DRAWS, seed)
    ones = np.ones(len(states.won))

    def measure(metric: Metric, p: np.ndarray) -> tuple[float, float, float]:
        drawn = [metric(p, states.won, draw) for draw in draws]
        return _with_interval(metric(p, states.won, ones), drawn)

    return {
        name: {metric: measure(function, said[name]) for metric, function in METRICS.items()}
        for name in _MODELS
    }


def _minute(minute: int, states: States, said: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    draws = bootstrap(states.match, DRAWS, seed + minute)
    ones = np.ones(len(states.won))
    row: dict[str, Any] = {"minute": minute, "matches": len(states.won)}
    drawn = {name: [brier(said[name], states.won, draw) for draw in draws] for name in _MODELS}
    for name in _MODELS:
        row[name] = {metric: function(said[name], states.won, ones) for metric, function in METRICS.items()}
        row[name]["brier"] = _with_interval(row[name]["brier"], drawn[name])
    paired = [ours - theirs for ours, theirs in zip(drawn["model"], drawn["logistic"], strict=True)]
    row["brier_less_logistic"] = _with_interval(
        row["model"]["brier"][0] - row["logistic"]["brier"][0], paired
    )
    return row


def _reliability(p: np.ndarray, states: States) -> list[dict[str, Any]]:
    place, rows = bins(p), []
    for tenth in range(BINS):
        chosen = place == tenth
        if chosen.any():
            rows.append(
                {
                    "from": tenth / BINS,
                    "states": int(chosen.sum()),
                    "matches": len(np.unique(states.match[chosen])),
                    "said": float(p[chosen].mean()),
                    "happened": float(states.won[chosen].mean()),
                }
            )
    return rows
