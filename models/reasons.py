"""Reasons: what each feature contributes to a prediction, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """What one feature does to one prediction.

    Attributes:
        features: Names of the features that it is about; several where they say one thing.
        value: Value of the first of them; None where unknown.
        contribution: What it adds, on the model's additive scale: log mean, or log odds.
        words: The same for people.
    """

    features: tuple[str, ...]
    value: float | None
    contribution: float
    words: str


def strongest(reasons: Sequence[Reason], most: int) -> list[Reason]:
    """The reasons that move a prediction most, strongest first."""
    return sorted(reasons, key=lambda reason: -abs(reason.contribution))[:most]
