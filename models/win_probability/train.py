"""Fitting ``win_probability``: boosted trees with monotone leads, calibrated inside the booster.

Sides are symmetric but for blue's small advantage. So every state is learnt twice, once as it was and once
mirrored, with that advantage as the margin that the trees start from: it doubles the data and keeps the trees
from learning one side's accidents.

A season ahead, leads are worth a little less than in the seasons learnt from, by an amount that differs from
season to season. So Platt scaling is fitted to rehearsals: three seasons, the validation split the last of
them, each predicted by a model of the seasons before it. It is then written into the leaves, so that
everything which reads the model file gives the same calibrated number.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xgboost as xgb

from models.metrics import log_loss
from models.win_probability import flow, pre_match
from models.win_probability.data import Corpus, Ints, States, at_minutes, sampled
from models.win_probability.features import FEATURES, mirror, monotone
from riftstream.errors import ModelError

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_CLOCK = FEATURES.index("clock_ms")
PENALTIES = (1.0, 10.0, 100.0, 300.0, 1000.0)
REHEARSED = ("2016 Spring", "2016 Summer", "2017 Spring")
ROUNDS = 400
PARAMS: dict[str, Any] = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "eta": 0.03,
    "max_depth": 4,
    "min_child_weight": 200,
    "reg_lambda": 5,
    "subsample": 0.7,
    "colsample_bytree": 0.4,
    # The sums over rows, and so the bytes of the model, depend on the number of threads.
    "nthread": 1,
    "base_score": 0.5,
}


@dataclass(frozen=True)
class Fit:
    """A fitted model before calibration.

    Attributes:
        booster: The trees, whose margin starts from ``advantage``.
        advantage: Log odds that blue wins, over the training matches.
    """

    booster: xgb.Booster
    advantage: float

    def margins(self, states: States) -> Doubles:
        """Uncalibrated log odds that blue wins, shape [n]."""
        trees = self.booster.predict(_matrix(states.matrix), output_margin=True)
        return self.advantage + trees.astype(np.float64)


@dataclass(frozen=True)
class Platt:
    """Calibrated log odds are ``shift + slope × log odds`` (Platt 1999)."""

    shift: float
    slope: float

    def __call__(self, margins: Doubles) -> Doubles:
        """Calibrated log odds."""
        return self.shift + self.slope * margins


def probability(log_odds: Doubles) -> Doubles:
    """The probability of log odds."""
    return np.asarray(1 / (1 + np.exp(-log_odds)))


def fit(states: States, seed: int, weights: Doubles | None = None) -> Fit:
    """Fit the trees.

    Args:
        states: The training states.
        seed: Seed of the row and column sampling; the same seed and states give the same trees.
        weights: Weight of each state, shape [n]; all 1 by default.
    """
    weights = np.ones(len(states.won)) if weights is None else weights
    kept = weights > 0
    states, weights = states.where(kept), weights[kept]
    _, first = np.unique(states.match, return_index=True)
    share = np.average(states.won[first], weights=weights[first])
    advantage = float(np.log(share / (1 - share)))
    both = np.concatenate((states.matrix, mirror(states.matrix)))
    count = len(states.won)
    rows = _matrix(both)
    rows.set_info(
        label=np.concatenate((states.won, 1 - states.won)),
        weight=np.concatenate((weights, weights)),
        base_margin=np.repeat((advantage, -advantage), count),
    )
    constraints = tuple(monotone(name) for name in FEATURES)
    params = {**PARAMS, "seed": seed, "monotone_constraints": constraints}
    return Fit(xgb.train(params, rows, ROUNDS), advantage)


def _matrix(matrix: np.ndarray) -> xgb.DMatrix:
    return xgb.DMatrix(matrix, feature_names=list(FEATURES), nthread=PARAMS["nthread"])


def calibrate(margins: Doubles, won: Ints, weights: Doubles | None = None) -> Platt:
    """Fit Platt scaling by Newton's method: the shift and slope of greatest likelihood."""
    weights = np.ones(len(won)) if weights is None else weights
    design = np.column_stack((np.ones(len(won)), margins))
    theta = np.array((0.0, 1.0))
    for _ in range(50):
        p = probability(design @ theta)
        gradient = design.T @ (weights * (won - p))
        curvature = (design * (weights * p * (1 - p))[:, None]).T @ design
        step = np.linalg.solve(curvature, gradient)
        theta = theta + step
        if np.abs(step).max() < 1e-10:
            break
    return Platt(float(theta[0]), float(theta[1]))


def bake(fitted: Fit, platt: Platt) -> xgb.Booster:
    """The calibrated model as one plain booster: leaves scaled, the shift in the leaves of the first tree.

    The base score stays 0.5, which is log odds of 0, because readers of the file differ in how they take it.
    """
    model = json.loads(fitted.booster.save_raw("json"))
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    shift = platt.shift + platt.slope * fitted.advantage
    for number, tree in enumerate(trees):
        for node, child in enumerate(tree["left_children"]):
            if child == -1:
                value = platt.slope * tree["split_conditions"][node] + (shift if number == 0 else 0.0)
                tree["split_conditions"][node] = tree["base_weights"][node] = float(np.float32(value))
    booster = xgb.Booster()
    booster.load_model(bytearray(json.dumps(model).encode()))
    return booster


@dataclass(frozen=True)
class Rehearsal:
    """A season that was predicted by a model of all seasons before it, as a served model meets a new one.

    Attributes:
        season: The season.
        states: Its states at each minute.
        margins: Their uncalibrated log odds, shape [n].
        learnt: Matches that the model was fitted to.
        before: Log odds before the match by a regression on the seasons before it, NaN where nothing was
            known, shape [n].
    """

    season: str
    states: States
    margins: Doubles
    learnt: int
    before: Doubles


