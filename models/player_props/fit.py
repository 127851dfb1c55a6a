"""Fitting ``player_props``: Poisson trees of what is still to come, and the calibration beside them.

The trees see who won where a prediction has the win probability: what they learn is the mean given the
outcome, from which the win probability mixes. So training needs no win probability of matches that it was
fitted to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb
from scipy import optimize

from models.player_props.contract import COUNTED, NAMES, OFFSETS, OUTCOMES, WIN
from models.player_props.data import Rows
from models.player_props.distribution import Doubles, NegativeBinomial

ROUNDS = 300
PARAMS: dict[str, Any] = {
    "objective": "count:poisson",
    "tree_method": "hist",
    "eta": 0.05,
    "max_depth": 5,
    "min_child_weight": 100,
    "reg_lambda": 5,
    "subsample": 0.7,
    "colsample_bytree": 0.6,
    # The sums over rows, and so the bytes of the model, depend on the number of threads.
    "nthread": 1,
    "base_score": 1.0,
}
_MORE = {"kills": 1, "deaths": -1, "assists": 1}
"""Whether a win means more of a stat."""

_OFFSET_PLACES = {stat: [NAMES.index(name) for name in names] for stat, names in OFFSETS.items()}
_OFFSET_COLUMNS = sorted({place for places in _OFFSET_PLACES.values() for place in places})

_FEWEST = 200

CLOCK = NAMES.index("clock_minutes")
PHASES = (1.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0)
"""Edges of the phases in minutes: before the match, then by five minutes."""


@dataclass(frozen=True)
class Trees:
    """The trees of one stat.

    Attributes:
        booster: Logarithm of the mean over ``intercept`` and the offsets.
        intercept: Logarithm of the mean of the training rows.
    """

    booster: xgb.Booster
    intercept: float


@dataclass(frozen=True)
class Calibration:
    """What the trees' means and spreads are set right by.

    Attributes:
        version: Version of the calibration, a number as text.
        fitted_on: Seasons that it was fitted on, none of which the trees were.
        phases: Edges of the phases in minutes; a clock on an edge lies above it.
        shift: Added to the logarithm of the mean, by stat, a row a phase, a column an outcome; holds the
            trees' intercept.
        slope: What trees and offsets are multiplied by before, likewise.
        dispersion: Dispersion of the counts round their mean, likewise.
    """

    version: str
    fitted_on: list[str]
    phases: tuple[float, ...]
    shift: dict[str, list[list[float]]]
    slope: dict[str, list[list[float]]]
    dispersion: dict[str, list[list[float]]]


CALIBRATION = "calibration.json"


def save(calibration: Calibration, folder: Path) -> None:
    """Write the calibration's file."""
    (folder / CALIBRATION).write_text(json.dumps(asdict(calibration), indent=1) + "\n")


def load(folder: Path) -> Calibration:
    """The calibration of an artefact whose card was checked."""
    raw = json.loads((folder / CALIBRATION).read_bytes())
    return Calibration(**(raw | {"phases": tuple(raw["phases"])}))


def inputs(matrix: np.ndarray, outcome: np.ndarray | float) -> np.ndarray:
    """What the trees see: the outcome for the win probability, and nothing of the offsets."""
    seen = matrix.copy()
    seen[:, _OFFSET_COLUMNS] = 0
    seen[:, WIN] = outcome
    return seen


def offsets(matrix: np.ndarray, stat: str) -> Doubles:
    """What is added to the logarithm of a mean beside the trees, shape [n]."""
    return np.asarray(np.nan_to_num(matrix[:, _OFFSET_PLACES[stat]].astype(np.float64)).sum(axis=1))


def _monotone(stat: str) -> tuple[int, ...]:
    directions = {"win_probability": _MORE[stat], f"player_{stat}_mean": 1}
    return tuple(directions.get(name, 0) for name in NAMES)


def _data(matrix: np.ndarray) -> xgb.DMatrix:
    return xgb.DMatrix(matrix, feature_names=list(NAMES), nthread=PARAMS["nthread"])


def fit(rows: Rows, stat: str, seed: int, rounds: int = ROUNDS) -> Trees:
    """Fit the trees of a stat; the same rows and seed give the same trees."""
    target = rows.to_come(stat)
    intercept = float(np.log(target.mean()))
    data = _data(inputs(rows.matrix, rows.won))
    data.set_info(label=target, base_margin=intercept + offsets(rows.matrix, stat))
    params = {**PARAMS, "seed": seed, "monotone_constraints": _monotone(stat)}
    return Trees(xgb.train(params, data, rounds), intercept)


