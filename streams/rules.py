"""What a MatchEvent must hold, as far as one event alone can tell.

The view ``checked`` of ``jobs/match_pipeline.sql`` decides what is accepted. These are the same rules in the
same order and with the same words, for those who want to know before they send; a test runs the SQL beside
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams import clock
from streams.identity import identify
from streams.schemas import Field, RecordSchema

Record = Mapping[str, Any]

EVENT_TYPES = (
    "MATCH_START",
    "CHAMPION_KILL",
    "BUILDING_KILL",
    "ELITE_MONSTER_KILL",
    "TEAM_GOLD",
    "PLAYER_STATS",
    "ITEM_PURCHASED",
    "LEVEL_UP",
    "WARD_PLACED",
    "WARD_KILL",
    "PAUSE_START",
    "PAUSE_END",
    "REMAKE",
    "MATCH_END",
)
OF_A_PLAYER = ("PLAYER_STATS", "ITEM_PURCHASED", "LEVEL_UP", "WARD_PLACED", "WARD_KILL")
SIDES = ("blue", "red")
ROLES = ("top", "jungle", "mid", "adc", "support")
BUILDINGS = ("TOWER", "INHIBITOR")
MONSTERS = ("DRAGON", "RIFTHERALD", "BARON_NASHOR", "HORDE", "ATAKHAN")

OLDEST_MS = 1_256_601_600_000
"""2009-10-27, the day League of Legends came out."""
MAX_AHEAD_MS = 300_000
"""How far ahead of now an event's time may lie (ms)."""
MAX_CLOCK_MS = 7_200_000
"""Longest match clock (ms)."""

_WORDS = (
    ("unknown_team", "team", SIDES),
    ("unknown_winner", "winner", SIDES),
    ("unknown_role", "role", ROLES),
    ("unknown_role", "victim_role", ROLES),
)
# Reason, field, lowest and highest value (None where there is no bound).
_BOUNDS: tuple[tuple[str, str, int, int | None], ...] = (
    ("impossible_gold", "blue_gold", 0, 1_000_000),
    ("impossible_gold", "red_gold", 0, 1_000_000),
    ("impossible_gold", "gold", 0, 1_000_000),
    ("impossible_count", "kills", 0, 1_000),
    ("impossible_count", "deaths", 0, 1_000),
    ("impossible_count", "assists", 0, 1_000),
    ("impossible_count", "creep_score", 0, 10_000),
    ("impossible_count", "level", 1, 30),
    ("impossible_count", "ordinal", 0, None),
    ("impossible_count", "map_number", 1, None),
    ("impossible_position", "x", -1_000, 20_000),
    ("impossible_position", "y", -1_000, 20_000),
    ("impossible_duration", "duration_ms", 0, MAX_CLOCK_MS),
)

_INT = range(-(2**31), 2**31)
_LONG = range(-(2**63), 2**63)
_SHOWN = 60


@dataclass(frozen=True)
class Fault:
    """Why an event is not acceptable.

    Attributes:
        field: The bad field; None where it is the event as a whole.
        reason: One of a fixed set of words.
        detail: What exactly, as a sentence for people.
    """

    field: str | None
    reason: str
    detail: str


def faults(event: Record, schema: RecordSchema, now_ms: int | None = None) -> list[Fault]:
    """All that is wrong with an event; empty where it can be accepted.

    Args:
        event: Fields by name; timestamps in ms since the Unix epoch.
        schema: Schema of MatchEvent.
        now_ms: The present, ms since the Unix epoch; the clock of this machine by default.
    """
    found = list(_shape_faults(event, schema))
    return found or list(_rule_faults(event, clock.now_ms() if now_ms is None else now_ms))


def identified(event: Record) -> dict[str, Any]:
    """An acceptable event with its id: the one that it has, or the deterministic one."""
    return {**event, "event_id": event.get("event_id") or identify(event)}


def _shape_faults(event: Record, schema: RecordSchema) -> Iterator[Fault]:
    fields = {field.name: field for field in schema.fields}
    for name, value in event.items():
        field = fields.get(name)
        if field is None:
            yield Fault(name, "unknown_field", f"{schema.name} has no field {name}.")
        elif value is not None and not _fits(field, value):
            yield Fault(name, "wrong_type", f"{name} must be {_wanted(field)}, not {_shown(value)}.")


