"""From the pre-match estimate into the live one: how much each counts at each moment of the match.

Where something is known before the match, the log odds that blue wins are

    shift(clock) + before(clock) × pre-match log odds + live(clock) × live log odds

with three functions that are linear between knots of the match clock. They are fitted to rehearsed seasons,
so the result is calibrated by minute, and it flows: at clock 0 the pre-match estimate is nearly all, and
nothing jumps when the first events come. Where nothing is known before the match the live log odds stand as
they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.win_probability.data import MINUTE_MS
from riftstream.errors import ModelError

Doubles = np.ndarray[Any, np.dtype[np.float64]]

FILE = "flow.json"
KNOTS = (0.0, 4.0, 8.0, 12.0, 16.0, 20.0, 25.0, 30.0, 40.0)
"""Minutes of the match clock; after the last one nothing changes any more."""

_SMOOTH = 200.0
_PARTS = 3


@dataclass(frozen=True)
class Flow:
    """The three functions.

    Attributes:
        version: Version of the calibration, a number as text.
        fitted_on: Seasons that it was fitted on.
        knots: Minutes.
        shift: Values at the knots, likewise the other two.
        before: Weight of the pre-match log odds.
        live: Weight of the live log odds.
    """

    version: str
    fitted_on: list[str]
    knots: tuple[float, ...]
    shift: tuple[float, ...]
    before: tuple[float, ...]
    live: tuple[float, ...]

    def __call__(self, live: Doubles, before: Doubles, clock_ms: np.ndarray) -> Doubles:
        """Log odds that blue wins, shape [n]; the live ones where ``before`` is NaN."""
        minutes = np.asarray(clock_ms, np.float64) / MINUTE_MS
        shift, weight_before, weight_live = (
            np.interp(minutes, self.knots, values) for values in (self.shift, self.before, self.live)
        )
        both = shift + weight_before * np.nan_to_num(before) + weight_live * live
        return np.where(np.isnan(before), live, both)


def fit(
    live: Doubles,
    before: Doubles,
    clock_ms: np.ndarray,
    won: np.ndarray,
    fitted_on: Sequence[str],
    version: str,
    weights: Doubles | None = None,
) -> Flow:
    """The functions of greatest likelihood, where a step between neighbouring knots has its price.

    Args:
        live: Live log odds, calibrated over all minutes, shape [n].
        before: Pre-match log odds, shape [n]; states without one are left out.
        clock_ms: Match clock, shape [n].
        won: 1 where blue won, shape [n].
        fitted_on: Seasons of the states.
        version: Version of the calibration.
        weights: How often each state counts, shape [n]; once by default.

    Raises:
        ModelError: A lead would count against who has it.
    """
    known = ~np.isnan(before)
    weights = np.ones(len(live)) if weights is None else weights
    live, before, clock_ms, won, weights = (
        np.asarray(values)[known] for values in (live, before, clock_ms, won, weights)
    )
    hats = _hats(np.asarray(clock_ms, np.float64) / MINUTE_MS)
    design = np.concatenate((hats, hats * before[:, None], hats * live[:, None]), axis=1)
    steps = np.diff(np.eye(len(KNOTS)), axis=0)
    penalty = np.kron(np.eye(_PARTS), _SMOOTH * steps.T @ steps) + 1e-3 * np.eye(design.shape[1])
    theta = np.concatenate((np.zeros(len(KNOTS)), np.full(len(KNOTS), 0.5), np.ones(len(KNOTS))))
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ theta))
        gradient = design.T @ (weights * (won - p)) - penalty @ theta
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature, gradient)
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            break
    values = [tuple(float(np.float32(value)) for value in part) for part in theta.reshape(_PARTS, -1)]
    if min(values[2]) <= 0:
        raise ModelError(
            "The calibration by minute would make a lead count against who has it.",
            "There are too few matches to fit it to; give more.",
        )
    return Flow(version, sorted(fitted_on), KNOTS, *values)


def _hats(minutes: Doubles) -> Doubles:
    """The weight of each knot at each moment, shape [n, knots]."""
    eye = np.eye(len(KNOTS))
    return np.column_stack([np.interp(minutes, KNOTS, row) for row in eye])


def save(flow: Flow, folder: Path) -> None:
    """Write the calibration's file."""
    (folder / FILE).write_text(json.dumps(asdict(flow), indent=1) + "\n")


def load(folder: Path) -> Flow:
    """The calibration of an artefact whose card was checked."""
    raw = json.loads((folder / FILE).read_bytes())
    names = ("knots", "shift", "before", "live")
    return Flow(**(raw | {name: tuple(raw[name]) for name in names}))
