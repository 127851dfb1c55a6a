"""Records in words: the clock, sides, numbers and events as people say them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from riftstream.errors import RiftError
from streams.avro import Record

_LANES = {"TOP_LANE": "top", "MID_LANE": "mid", "BOT_LANE": "bot"}
_TOWERS = {
    "OUTER_TURRET": "outer tower",
    "INNER_TURRET": "inner tower",
    "BASE_TURRET": "base tower",
    "NEXUS_TURRET": "nexus tower",
}
_DRAGONS = {
    "AIR_DRAGON": "Cloud Dragon",
    "EARTH_DRAGON": "Mountain Dragon",
    "FIRE_DRAGON": "Infernal Dragon",
    "WATER_DRAGON": "Ocean Dragon",
    "HEXTECH_DRAGON": "Hextech Dragon",
    "CHEMTECH_DRAGON": "Chemtech Dragon",
    "ELDER_DRAGON": "Elder Dragon",
}
_MONSTERS = {
    "RIFTHERALD": "Rift Herald",
    "BARON_NASHOR": "Baron",
    "HORDE": "Voidgrubs",
    "ATAKHAN": "Atakhan",
}


def clock(ms: int) -> str:
    """Match clock as minutes and seconds, for example ``27:32``."""
    sign = "-" if ms < 0 else ""
    minutes, seconds = divmod(abs(ms) // 1000, 60)
    return f"{sign}{minutes:02d}:{seconds:02d}"


def parse_clock(text: str) -> int:
    """Match clock in ms, from ``27:32`` or from whole or broken minutes (``27``, ``27.5``).

    Raises:
        RiftError: The text is neither.
    """
    parts = re.fullmatch(r"(\d+):([0-5]?\d)", text.strip())
    if parts:
        return (int(parts[1]) * 60 + int(parts[2])) * 1000
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return round(float(text) * 60_000)
    raise RiftError(f"'{text}' is not a match clock.", "Write minutes and seconds, for example 27:32.")


def gold(difference: int) -> str:
    """A gold difference in thousands with its sign, for example ``+3.1k``."""
    return f"{difference / 1000:+.1f}k"


def moment(ms: int) -> str:
    """A time in UTC to the millisecond, from ms since the Unix epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def age(ms: int) -> str:
    """A span as people read it: ``840 ms``, ``3.2 s``, ``4 min``, ``7 h`` or ``12 d``."""
    for limit, unit, name in ((10_000, 1, "ms"), (120_000, 1000, "s"), (7_200_000, 60_000, "min")):
        if abs(ms) < limit:
            return f"{ms / unit:.1f} {name}" if name == "s" else f"{ms // unit} {name}"
    return f"{ms // 3_600_000} h" if abs(ms) < 172_800_000 else f"{ms // 86_400_000} d"


def player(name: str | None, *teams: str | None) -> str | None:
    """A player's name without the team tag that some sources put before it."""
    for team in teams:
        if name and team and name.startswith(f"{team} "):
            return name[len(team) + 1 :]
    return name


def building(event: Record) -> str:
    """The building of a BUILDING_KILL, for example ``mid outer tower``."""
    kind = event.get("building")
    what = "inhibitor" if kind == "INHIBITOR" else _TOWERS.get(event.get("tower_type") or "", "tower")
    lane = _LANES.get(event.get("lane") or "")
    return f"{lane} {what}" if lane and what != "nexus tower" else what


def monster(event: Record) -> str:
    """The monster of an ELITE_MONSTER_KILL by the name that players use, for example ``Infernal Dragon``."""
    kind = event.get("monster") or ""
    if kind == "DRAGON":
        return _DRAGONS.get(event.get("monster_sub") or "", "Dragon")
    return _MONSTERS.get(kind, "monster")


def event(record: Record, blue: str | None = None, red: str | None = None) -> str:
    """A MatchEvent as one short sentence, for example ``Bjergsen kills Hai``.

    Args:
        record: The event.
        blue: Name of the blue team, where it is known.
        red: Name of the red team, where it is known.

    Returns:
        The sentence; empty for snapshots and small things (gold, items, wards, levels).
    """
    names = {"blue": blue or "blue", "red": red or "red"}
    side = names.get(record.get("team") or "", "somebody")
    match record.get("event_type"):
        case "MATCH_START":
            return f"{names['blue']} v {names['red']} begins"
        case "CHAMPION_KILL":
            return _kill(record, blue, red)
        case "BUILDING_KILL":
            return f"{side} destroys {building(record)}"
        case "ELITE_MONSTER_KILL":
            return f"{side} takes {_the(monster(record))}"
        case "PAUSE_START":
            return "the match is paused"
        case "PAUSE_END":
            return "the match goes on"
        case "REMAKE":
            return "the match is remade"
        case "MATCH_END":
            return f"{names.get(record.get('winner') or '', 'somebody')} wins"
    return ""


def _kill(record: Record, blue: str | None, red: str | None) -> str:
    killer = player(record.get("player_id"), blue, red) or record.get("champion")
    victim = player(record.get("victim_id"), blue, red) or record.get("victim_champion") or "a champion"
    return f"{killer} kills {victim}" if killer else f"{victim} dies"


def _the(what: str) -> str:
    return what if what in ("Baron", "Atakhan") else f"the {what}"
