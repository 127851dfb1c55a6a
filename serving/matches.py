"""Questions about matches: win_probability on the state that the online store has of a match."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from features.online import OnlineReader, State
from features.views import Service
from models.artefact import Card
from serving.engine import Facts, Known
from serving.explain import MATCH_STATE as VIEW
from serving.explain import reasons
from serving.predictor import EVENTS
from serving.questions import MATCH, Question
from serving.triton import OUTPUTS

_PLACE = (
    "event_id",
    "game_time_ms",
    "source_partition",
    "source_offset",
    "league",
    "blue_team",
    "red_team",
)
_OVER = ("MATCH_END", "REMAKE")
_EVENT_TYPE = f"{VIEW}:event_type"
_PLACES = tuple(f"{VIEW}:{name}" for name in _PLACE)


@lru_cache(maxsize=16)
def _features(card_features: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{VIEW}:{name}" for name in card_features)


@lru_cache(maxsize=16)
def _service(name: str, model: str, features: tuple[str, ...]) -> Service:
    """What is read: the model's features, and where the state stands in the log."""
    wanted = dict.fromkeys((_EVENT_TYPE, *_PLACES, *features))
    return Service(f"{name}, with its place", model, tuple(wanted), "")


class MatchKind:
    """Who wins a match. Answers a question about a match, by its state now."""

    model = "win_probability"
    subject_type = MATCH
    outputs = OUTPUTS

    def key(self, question: Question) -> tuple[str, ...]:
        """Nothing beside the match."""
        return ()

    def refusal(self, question: Question) -> str:
        """A match has no statistic and no line."""
        if question.statistic is None and question.line is None:
            return ""
        return "A match has no statistic and no line; ask about a player."

    def read(self, reader: OnlineReader, card: Card, subjects: Sequence[str]) -> list[Known]:
        """The newest state of each match."""
        features = _features(card.features)
        vectors = reader.get(_service(card.feature_service, card.name, features), subjects)
        matrix = vectors.numbers_of(features)
        rows = vectors.values_of((_EVENT_TYPE, *_PLACES))
        found = []
        for row, (event_type, *place) in enumerate(rows):
            there = vectors.state[row, 0] != State.MISSING
            record = self._record(subjects[row], dict(zip(_PLACE, place, strict=True)))
            event_ms = int(vectors.event_time[row, 0]) if there else None
            record["event_time"] = event_ms
            found.append(Known(matrix[row], record, event_ms, event_type not in _OVER, not there))
        return found

    def nothing(self, card: Card) -> Known:
        """A match of which no feature is known."""
        vector = np.full(len(card.features), np.nan, dtype=np.float32)
        place: dict[str, Any] = dict.fromkeys(_PLACE)
        place |= {"game_time_ms": 0, "source_partition": -1, "source_offset": -1}
        return Known(vector, self._record(None, place) | {"event_time": 0}, None, True)

    def facts(self, card: Card, question: Question, known: Known, said: list[np.ndarray] | None) -> Facts:
        """Probability that blue wins, with its interval; how often blue won in training as a fallback."""
        record = known.record | {"match_id": question.subject_id}
        if said is None:
            return Facts(record | {"probability": card.base_rate}, {})
        probability, low, high = (float(values.reshape(-1)[0]) for values in said)
        record |= {
            "probability": probability,
            "interval_low": low,
            "interval_high": high,
            "interval_level": card.interval_level,
        }
        return Facts(record, {})

    def _record(self, match_id: str | None, place: dict[str, Any]) -> dict[str, Any]:
        return {"match_id": match_id, "source_topic": EVENTS, **place}

    def reasons(self, card: Card, question: Question, known: Known) -> dict[str, Any]:
        """What each feature adds to blue's log odds."""
        return reasons(card, known.vector)
