"""The model as XGBoost and NumPy answer it: what ``model.onnx`` must agree with to 1e-5."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from models.artefact import INTERVAL, Card, load_booster
from models.win_probability import flow, pre_match
from models.win_probability.features import FEATURES
from models.win_probability.interval import Table, load_table

Doubles = np.ndarray[Any, np.dtype[np.float64]]

INTERVAL_KNOWN = "interval_known.json"
PRE_MATCH_INPUT = "pre_match"
"""Input of ``model.onnx`` beside the features, float32 [n, 1]: log odds before the match, NaN where nothing
is known. It may be left out; the model then goes by the live state alone."""

_CLOCK = FEATURES.index("clock_ms")


@dataclass(frozen=True)
class WinProbability:
    """All parts of the model.

    Attributes:
        booster: Calibrated trees of the live state.
        table: Interval where nothing is known before the match.
        known_table: Interval where something is.
        flow: How the pre-match estimate flows into the live one.
        pre_match: The pre-match estimate.
    """

    booster: xgb.Booster
    table: Table
    known_table: Table
    flow: flow.Flow
    pre_match: pre_match.PreMatch

    def live(self, matrix: np.ndarray) -> Doubles:
        """Log odds that blue wins by the live state alone, shape [n]."""
        margins = self.booster.inplace_predict(matrix, predict_type="margin", validate_features=False)
        return np.asarray(margins, dtype=np.float64)

    def log_odds(self, matrix: np.ndarray, before: Doubles | None = None) -> Doubles:
        """Log odds that blue wins, shape [n].

        Args:
            matrix: Features, shape [n, f].
            before: Log odds before the match, shape [n], NaN where nothing is known; nothing by default.
        """
        alone = self.live(matrix)
        return alone if before is None else self.flow(alone, before, matrix[:, _CLOCK])

    def answer(self, matrix: np.ndarray, before: Doubles | None = None) -> tuple[Doubles, Doubles, Doubles]:
        """Probability that blue wins, lower and upper end of its interval, each of shape [n]."""
        said = self.log_odds(matrix, before)
        unknown = np.isnan(np.full(len(said), np.nan) if before is None else before)
        alone, both = (table.around(said, matrix[:, _CLOCK]) for table in (self.table, self.known_table))
        low, high = (np.where(unknown, *ends) for ends in zip(alone, both, strict=True))
        return np.asarray(1 / (1 + np.exp(-said))), low, high


def start(count: int = 1) -> np.ndarray:
    """The features at clock 0, before anything has happened, float32, shape [count, f]; gold is unknown."""
    row = np.zeros(len(FEATURES), np.float32)
    for name in FEATURES:
        if name.startswith(("gold_", "since_")):
            row[FEATURES.index(name)] = np.nan
        if name.startswith("towers_alive_"):
            row[FEATURES.index(name)] = 11
    return np.tile(row, (count, 1))


def load(card: Card) -> WinProbability:
    """The model of a card that was loaded."""
    return WinProbability(
        load_booster(card),
        load_table(card.folder, INTERVAL),
        load_table(card.folder, INTERVAL_KNOWN),
        flow.load(card.folder),
        pre_match.load(card.folder),
    )
