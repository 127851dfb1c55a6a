"""Questions about matches: win_probability on the state that the online store has of a match.

What is known before a match is an input beside its state. A match of which nothing has happened yet is
answered by that alone, where the question names the teams.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from features.online import State
from features.views import Service
from models.artefact import Card
from models.win_probability.features import FEATURES
from serving import pre_match
from serving.engine import Facts, Known, Sources
from serving.explain import MATCH_STATE as VIEW
from serving.explain import reasons
from serving.predictor import EVENTS
from serving.questions import MATCH, OF_MATCHES, OF_PLAYERS, Question, refusal_of
from serving.triton import OUTPUTS
from streams.avro import Record
from streams.clock import now_ms

_PLACE = (
    "event_id",
    "game_time_ms",
    "source_partition",
    "source_offset",
    "league",
    "blue_team",
    "red_team",
)
OVER = ("MATCH_END", "REMAKE")
"""Events after which a match is not played any more."""

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

    def asked(self, prediction: Record) -> Question:
        """The match, and its teams where it had not begun."""
        named = OF_MATCHES if prediction["source_offset"] < 0 else ()
        return Question.model_construct(
            subject_type=MATCH,
            subject_id=prediction["subject_id"],
            **{name: prediction[name] for name in named},
        )

    def context(self, question: Question) -> tuple[str, ...]:
        """The teams, where the question names them."""
        return (question.blue_team or "", question.red_team or "") if _teams(question) else ()

    def key(self, question: Question) -> tuple[str, ...]:
        """Nothing more."""
        return ()

    def refusal(self, question: Question) -> str:
        """A match has no statistic, and nothing else that is asked of a player."""
        return refusal_of(question, OF_PLAYERS, "A match has no {}; ask about a player.")

    def read(self, sources: Sources, card: Card, questions: Sequence[Question]) -> list[Known]:
        """The newest state of each match with what was known before it, or that alone."""
        features = _features(card.features)
        subjects = [question.subject_id for question in questions]
        vectors = sources.reader.get(_service(card.feature_service, card.name, features), subjects)
        matrix = vectors.numbers_of(features)
        rows = vectors.values_of((_EVENT_TYPE, *_PLACES))
        places = [dict(zip(_PLACE, place, strict=True)) for _, *place in rows]
        there = [bool(state != State.MISSING) for state in vectors.state[:, 0]]
        times = vectors.event_time[:, 0].tolist()
        with sources.lock:
            inputs = sources.before.of(
                [
                    pre_match.Match(subject, (place["blue_team"] or None, place["red_team"] or None), time_ms)
                    for subject, place, time_ms in zip(subjects, places, times, strict=True)
                ]
            )
        told = pre_match.told(pre_match.estimates(card, inputs), inputs)
        known = []
        for row, subject in enumerate(subjects):
            record = self._record(subject, places[row]) | {"event_time": times[row] if there[row] else None}
            record |= told[row]
            event_ms = record["event_time"]
            live = rows[row][0] not in OVER
            known.append(
                Known(matrix[row], record, event_ms, live, not there[row], before=record["pre_match"])
            )
        return self._not_begun(sources, card, questions, known)

    def _not_begun(
        self, sources: Sources, card: Card, questions: Sequence[Question], known: list[Known]
    ) -> list[Known]:
        """What is known; of matches that have no state, what is known of the teams that are named."""
        asked = [n for n, question in enumerate(questions) if known[n].missing and _teams(question)]
        if not asked:
            return known
        from models.win_probability.model import start

        matches = [
            pre_match.Match(
                questions[n].subject_id, (questions[n].blue_team, questions[n].red_team), now_ms()
            )
            for n in asked
        ]
        with sources.lock:
            inputs, _, newest = sources.before.read(matches)
        told = pre_match.told(pre_match.estimates(card, inputs), inputs)
        vector = start()[0, [FEATURES.index(name) for name in card.features]]
        for n, match, estimate, time_ms in zip(asked, matches, told, newest, strict=True):
            blue, red = match.teams
            record = self.nothing(card).record | {"match_id": match.match_id, "event_time": max(0, time_ms)}
            record |= {"blue_team": blue, "red_team": red} | estimate
            # It may begin at any moment, so its answer counts no longer than that of a match that goes on.
            unknown = record["pre_match"] is None
            known[n] = Known(vector, record, time_ms, True, unknown, before=record["pre_match"])
        return known

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
        return reasons(card, known.vector, known.before, known.record["pre_match_inputs"])


def _teams(question: Question) -> bool:
    """Whether a question names both teams."""
    return question.blue_team is not None and question.red_team is not None
