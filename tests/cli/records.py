"""Records for the tests of this room: whole records of the schemas, zero or null where nothing is said."""

from __future__ import annotations

from typing import Any

from streams.avro import Record
from streams.schemas import for_topic

_ZEROS: dict[str, Any] = {"string": "", "int": 0, "long": 0, "double": 0.0, "boolean": False}

MATCH = "TRLH1/30030"


def record(topic: str, **values: Any) -> Record:
    """A record of a topic with these values; a name that the schema does not have is an error."""
    fields = for_topic(topic).fields
    unknown = set(values) - {field.name for field in fields}
    assert not unknown, f"{topic} has no {unknown}"
    blank = {field.name: None if field.nullable else _ZEROS[field.type] for field in fields}
    return blank | values


def event(number: int, **values: Any) -> Record:
    """The ``number``-th event of the match, a minute after the one before."""
    given = {"event_id": f"e{number}", "match_id": MATCH, "game_time_ms": number * 60_000} | values
    return record("live-matches", **given)


def features(number: int, **values: Any) -> Record:
    """The state after the ``number``-th event."""
    given = {
        "event_id": f"e{number}",
        "match_id": MATCH,
        "game_time_ms": number * 60_000,
        "clock_ms": number * 60_000,
        "source_offset": number,
    }
    return record("match-features", **(given | values))


def prediction(number: int, probability: float, **values: Any) -> Record:
    """The prediction after the ``number``-th event."""
    given = {
        "prediction_id": f"p{number}",
        "model_name": "win_probability",
        "model_version": "1",
        "subject_type": "match",
        "subject_id": MATCH,
        "match_id": MATCH,
        "event_id": f"e{number}",
        "game_time_ms": number * 60_000,
        "event_time": 1_700_000_000_000 + number * 60_000,
        "probability": probability,
        "source_offset": number,
        "age_published_ms": 14,
        "blue_team": "TSM",
        "red_team": "C9",
        "league": "NALCS",
    }
    return record("predictions", **(given | values))


def result(number: int, winner: str = "blue") -> Record:
    """The result that the ``number``-th event brought."""
    return record("match-results", event_id=f"e{number}", match_id=MATCH, status="completed", winner=winner)
