"""Reasons of a prop: by how much each thing that is known of a player raises or lowers the mean to come.

Contributions are those of TreeSHAP (Lundberg et al. 2018) on the logarithm of the mean, of the trees as if
the player's team lost and as if it won, weighed by what each outcome has in the mean. They are relative to an
average moment of training. Factors of one outcome multiply exactly; over both they do so nearly.
"""

from __future__ import annotations

import numpy as np
import xgboost as xgb

from models.player_props.contract import FEATURES, NAMES, OFFSETS, OUTCOMES, ROLES, WIN
from models.player_props.distribution import Doubles
from models.player_props.fit import CLOCK, Calibration, inputs, phase_of, predict
from models.reasons import Reason, strongest


def reasons(
    boosters: dict[str, xgb.Booster],
    calibration: Calibration,
    row: np.ndarray,
    stat: str,
    most: int = 5,
) -> list[Reason]:
    """The strongest reasons of what is still to come of a stat.

    Args:
        boosters: The trees by stat.
        calibration: The calibration.
        row: One input vector, shape [f].
        stat: kills, deaths or assists.
        most: How many reasons at most.
    """
    found: dict[str, tuple[list[int], float]] = {}
    for place, part in enumerate(contributions(boosters, calibration, row[None], stat)[0]):
        if part:
            places, before = found.get(FEATURES[place].words, ([], 0.0))
            found[FEATURES[place].words] = ([*places, place], before + float(part))
    told = [
        Reason(
            tuple(NAMES[place] for place in places),
            None if np.isnan(row[places[0]]) else float(row[places[0]]),
            part,
            f"{words}{_shown(places[0], row[places[0]])}: {np.expm1(part):+.0%}",
        )
        for words, (places, part) in found.items()
    ]
    return strongest(told, most)


def contributions(
    boosters: dict[str, xgb.Booster], calibration: Calibration, matrix: np.ndarray, stat: str
) -> Doubles:
    """What each feature adds to the logarithm of the mean, shape [n, f]."""
    said = np.asarray(matrix[:, WIN], dtype=np.float64)
    win = np.where(np.isnan(said), 0.5, said)
    means = predict({stat: boosters[stat]}, calibration, matrix, (stat,))[f"{stat}_mean"]
    weight = np.column_stack((1 - win, win)) * means
    weight /= weight.sum(axis=1, keepdims=True)
    slope = np.array(calibration.slope[stat])[phase_of(matrix[:, CLOCK], calibration.phases)]
    beside = [NAMES.index(name) for name in OFFSETS[stat]]
    found = np.zeros(matrix.shape, dtype=np.float64)
    for outcome in range(len(OUTCOMES)):
        data = xgb.DMatrix(inputs(matrix, outcome), feature_names=list(NAMES), nthread=1)
        parts = boosters[stat].predict(data, pred_contribs=True)[:, :-1]
        parts[:, beside] = np.nan_to_num(matrix[:, beside])
        found += (weight * slope)[:, outcome : outcome + 1] * parts
    return found


def _shown(place: int, value: float) -> str:
    """The value of a feature as a person writes it."""
    name = NAMES[place]
    if np.isnan(value):
        return " (unknown)"
    if name == "role":
        return f" ({ROLES[int(value)]})"
    if name == "blue":
        return " (blue)" if value else " (red)"
    if name in ("win_probability", "player_participation", "player_form", "team_form", "opponent_form"):
        return f" ({value:.0%})"
    if name.startswith(("champion_", "meta_", "league_")):
        return ""
    return f" ({value:.1f})" if value != int(value) else f" ({int(value)})"
