"""Feature service ``win_probability_v1``: what the model reads of MatchFeatures, in which order.

A change of this list is a new service: give it a new name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MODEL = "win_probability"
SERVICE = "win_probability_v1"

FEATURES: tuple[str, ...] = (
    "clock_ms",
    "kills_diff",
    "towers_diff",
    "inhibitors_diff",
    "dragons_diff",
    "air_dragons_diff",
    "earth_dragons_diff",
    "fire_dragons_diff",
    "water_dragons_diff",
    "elder_dragons_diff",
    "heralds_diff",
    "barons_diff",
    "kills_blue",
    "kills_red",
    "kills_diff_1m",
    "kills_diff_3m",
    "kills_diff_5m",
    "kills_blue_3m",
    "kills_red_3m",
    "towers_diff_1m",
    "towers_diff_3m",
    "towers_diff_5m",
    "towers_alive_blue",
    "towers_alive_red",
    "first_blood_blue",
    "first_blood_red",
    "first_tower_blue",
    "first_tower_red",
    "inhibitors_down_blue",
    "inhibitors_down_red",
    "baron_power_blue",
    "baron_power_red",
    "dragon_alive",
    "herald_alive",
    "baron_alive",
    "since_kill_ms",
    "since_tower_ms",
    "since_dragon_ms",
    "since_baron_ms",
    "gold_blue",
    "gold_red",
    "gold_diff",
    "gold_diff_3m",
    "gold_diff_5m",
)

_GOOD_FOR_BLUE = ("towers_alive_blue", "first_blood_blue", "first_tower_blue", "baron_power_blue")
_GOOD_FOR_RED = ("towers_alive_red", "first_blood_red", "first_tower_red", "baron_power_red")


def monotone(name: str) -> int:
    """1 where more of a feature must not make blue less likely to win, -1 for the contrary, else 0.

    Leads are constrained; totals of one side, clocks and what is alive are not.
    """
    if "_diff" in name or name in (*_GOOD_FOR_BLUE, "inhibitors_down_red"):
        return 1
    return -1 if name in (*_GOOD_FOR_RED, "inhibitors_down_blue") else 0


def mirrored(name: str) -> tuple[str, int]:
    """The feature that holds this one's value when the sides change places, and its sign."""
    if "_diff" in name:
        return name, -1
    for side, other in (("_blue", "_red"), ("_red", "_blue")):
        if side in name:
            return name.replace(side, other), 1
    return name, 1


def mirror(matrix: np.ndarray, features: Sequence[str] = FEATURES) -> np.ndarray:
    """The same states with blue and red in each other's place, shape [n, f]."""
    places = [features.index(mirrored(name)[0]) for name in features]
    signs = np.array([mirrored(name)[1] for name in features], dtype=matrix.dtype)
    return np.asarray(matrix[:, places] * signs)
