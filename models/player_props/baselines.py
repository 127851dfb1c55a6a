"""The two baselines that props must beat: the player's running mean and the mean of the role, as
distributions.

Both are negative binomials with the dispersion of the role in training. While a match runs they add what is
counted to their mean times the share of an average match that is still to come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.player_props.contract import COUNTED, FANTASY, NAMES, ROLES
from models.player_props.data import Games, Rows
from models.player_props.distribution import CountDistribution, Doubles, Ints, NegativeBinomial, total
from models.player_props.fit import dispersion_of

NAMES_OF = ("player_mean", "role_mean")


@dataclass(frozen=True)
class Roles:
    """Means and dispersions of whole maps by stat and role in training, and the mean length in minutes."""

    mean: dict[str, Doubles]
    dispersion: dict[str, Doubles]
    minutes: float


def fit(games: Games, training: Ints) -> Roles:
    """The roles of the training games."""
    rows = [games.rows[place] for place in training]
    role = np.array([ROLES.index(row["role"]) for row in rows])
    mean: dict[str, Doubles] = {}
    dispersion: dict[str, Doubles] = {}
    for stat in COUNTED:
        counts = np.array([row[stat] for row in rows])
        groups = [counts[role == place] for place in range(len(ROLES))]
        mean[stat] = np.array([group.mean() for group in groups])
        dispersion[stat] = np.array([dispersion_of(g, np.full(len(g), g.mean())) for g in groups])
    lengths = [row["duration_ms"] for row in rows if row["duration_ms"]]
    return Roles(mean, dispersion, float(np.mean(lengths)) / 60_000)


def running_means(games: Games, roles: Roles) -> dict[str, Doubles]:
    """Mean of each stat over the player's earlier games, by game; one game of the role's mean is added."""
    sums: dict[str, list[float]] = {}
    found: dict[str, list[float]] = {stat: [] for stat in COUNTED}
    for row in games.rows:
        so_far = sums.setdefault(row["player_id"], [0.0] * (1 + len(COUNTED)))
        place = ROLES.index(row["role"])
        for number, stat in enumerate(COUNTED, 1):
            found[stat].append((so_far[number] + roles.mean[stat][place]) / (so_far[0] + 1))
        so_far[0] += 1
        for number, stat in enumerate(COUNTED, 1):
            so_far[number] += row[stat]
    return {stat: np.array(means) for stat, means in found.items()}


def said(games: Games, rows: Rows, roles: Roles) -> dict[str, dict[str, CountDistribution]]:
    """What the baselines say of rows, by baseline and stat."""
    role = np.array([ROLES.index(games.rows[place]["role"]) for place in rows.game])
    running = running_means(games, roles)
    left = np.maximum(1 - rows.minutes / roles.minutes, 0.05)
    found: dict[str, dict[str, CountDistribution]] = {name: {} for name in NAMES_OF}
    for stat in COUNTED:
        so_far = rows.matrix[:, NAMES.index(stat)].astype(np.int64)
        for name, mean in (("player_mean", running[stat][rows.game]), ("role_mean", roles.mean[stat][role])):
            found[name][stat] = NegativeBinomial.of(mean * left, roles.dispersion[stat][role], start=so_far)
    for of in found.values():
        of["fantasy"] = total([of[stat].tabulated().times(points) for stat, points in FANTASY.items()])
    return found


def lines(games: Games, roles: Roles, game: Ints, stat: str) -> Doubles:
    """The half line that a bookmaker would set by the player's running mean, shape [n]."""
    running = running_means(games, roles)
    if stat == "fantasy":
        mean: Any = sum(running[one] * points for one, points in FANTASY.items())
    else:
        mean = running[stat]
    return np.asarray(np.floor(mean[game]) + 0.5)


def stats_of(rows: Rows) -> dict[str, Ints]:
    """Totals of the whole map by stat, fantasy included."""
    return {**rows.final, "fantasy": np.asarray(sum(rows.final[s] * p for s, p in FANTASY.items()))}
