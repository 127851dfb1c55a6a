"""The evaluation of props: model and baselines on matches never seen, by stat and minute of the match."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.metrics import crps, ece, mean_interval, reliability
from models.player_props import baselines
from models.player_props.contract import STATS
from models.player_props.data import Games, Rows
from models.player_props.distribution import CountDistribution

DRAWS = 400
CONFIDENCE = 0.95
LEVELS = (0.5, 0.8, 0.9)
_MARGIN = 40


def evaluate(
    said: dict[str, CountDistribution],
    games: Games,
    rows: Rows,
    roles: baselines.Roles,
    seed: int,
    on_stat: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Metrics of some rows, JSON-ready; intervals are 95 % bootstrap intervals over whole matches.

    Args:
        said: What the model says of the rows, by stat.
        games: All games.
        rows: The rows.
        roles: The roles in training, for the baselines.
        seed: Seed of the bootstrap.
        on_stat: Called after each stat.

    Returns:
        ``matches`` and ``player_games``; and ``stats``: by stat and minute the scores of the model and of
        both baselines, the model's CRPS less theirs, and the reliability of P(over).
    """
    theirs = baselines.said(games, rows, roles)
    came = baselines.stats_of(rows)
    found: dict[str, Any] = {}
    for stat in STATS:
        models = {"model": said[stat], **{name: of[stat] for name, of in theirs.items()}}
        lines = baselines.lines(games, roles, rows.game, stat)
        found[stat] = _stat(models, came[stat], rows, lines, seed)
        on_stat()
    return {
        "matches": len(np.unique(rows.match)),
        "player_games": len(np.unique(rows.game)),
        "confidence": CONFIDENCE,
        "stats": found,
    }


def _stat(
    models: dict[str, CountDistribution], came: np.ndarray, rows: Rows, lines: np.ndarray, seed: int
) -> list[dict[str, Any]]:
    counts = np.arange(int(came.min()) - _MARGIN, int(came.max()) + _MARGIN)
    cdfs = {name: model.cdf(counts[:, None]) for name, model in models.items()}
    scores = {name: crps(cdf, counts, came) for name, cdf in cdfs.items()}
    surprise = {name: -np.log(np.maximum(model.pmf(came), 1e-9)) for name, model in models.items()}
    found = []
    for minute in np.unique(rows.minutes):
        at = rows.minutes == minute
        match, y = rows.match[at], came[at]

        def mean(values: np.ndarray, match: np.ndarray = match) -> tuple[float, float, float]:
            return mean_interval(values, match, DRAWS, seed, CONFIDENCE)

        row: dict[str, Any] = {
            "minute": int(minute),
            "players": int(at.sum()),
            "mean": float(y.mean()),
        }
        for name in models:
            over = _over(cdfs[name][:, at], counts, lines[at])
            row[name] = {
                "crps": mean(scores[name][at]),
                "log_score": mean(surprise[name][at]),
                "coverage": [_coverage(cdfs[name][:, at], counts, y, level) for level in LEVELS],
                "over_ece": ece(over, (y > lines[at]).astype(np.int64), np.ones(len(y))),
            }
        for name in baselines.NAMES_OF:
            row[f"crps_less_{name}"] = mean(scores["model"][at] - scores[name][at])
        over = _over(cdfs["model"][:, at], counts, lines[at])
        row["reliability"] = reliability(over, (y > lines[at]).astype(np.int64), match)
        found.append(row)
    return found


def _over(cdf: np.ndarray, counts: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """P(X > line) from the cdf, shape [n]."""
    place = np.floor(lines).astype(np.int64) - counts[0]
    return np.asarray(1 - cdf[place, np.arange(len(lines))])


def _coverage(cdf: np.ndarray, counts: np.ndarray, came: np.ndarray, level: float) -> dict[str, float]:
    """How often the central interval holds what came, and how often it says it does: counts are coarse."""
    ends = [counts[(cdf >= q - 1e-12).argmax(axis=0)] for q in ((1 - level) / 2, (1 + level) / 2)]
    column = np.arange(cdf.shape[1])
    below, up_to = cdf[ends[0] - counts[0] - 1, column], cdf[ends[1] - counts[0], column]
    return {
        "level": level,
        "said": float((up_to - below).mean()),
        "covered": float(((came >= ends[0]) & (came <= ends[1])).mean()),
    }
