"""What an answer stood on, read again: the question and who was likely to win as its ``Prediction`` has them.

Whoever has a reader that says what the online store held at the time of an answer, gets the vectors of the
answer by the very code that made them.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from features.online import OnlineReader
from models.artefact import Card
from models.win_probability.pre_match import INPUTS
from serving.engine import Kind, Known, Sources
from serving.pre_match import Inputs, Match
from serving.questions import Question
from streams.avro import Record


def read_again(kind: Kind, reader: OnlineReader, card: Card, prediction: Record) -> Known:
    """What was known when a prediction was made.

    Args:
        kind: What its model answers about.
        reader: Says what the online store held then.
        card: The version of its model.
        prediction: An answer that is not degraded.

    Returns:
        What was known; its ``sha256`` is the prediction's where the reader says what the store said then.
    """
    sources = Sources(reader, _Recorded(prediction), threading.Lock(), _Chances(prediction))
    (known,) = kind.read(sources, card, [kind.asked(prediction)])
    return known


class _Recorded:
    """What was known before a match, by its prediction's record."""

    def __init__(self, prediction: Record) -> None:
        inputs = prediction["pre_match_inputs"]
        self._inputs = np.full(len(INPUTS), np.nan) if inputs is None else np.array(inputs, np.float64)
        self._time_ms: int = prediction["event_time"]

    def of(self, matches: Sequence[Match]) -> Inputs:
        """See ``pre_match.Before.of``."""
        return np.tile(self._inputs, (len(matches), 1))

    def read(self, matches: Sequence[Match]) -> tuple[Inputs, list[bool], list[int]]:
        """See ``pre_match.Before.read``."""
        return self.of(matches), [True] * len(matches), [self._time_ms] * len(matches)


class _Chances:
    """Probability that blue wins, by what the record of a player's prediction says of the player's team."""

    def __init__(self, prediction: Record) -> None:
        self._prediction = prediction

    def __call__(self, questions: Sequence[Question]) -> list[float | None]:
        return [self._blue(question) for question in questions]

    def _blue(self, question: Question) -> float | None:
        said = self._prediction
        to_come = question.blue_team is not None
        name = "win_probability_next" if to_come and said["match_id"] else "win_probability"
        own: float | None = said[name]
        on_blue = question.red_team == said["opponent"] if to_come else said["side"] == "blue"
        return own if own is None or on_blue else 1 - own
