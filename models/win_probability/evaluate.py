"""The evaluation: model and baselines on matches never seen, pooled and at each minute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.metrics import METRICS, bootstrap, brier, interval, reliability
from models.win_probability import baselines
from models.win_probability.data import MINUTES, Corpus, States, at_minutes
from models.win_probability.features import FEATURES
from models.win_probability.interval import coverage
from models.win_probability.model import WinProbability

DRAWS = 400
CONFIDENCE = 0.95
ALL = "all"
"""Stands for every finished match, of whatever season: for data that was not trained with."""

_GOLD = [place for place, name in enumerate(FEATURES) if name.startswith("gold_")]


def evaluate(
    model: WinProbability,
    corpus: Corpus,
    split: str,
    seed: int,
    on_minute: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Metrics of one split, JSON-ready; intervals are 95 % bootstrap intervals over whole matches.

    Args:
        model: The model.
        corpus: All states.
        split: One of ``data.SPLITS``, or ``ALL``, which has no baseline that learns.
        seed: Seed of the bootstrap.
        on_minute: Called after each minute.

    Returns:
        ``pooled`` (by model and metric: value, low, high; all states of minutes 1 to 40), ``by_minute`` (a
        row a minute, with the model's Brier less the logistic's and that difference's interval),
        ``before_match`` (metrics at clock 0), ``gold`` (matches with gold, judged with and without it),
        ``reliability`` (a row a tenth of probability), ``interval`` and ``interval_live_only`` (see
        ``interval.coverage``).
    """
    matches = np.arange(len(corpus.won)) if split == ALL else corpus.matches(split)
    states = at_minutes(corpus, matches)
    before = model.pre_match.log_odds(corpus.before)
    alone, both = model.live(states.matrix), model.log_odds(states.matrix, before[states.match])
    said = {"model": _probability(both), "live_only": _probability(alone)}
    if split != ALL:
        said |= {
            "logistic": baselines.logistic(corpus, states),
            "logistic_uncalibrated": baselines.logistic(corpus, states, calibrated=False),
            "base_rate": baselines.base_rate(at_minutes(corpus, corpus.matches("train")), states),
        }
    rows = []
    for minute in MINUTES:
        chosen = states.minute == minute
        if chosen.any():
            rows.append(_minute(minute, states.where(chosen), {k: p[chosen] for k, p in said.items()}, seed))
        on_minute()
    known = ~np.isnan(before[states.match])
    return {
        "split": split,
        "matches": len(matches),
        "matches_known_before": int((~np.isnan(before[matches])).sum()),
        "states": len(states.won),
        "confidence": CONFIDENCE,
        "pooled": _pooled(states, said, seed),
        "by_minute": rows,
        "minutes_not_below_logistic": [
            row["minute"] for row in rows if row.get("brier_less_logistic", (-1.0,))[0] >= 0
        ],
        "before_match": _before_match(model, corpus, matches, before, seed),
        "gold": _with_and_without_gold(model, states, before[states.match], seed),
        "reliability": reliability(said["model"], states.won, states.match),
        "interval": coverage(model.known_table, states.where(known), both[known]),
        "interval_live_only": coverage(model.table, states, alone),
    }


def _probability(log_odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def _measured(p: np.ndarray, won: np.ndarray, draws: np.ndarray) -> dict[str, Any]:
    """Each metric with its interval over bootstrap draws, see ``metrics.bootstrap``."""
    ones = np.ones(len(won))
    return {
        name: _with_interval(metric(p, won, ones), [metric(p, won, draw) for draw in draws])
        for name, metric in METRICS.items()
    }


def _before_match(
    model: WinProbability, corpus: Corpus, matches: np.ndarray, before: np.ndarray, seed: int
) -> dict[str, Any]:
    """Metrics at clock 0 of matches of which something was known before."""
    states = at_minutes(corpus, matches[~np.isnan(before[matches])], (0,))
    if not len(states.won):
        return {"matches": 0}
    p = _probability(model.log_odds(states.matrix, before[states.match]))
    return {"matches": len(states.won), **_measured(p, states.won, bootstrap(states.match, DRAWS, seed))}


def _with_and_without_gold(
    model: WinProbability, states: States, before: np.ndarray, seed: int
) -> dict[str, Any]:
    """Metrics of states with gold, as they are and with gold hidden."""
    has = ~np.isnan(states.matrix[:, FEATURES.index("gold_diff")])
    if not has.any():
        return {"states": 0}
    chosen = states.where(has)
    draws = bootstrap(chosen.match, DRAWS, seed)
    hidden = chosen.matrix.copy()
    hidden[:, _GOLD] = np.nan
    return {
        "states": int(has.sum()),
        "matches": len(np.unique(chosen.match)),
        **{
            name: _measured(_probability(model.log_odds(matrix, before[has])), chosen.won, draws)
            for name, matrix in (("with_gold", chosen.matrix), ("gold_hidden", hidden))
        },
    }


def _with_interval(value: float, drawn: list[float]) -> tuple[float, float, float]:
    return (value, *interval(np.array(drawn), CONFIDENCE))


def _pooled(states: States, said: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    draws = bootstrap(states.match, DRAWS, seed)
    return {name: _measured(p, states.won, draws) for name, p in said.items()}


def _minute(minute: int, states: States, said: dict[str, np.ndarray], seed: int) -> dict[str, Any]:
    draws = bootstrap(states.match, DRAWS, seed + minute)
    row: dict[str, Any] = {"minute": minute, "matches": len(states.won)}
    row |= {name: _measured(p, states.won, draws) for name, p in said.items()}
    if "logistic" not in said:
        return row
    ours, theirs = said["model"], said["logistic"]
    paired = [brier(ours, states.won, draw) - brier(theirs, states.won, draw) for draw in draws]
    less = row["model"]["brier"][0] - row["logistic"]["brier"][0]
    row["brier_less_logistic"] = _with_interval(less, paired)
    return row