def _rule_faults(event: Record, now_ms: int) -> Iterator[Fault]:
    kind = event.get("event_type")
    yield from _missing(event, "missing_match_id", "match_id")
    if not event.get("event_id") and (not event.get("source") or event.get("ordinal") is None):
        sentence = "event_id is required, or source and ordinal, of which it is made."
        yield Fault("event_id", "missing_event_id", sentence)
    yield from _missing(event, "missing_event_type", "event_type")
    yield from _unknown(event, "unknown_event_type", "event_type", EVENT_TYPES)
    yield from _time_faults(event, now_ms)
    for reason, name, words in _WORDS:
        yield from _unknown(event, reason, name, words)
    yield from _type_faults(event, kind)
    for reason, name, lowest, highest in _BOUNDS:
        value = event.get(name)
        if value is not None and (value < lowest or (highest is not None and value > highest)):
            allowed = f"at least {lowest}" if highest is None else f"between {lowest} and {highest}"
            yield Fault(name, reason, f"{name} must be {allowed}, not {value}.")


def _time_faults(event: Record, now_ms: int) -> Iterator[Fault]:
    when, clock = event.get("event_time"), event.get("game_time_ms")
    yield from _missing(event, "missing_event_time", "event_time")
    if when is not None and when < OLDEST_MS:
        yield Fault("event_time", "event_time_too_old", f"event_time {when} lies before 2009; is it in ms?")
    if when is not None and when > now_ms + MAX_AHEAD_MS:
        yield Fault("event_time", "event_time_in_future", f"event_time {when} lies in the future.")
    yield from _missing(event, "missing_clock", "game_time_ms")
    if clock is not None and clock < 0:
        yield Fault("game_time_ms", "clock_negative", f"game_time_ms is {clock}, before the match began.")
    if clock is not None and clock > MAX_CLOCK_MS:
        yield Fault(
            "game_time_ms", "clock_too_large", f"game_time_ms is {clock}; {MAX_CLOCK_MS} is the most."
        )


def _type_faults(event: Record, kind: str | None) -> Iterator[Fault]:
    """What one type of event needs beside what all need."""
    if kind == "CHAMPION_KILL" and event.get("team") is None:
        yield from _absent(event, "missing_victim", "victim_id")
    if kind == "BUILDING_KILL":
        yield from _absent(event, "missing_team", "team")
        yield from _absent(event, "unknown_building", "building")
        yield from _unknown(event, "unknown_building", "building", BUILDINGS)
    if kind == "ELITE_MONSTER_KILL":
        yield from _absent(event, "unknown_monster", "monster")
        yield from _unknown(event, "unknown_monster", "monster", MONSTERS)
    if kind == "TEAM_GOLD":
        yield from _absent(event, "missing_gold", "blue_gold")
        yield from _absent(event, "missing_gold", "red_gold")
    if kind == "MATCH_END":
        yield from _absent(event, "missing_winner", "winner")
    if kind in OF_A_PLAYER:
        yield from _missing(event, "missing_player", "player_id")


def _absent(event: Record, reason: str, name: str) -> Iterator[Fault]:
    if event.get(name) is None:
        yield Fault(name, reason, f"{name} is required.")


def _missing(event: Record, reason: str, name: str) -> Iterator[Fault]:
    if event.get(name) in (None, ""):
        yield Fault(name, reason, f"{name} is required.")


def _unknown(event: Record, reason: str, name: str, words: tuple[str, ...]) -> Iterator[Fault]:
    value = event.get(name)
    # An empty type is missing, and said so.
    if value is not None and value not in words and not (name == "event_type" and value == ""):
        yield Fault(name, reason, f"{name} must be one of {', '.join(words)}, not {_shown(value)}.")


_FITS: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "int": lambda value: type(value) is int and value in _INT,
    "long": lambda value: type(value) is int and value in _LONG,
    "double": lambda value: type(value) in (int, float),
    "boolean": lambda value: isinstance(value, bool),
    "bytes": lambda value: isinstance(value, bytes),
}
_NAMES = {
    "string": "text",
    "int": "a whole number of 32 bits",
    "long": "a whole number of 64 bits",
    "double": "a number",
    "boolean": "true or false",
    "bytes": "bytes",
}


def _item(kind: str) -> str:
    return kind.removeprefix("array<").removesuffix(">")


def _fits(field: Field, value: Any) -> bool:
    fits = _FITS[_item(field.type)]
    if field.type.startswith("array<"):
        return isinstance(value, list) and all(map(fits, value))
    return fits(value)


def _wanted(field: Field) -> str:
    name = _NAMES[_item(field.type)]
    if field.type.startswith("array<"):
        return f"a list, each item {name}"
    return f"{name} ({field.unit})" if field.logical else name


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
