"""How good probabilities are, with intervals that know that states of one match belong together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Array = np.ndarray[Any, Any]
Metric = Callable[[Array, Array, Array], float]

BINS = 10


def brier(p: Array, y: Array, weights: Array) -> float:
    """Mean squared error of the probabilities (Brier 1950)."""
    return float(np.average((p - y) ** 2, weights=weights))


def log_loss(p: Array, y: Array, weights: Array) -> float:
    """Mean negative log likelihood, in nats."""
    p = np.clip(p, 1e-7, 1 - 1e-7)
    return float(np.average(-np.log(np.where(y == 1, p, 1 - p)), weights=weights))


def auc(p: Array, y: Array, weights: Array) -> float:
    """Area under the ROC curve: the chance that a won state has the higher probability; ties count half."""
    order = np.argsort(p, kind="stable")
    p, y, weights = p[order], y[order], weights[order].astype(np.float64)
    group = np.cumsum(np.diff(p, prepend=p[:1]) != 0)
    won = np.bincount(group, weights * (y == 1))
    lost = np.bincount(group, weights * (y == 0))
    total = won.sum() * lost.sum()
    return float((won * (np.cumsum(lost) - lost / 2)).sum() / total) if total else float("nan")


def ece(p: Array, y: Array, weights: Array) -> float:
    """Expected calibration error over ten equal-width bins (Naeini et al. 2015)."""
    place = bins(p)
    said = np.bincount(place, weights * p, BINS)
    happened = np.bincount(place, weights * y, BINS)
    return float(np.abs(said - happened).sum() / weights.sum())


def bins(p: Array) -> Array:
    """The bin of each probability: tenths, the last one with 1."""
    return np.minimum((p * BINS).astype(np.int64), BINS - 1)


def reliability(p: Array, y: Array, match: Array) -> list[dict[str, Any]]:
    """What was said and what happened, a row a bin that is not empty.

    Args:
        p: Probabilities, shape [n].
        y: 1 where it happened, shape [n].
        match: Match of each case, shape [n].
    """
    place, rows = bins(p), []
    for number in range(BINS):
        chosen = place == number
        if chosen.any():
            rows.append(
                {
                    "from": number / BINS,
                    "cases": int(chosen.sum()),
                    "matches": len(np.unique(match[chosen])),
                    "said": float(p[chosen].mean()),
                    "happened": float(y[chosen].mean()),
                }
            )
    return rows


METRICS: dict[str, Metric] = {"brier": brier, "log_loss": log_loss, "auc": auc, "ece": ece}


def bootstrap(match: Array, draws: int, seed: int) -> Array:
    """Bootstrap draws of whole matches: how often each state counts, shape [draws, n]."""
    numbers, place = np.unique(match, return_inverse=True)
    random = np.random.default_rng(seed)
    chosen = random.integers(0, len(numbers), (draws, len(numbers)))
    counts = np.stack([np.bincount(draw, minlength=len(numbers)) for draw in chosen])
    return np.asarray(counts[:, place])


def interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """The central interval of bootstrap values."""
    low, high = np.nanquantile(values, ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def clustered_error(residual: Array, match: Array) -> float:
    """Standard error of the mean of residuals, where those of one match may move together."""
    _, place = np.unique(match, return_inverse=True)
    sums = np.bincount(place, residual - residual.mean())
    return float(np.sqrt((sums**2).sum()) / len(residual))


def mean_interval(
    values: Array, match: Array, draws: int, seed: int, level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of a value a state, and its bootstrap interval over whole matches."""
    _, place = np.unique(match, return_inverse=True)
    sums, counts = np.bincount(place, values), np.bincount(place)
    chosen = np.random.default_rng(seed).integers(0, len(sums), (draws, len(sums)))
    return (float(values.mean()), *interval(sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1), level))


def crps(cdf: Array, counts: Array, came: Array) -> Array:
    """Continuous ranked probability score of distributions over whole numbers (Gneiting & Raftery 2007).

    Args:
        cdf: P(X ≤ count), shape [m, n].
        counts: The counts, in steps of 1, from below what is likely to above it, shape [m].
        came: What came of it, shape [n].

    Returns:
        The score of each, shape [n]: the sum over counts of (P(X ≤ count) - [came ≤ count])².
    """
    return np.asarray(((cdf - (came <= counts[:, None])) ** 2).sum(axis=0))
