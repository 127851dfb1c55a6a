"""Deterministic identity: the same fact has the same ``event_id``, whoever reads it and however often."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any


def event_id(
    source: str, match_id: str, clock: int, event_type: str, participants: Iterable[str], ordinal: int
) -> str:
    """Identity of an event: the first 32 hexadecimal digits of the SHA-256 of what makes it that event.

    Args:
        source: Where the event came from, for example ``lol-pro``.
        match_id: The match.
        clock: Match clock (ms).
        event_type: Type of the event.
        participants: Who took part, in the order actor, victim, assistants.
        ordinal: What tells apart events that are equal in all of this: the position in the match, or the
            number that the feed itself gave the event.
    """
    text = f"{source}|{match_id}|{clock}|{event_type}|{','.join(participants)}|{ordinal}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def participants(event: Mapping[str, Any]) -> list[str]:
    """Who took part in an event: actor, victim, assistants, as far as they are known."""
    known = [event[key] for key in ("player_id", "victim_id") if event.get(key)]
    return known + list(event.get("assist_ids") or ())


def identify(event: Mapping[str, Any]) -> str:
    """The identity of a whole event, from its own fields."""
    return event_id(
        event["source"],
        event["match_id"],
        event["game_time_ms"],
        event["event_type"],
        participants(event),
        event["ordinal"],
    )