def margin(booster: xgb.Booster, matrix: np.ndarray, outcome: np.ndarray | float) -> Doubles:
    """What the trees add to the logarithm of the mean, shape [n]."""
    said = booster.predict(_data(inputs(matrix, outcome)), output_margin=True)
    return np.asarray(said, dtype=np.float64)


def general(trees: Trees, rows: Rows, stat: str) -> Doubles:
    """Uncalibrated means given who won, shape [n]."""
    known = trees.intercept + offsets(rows.matrix, stat)
    return np.asarray(np.exp(margin(trees.booster, rows.matrix, rows.won) + known))


def phase_of(minutes: np.ndarray, phases: tuple[float, ...] = PHASES) -> np.ndarray:
    """The phase of each clock."""
    return np.searchsorted(np.array(phases), minutes, side="right")


def calibrate(
    trees: dict[str, Trees],
    rows: Rows,
    fitted_on: list[str],
    version: str,
    on_stat: Callable[[], None] = lambda: None,
) -> Calibration:
    """Shifts, slopes and dispersions of greatest likelihood on rows that the trees were not fitted to."""
    phase = phase_of(rows.minutes)
    found: dict[str, dict[str, list[list[float]]]] = {"shift": {}, "slope": {}, "dispersion": {}}
    for stat in COUNTED:
        log_mean = np.log(general(trees[stat], rows, stat)) - trees[stat].intercept
        came = rows.to_come(stat)
        cells = [
            [
                _cell(log_mean[chosen], came[chosen], trees[stat].intercept)
                for outcome in range(len(OUTCOMES))
                for chosen in [(phase == number) & (rows.won == outcome)]
            ]
            for number in range(len(PHASES) + 1)
        ]
        for place, of in enumerate(found.values()):
            of[stat] = [[cell[place] for cell in row] for row in cells]
        on_stat()
    return Calibration(version, fitted_on, PHASES, found["shift"], found["slope"], found["dispersion"])


def _cell(log_mean: np.ndarray, came: np.ndarray, intercept: float) -> tuple[float, float, float]:
    """Shift, slope and dispersion of one phase and outcome; the trees as they are where it has few rows."""
    shift, slope = intercept, 1.0
    if len(came) >= _FEWEST:
        shift, slope = _regression(log_mean, came)
    shift, slope = float(np.float32(shift)), float(np.float32(slope))
    return shift, slope, dispersion_of(came, np.exp(shift + slope * log_mean))


def _regression(log_mean: np.ndarray, came: np.ndarray) -> tuple[float, float]:
    """Shift and slope of the Poisson regression of counts on a logarithm, by Newton's method."""
    design = np.column_stack((np.ones(len(came)), log_mean))
    theta = np.array((np.log(came.mean() / np.exp(log_mean).mean()), 1.0))
    for _ in range(50):
        mean = np.exp(design @ theta)
        step = np.linalg.solve((design * mean[:, None]).T @ design, design.T @ (came - mean))
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            break
    return float(theta[0]), float(theta[1])


def dispersion_of(came: np.ndarray, mean: np.ndarray) -> float:
    """The dispersion of greatest likelihood, of counts with known means; 0 where there are none."""
    if not len(came):
        return 0.0

    def loss(log_dispersion: float) -> float:
        said = NegativeBinomial.of(mean, np.exp(log_dispersion))
        return -float(np.log(np.maximum(said.pmf(came), 1e-300)).sum())

    found = optimize.minimize_scalar(loss, bounds=(-9.0, 2.0), method="bounded", options={"xatol": 1e-3})
    return float(np.float32(np.exp(found.x)))


def predict(
    boosters: dict[str, xgb.Booster],
    calibration: Calibration,
    matrix: np.ndarray,
    stats: Sequence[str] = COUNTED,
) -> dict[str, np.ndarray]:
    """The outputs of some stats by name (``contract.OUTPUTS``), as ``model.onnx`` gives them."""
    phase = phase_of(matrix[:, CLOCK], calibration.phases)
    found = {}
    for stat in stats:
        margins = [margin(boosters[stat], matrix, outcome) for outcome in range(len(OUTCOMES))]
        log_mean = np.column_stack(margins) + offsets(matrix, stat)[:, None]
        shift, slope = (np.array(of[stat])[phase] for of in (calibration.shift, calibration.slope))
        found[f"{stat}_mean"] = np.exp(shift + slope * log_mean)
        found[f"{stat}_dispersion"] = np.array(calibration.dispersion[stat])[phase]
    return found
