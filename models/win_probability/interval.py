"""The interval round a probability: how far the truth of states like this one may lie from it.

Half widths are in log odds, by cell: phase of the match × how decided it is. A cell's half width is

    z(level) × spread × inflation

where *spread* is the root mean square, over the cell's validation states, of the standard deviation of
their log odds under models of other draws of matches (fitted and calibrated anew). *Inflation* is one
number for what other draws cannot show, above all that seasons differ: the smallest from 1 up, in steps of
0.05, with which a season is covered as often as the level says by trees of earlier and calibration of other
seasons. Those trees learnt from fewer matches, so their spread is taken for wider, by the root of that ratio.

What it promises: of groups of like states in a season to come, a share of ``level`` has its long-run rate of
blue wins inside the mean interval. The card tells how often that held on the test split.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.artefact import INTERVAL
from models.metrics import bins, clustered_error
from models.win_probability.data import MINUTE_MS, States
from models.win_probability.features import FEATURES
from models.win_probability.train import Doubles, Rehearsal, calibrate_on, flow_on, probability

LEVEL = 0.9
Z = 1.6448536269514722
"""The 95th percentile of the standard normal distribution: a two-sided interval of level 0.9."""

PHASE_EDGES_MS = tuple(minute * MINUTE_MS for minute in (5, 10, 15, 20, 25, 30, 35))
LEAD_EDGES = (0.5, 1.0, 1.5, 2.0, 3.0)
"""Edges of the absolute log odds."""

_CLOCK = FEATURES.index("clock_ms")
_FEWEST = 30
_STEPS = 80


@dataclass(frozen=True)
class Table:
    """Half widths by cell.

    Attributes:
        level: Stated coverage.
        phase_edges_ms: Edges of the match clock; a value on an edge lies above it.
        lead_edges: Edges of the absolute log odds.
        half_widths: Half widths in log odds, one row a phase.
        inflation: The factor that they hold.
    """

    level: float
    phase_edges_ms: tuple[int, ...]
    lead_edges: tuple[float, ...]
    half_widths: tuple[tuple[float, ...], ...]
    inflation: float

    def widened(self, factor: float) -> Table:
        """The same with all half widths times a factor."""
        rows = tuple(tuple(half * factor for half in row) for row in self.half_widths)
        return replace(self, half_widths=rows)

    def around(self, log_odds: Doubles, clock_ms: np.ndarray) -> tuple[Doubles, Doubles]:
        """Lower and upper ends as probabilities, each of shape [n]."""
        half = np.array(self.half_widths)[_cells(log_odds, clock_ms)]
        return probability(log_odds - half), probability(log_odds + half)


def load_table(folder: Path, file: str = INTERVAL) -> Table:
    """A table of an artefact whose card was checked."""
    raw = json.loads((folder / file).read_bytes())
    return Table(
        level=raw["level"],
        phase_edges_ms=tuple(raw["phase_edges_ms"]),
        lead_edges=tuple(raw["lead_edges"]),
        half_widths=tuple(map(tuple, raw["half_widths"])),
        inflation=raw["inflation"],
    )


def _cells(log_odds: Doubles, clock_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    phase = np.searchsorted(PHASE_EDGES_MS, clock_ms, side="right")
    return phase, np.searchsorted(LEAD_EDGES, np.abs(log_odds), side="right")


def make(states: States, log_odds: Doubles, others: Doubles, covered: Callable[[Table], float]) -> Table:
    """The table.

    Args:
        states: Validation states.
        log_odds: What the model says of them, shape [n].
        others: What models of other draws say, shape [replicates, n].
        covered: How much of the rehearsed seasons a table covers, see ``rehearsed_coverage``.
    """
    phase, lead = _cells(log_odds, states.matrix[:, _CLOCK])
    shape = (len(PHASE_EDGES_MS) + 1, len(LEAD_EDGES) + 1)
    cell = np.ravel_multi_index((phase, lead), shape)
    size = shape[0] * shape[1]
    squares = np.bincount(cell, others.var(axis=0, ddof=1), size)
    counts = np.bincount(cell, minlength=size)
    # A cell with few states borrows from its phase, so that no cell is wide or narrow by chance.
    by_phase = squares.reshape(shape).sum(1) / np.maximum(counts.reshape(shape).sum(1), 1)
    of_phase = np.repeat(by_phase, shape[1])
    known = np.where(counts >= _FEWEST, squares / np.maximum(counts, 1), of_phase)
    half = Z * np.sqrt(known).reshape(shape)

    def table(inflation: float) -> Table:
        rows = tuple(tuple(float(np.float32(value)) for value in row) for row in half * inflation)
        return Table(LEVEL, PHASE_EDGES_MS, LEAD_EDGES, rows, inflation)

    steps = (table(round(1 + 0.05 * step, 2)) for step in range(_STEPS))
    covering = (found for found in steps if covered(found) >= LEVEL)
    return next(covering, table(round(1 + 0.05 * _STEPS, 2)))


@dataclass(frozen=True)
class Season:
    """A rehearsed season, calibrated on the other seasons.

    Attributes:
        name: The season.
        states: Its states.
        log_odds: What is said of them, shape [n].
        widening: How much wider the spread of its model is than that of the model, which learnt from more.
    """

    name: str
    states: States
    log_odds: Doubles
    widening: float

    def covered(self, table: Table) -> dict[str, Any]:
        """What the table covers of it, see ``coverage``."""
        return coverage(table.widened(self.widening), self.states, self.log_odds)


def rehearsed(rehearsals: Sequence[Rehearsal], known_before: bool, learnt: int) -> list[Season]:
    """Each rehearsed season, calibrated on the other ones.

    Args:
        rehearsals: The seasons.
        known_before: With what was known before each match; by the live state alone otherwise.
        learnt: Matches that the model was fitted to.
    """
    found = []
    for rehearsal in rehearsals:
        others = [other for other in rehearsals if other is not rehearsal]
        platt = calibrate_on(others)
        log_odds = platt(rehearsal.margins)
        if known_before:
            clock = rehearsal.states.matrix[:, _CLOCK]
            log_odds = flow_on(others, platt)(log_odds, rehearsal.before, clock)
        widening = float(np.sqrt(learnt / rehearsal.learnt))
        found.append(Season(rehearsal.season, rehearsal.states, log_odds, widening))
    return found


def rehearsed_coverage(table: Table, seasons: Sequence[Season]) -> float:
    """Share of groups that are covered, mean over rehearsed seasons."""
    return float(np.mean([season.covered(table)["covered"] for season in seasons]))


def coverage(table: Table, states: States, log_odds: Doubles) -> dict[str, Any]:
    """How often groups of like states have their rate of blue wins inside the mean interval.

    Groups are five minutes of match clock × a tenth of probability, with at least 30 matches. The observed
    rate of a group is itself uncertain; its standard error, clustered by match, is added in quadrature.
    ``raw`` is the same without that: a lower bound, as the observation's noise counts against the interval.

    Returns:
        ``groups``, ``covered`` and ``raw`` (shares of groups), ``by_probability`` (the same over all minutes,
        one group a tenth) and ``mean_width`` (of the interval, in probability).
    """
    p = probability(log_odds)
    low, high = table.around(log_odds, states.matrix[:, _CLOCK])
    fine = _covered(p, low, high, states, (states.minute - 1) // 5 * 100 + bins(p))
    coarse = _covered(p, low, high, states, bins(p))
    return {
        "level": table.level,
        "groups": len(fine),
        "covered": float(fine[:, 0].mean()),
        "raw": float(fine[:, 1].mean()),
        "by_probability": {
            "groups": len(coarse),
            "covered": float(coarse[:, 0].mean()),
            "raw": float(coarse[:, 1].mean()),
        },
        "mean_width": float((high - low).mean()),
    }


def _covered(p: Doubles, low: Doubles, high: Doubles, states: States, group: np.ndarray) -> np.ndarray:
    """For each group: whether it is covered with the observation's error, and without, shape [groups, 2]."""
    found = []
    for value in np.unique(group):
        chosen = group == value
        match = states.match[chosen]
        if len(np.unique(match)) < _FEWEST:
            continue
        residual = states.won[chosen] - p[chosen]
        off = residual.mean()
        half = (high[chosen] - p[chosen]).mean() if off > 0 else (p[chosen] - low[chosen]).mean()
        error = Z * clustered_error(residual, match)
        found.append((abs(off) <= np.hypot(half, error), abs(off) <= half))
    return np.array(found, dtype=float).reshape(-1, 2)
