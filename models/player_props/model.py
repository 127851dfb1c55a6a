"""The model as XGBoost and NumPy answer it: what ``model.onnx`` must agree with to 1e-5."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xgboost as xgb

from models.artefact import Card, load_booster
from models.player_props import adjustments, fit
from models.player_props.contract import COUNTED, Prop, distributions

BOOSTERS = {stat: f"{stat}.ubj" for stat in COUNTED}
"""The file of each stat's trees."""


@dataclass(frozen=True)
class PlayerProps:
    """All parts of the model.

    Attributes:
        boosters: Trees by stat.
        calibration: The calibration.
        tables: Champions, patches and leagues.
    """

    boosters: dict[str, xgb.Booster]
    calibration: fit.Calibration
    tables: adjustments.Tables

    def said(self, matrix: np.ndarray) -> dict[str, Prop]:
        """What it says of inputs, by stat, see ``contract.distributions``."""
        return distributions(matrix, fit.predict(self.boosters, self.calibration, matrix))


def load(card: Card) -> PlayerProps:
    """The model of a card that was loaded."""
    boosters = {stat: load_booster(card, file) for stat, file in BOOSTERS.items()}
    return PlayerProps(boosters, fit.load(card.folder), adjustments.load(card.folder))
