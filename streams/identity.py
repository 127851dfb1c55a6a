"""The deterministic identity of an event: sent twice, it is the same event."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

_LENGTH = 32
_PARTICIPANTS = (
    "team",
    "player_id",
    "victim_id",
    "building",
    "lane",
    "tower_type",
    "monster",
    "monster_sub",
    "item_id",
    "level",
)


def event_id(event: Mapping[str, Any]) -> str:
    """The event's id: 32 hex digits of a SHA-256 of source, match, clock, type, participants and ordinal.

    Participants are who acted, and whom or what it was about: side, player, victim, assistants, building,
    monster, item, level. What the event lacks counts as empty; its other fields do not change its id.

    Args:
        event: MatchEvent fields by name.
    """
    assistants = ",".join(event.get("assist_ids") or ())
    participants = ",".join([*(_text(event, name) for name in _PARTICIPANTS), assistants])
    parts = [_text(event, name) for name in ("source", "match_id", "game_time_ms", "event_type")]
    identity = "|".join([*parts, participants, _text(event, "ordinal")])
    return sha256(identity.encode()).hexdigest()[:_LENGTH]


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    return "" if value is None else str(value)
