"""What a MatchEvent must hold, as far as one event alone can tell.

The Flink job ``match_pipeline.sql`` decides what is accepted; these are the same rules for those who want to
know before they send. The reasons are the job's words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streams.identity import identify
from streams.schemas import Field, RecordSchema

Record = Mapping[str, Any]

MAX_CLOCK_MS = 7_200_000
MAX_FUTURE_MS = 3_600_000

SIDES = ("blue", "red")
ROLES = ("top", "jungle", "mid", "adc", "support")

ALWAYS = ("match_id", "event_type", "event_time", "game_time_ms")
IDENTITY = ("source", "ordinal")
REQUIRED: dict[str, tuple[str, ...]] = {
    "MATCH_START": (),
    "CHAMPION_KILL": ("victim_id",),
    "BUILDING_KILL": ("team", "building"),
    "ELITE_MONSTER_KILL": ("monster",),
    "TEAM_GOLD": ("blue_gold", "red_gold"),
    "PLAYER_STATS": ("player_id",),
    "ITEM_PURCHASED": ("player_id", "item_id"),
    "LEVEL_UP": ("player_id", "level"),
    "WARD_PLACED": ("player_id",),
    "WARD_KILL": ("player_id",),
    "PAUSE_START": (),
    "PAUSE_END": (),
    "REMAKE": (),
    "MATCH_END": ("winner",),
}

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
    return found or list(_rule_faults(event, time.time_ns() // 1_000_000 if now_ms is None else now_ms))


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
    for name in () if event.get("event_id") else IDENTITY:
        if event.get(name) in (None, ""):
            yield Fault(
                name, "missing_field", f"{name} is required where no event_id is sent: it is made of it."
            )
    for name in ALWAYS:
        if event.get(name) in (None, ""):
            yield Fault(name, "missing_field", f"{name} is required.")
    kind = event.get("event_type")
    if kind is not None and kind not in REQUIRED:
        yield Fault("event_type", "unknown_event_type", f"{_shown(kind)} is no event type of ours.")
    for name in REQUIRED.get(kind or "", ()):
        if event.get(name) is None:
            yield Fault(name, "missing_field", f"{name} is required for {kind}.")
    clock, when = event.get("game_time_ms"), event.get("event_time")
    if clock is not None and not 0 <= clock <= MAX_CLOCK_MS:
        yield Fault("game_time_ms", "clock_out_of_range", f"{clock} is not between 0 and {MAX_CLOCK_MS} ms.")
    if when is not None and when > now_ms + MAX_FUTURE_MS:
        yield Fault("event_time", "future_event_time", f"{when} lies more than an hour ahead of now.")
    for name, words in (("team", SIDES), ("winner", SIDES), ("role", ROLES), ("victim_role", ROLES)):
        value = event.get(name)
        if value is not None and value not in words:
            yield Fault(
                name, f"unknown_{name}", f"{name} must be one of {', '.join(words)}, not {_shown(value)}."
            )


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