def rehearse(
    corpus: Corpus, seed: int, penalty: float, on_fit: Callable[[], None] = lambda: None
) -> list[Rehearsal]:
    """Predict each season of ``REHEARSED`` from the seasons before it.

    Args:
        corpus: All states.
        seed: Seed of the fits.
        penalty: Penalty of the pre-match regression.
        on_fit: Called after each of them.

    Raises:
        ModelError: There are no matches of one of these seasons, or none before it.
    """
    found = []
    for season, before, matches in seasons_ahead(corpus):
        states = at_minutes(corpus, matches)
        margins = fit(sampled(corpus, before), seed).margins(states)
        known = fit_before(corpus, before, penalty).log_odds(corpus.before)
        found.append(Rehearsal(season, states, margins, len(before), known[states.match]))
        on_fit()
    return found


def fit_before(
    corpus: Corpus, matches: Ints, penalty: float, weights: Doubles | None = None, version: str = "0"
) -> pre_match.PreMatch:
    """The pre-match regression of some matches."""
    return pre_match.fit(
        corpus.before[matches], corpus.won[matches], corpus.season[matches], version, penalty, weights
    )


def choose_penalty(corpus: Corpus) -> tuple[float, dict[str, float]]:
    """The penalty with which training predicts validation best, and the log loss of each, in nats."""
    train, validation = corpus.matches("train"), corpus.matches("validation")
    losses = {}
    for penalty in PENALTIES:
        said = fit_before(corpus, train, penalty).log_odds(corpus.before[validation])
        known = ~np.isnan(said)
        p, won = probability(said[known]), corpus.won[validation][known]
        losses[str(penalty)] = log_loss(p, won, np.ones(len(won))) if known.any() else float("nan")
    return float(min(losses, key=losses.__getitem__)), losses


def seasons_ahead(corpus: Corpus) -> Iterator[tuple[str, Ints, Ints]]:
    """Each season of ``REHEARSED``: its name, the matches before it, its matches.

    Raises:
        ModelError: There are no matches of one of these seasons, or none before it.
    """
    for season in REHEARSED:
        before, matches = (np.flatnonzero(m) for m in (corpus.season < season, corpus.season == season))
        if not len(before) or not len(matches):
            raise ModelError(
                f"There are no matches of {season}, or none before it.",
                f"Calibration needs these seasons: {', '.join(REHEARSED)}.",
            )
        yield season, before, matches


def calibrate_on(rehearsals: Sequence[Rehearsal], random: np.random.Generator | None = None) -> Platt:
    """Platt scaling over all states of rehearsals; over a bootstrap draw of their matches where asked."""
    weights = None if random is None else _drawn(rehearsals, random)
    margins = np.concatenate([rehearsal.margins for rehearsal in rehearsals])
    return calibrate(margins, np.concatenate([r.states.won for r in rehearsals]), weights)


def flow_on(
    rehearsals: Sequence[Rehearsal],
    platt: Platt,
    random: np.random.Generator | None = None,
    version: str = "0",
) -> flow.Flow:
    """How pre-match and live log odds go together, over rehearsals or a bootstrap draw of their matches.

    Raises:
        ModelError: A lead would count against who has it.
    """
    weights = None if random is None else _drawn(rehearsals, random)
    return flow.fit(
        platt(np.concatenate([rehearsal.margins for rehearsal in rehearsals])),
        np.concatenate([rehearsal.before for rehearsal in rehearsals]),
        np.concatenate([rehearsal.states.matrix[:, _CLOCK] for rehearsal in rehearsals]),
        np.concatenate([rehearsal.states.won for rehearsal in rehearsals]),
        [rehearsal.season for rehearsal in rehearsals],
        version,
        weights,
    )


def _drawn(rehearsals: Sequence[Rehearsal], random: np.random.Generator) -> Doubles:
    """How often each state counts in a bootstrap draw of each season's matches."""
    drawn = [resampled(np.unique(r.states.match), random)[r.states.match] for r in rehearsals]
    return np.concatenate(drawn).astype(np.float64)


def resampled(matches: Ints, random: np.random.Generator) -> Ints:
    """How often each match number occurs in a bootstrap sample of the matches, by match number."""
    return np.bincount(random.choice(matches, len(matches)), minlength=int(matches.max()) + 1)


def spread(
    corpus: Corpus,
    rehearsals: Sequence[Rehearsal],
    seed: int,
    replicates: int,
    penalty: float,
    on_fit: Callable[[], None] = lambda: None,
) -> tuple[Doubles, Doubles]:
    """Log odds of the validation states under models of other draws of matches.

    Each replicate fits the trees and the pre-match regression to one draw of the training matches, with
    replacement, and the calibrations to one of the rehearsals' matches.

    Returns:
        Log odds by the live state alone, and with what was known before, each of shape [replicates, n].
    """
    matches = corpus.matches("train")
    training = sampled(corpus, matches)
    validation = at_minutes(corpus, corpus.matches("validation"))
    clock = validation.matrix[:, _CLOCK]
    alone, both = [], []
    for number in range(replicates):
        random = np.random.default_rng((seed, number))
        counts = resampled(matches, random).astype(np.float64)
        margins = fit(training, seed + 1 + number, counts[training.match]).margins(validation)
        before = fit_before(corpus, matches, penalty, counts[matches]).log_odds(corpus.before)
        state = random.bit_generator.state
        platt = calibrate_on(rehearsals, random)
        # The same draw of the rehearsals' matches again.
        random.bit_generator.state = state
        alone.append(platt(margins))
        flowing = flow_on(rehearsals, platt, random)
        both.append(flowing(alone[-1], before[validation.match], clock))
        on_fit()
    return np.array(alone), np.array(both)
