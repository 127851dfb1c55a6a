"""What the jobs must compute, in plain Python: the oracle that the streamed records are held against.

Written from the field docs of ``schemas/avro/match_features.avsc``, ``match_result.avsc`` and
``player_window.avsc``, and from nothing else. It favours being obvious over being quick: the state after an
event is computed anew from all the match's events up to it.

An event here is a MatchEvent dict with two more keys, ``source_partition`` and ``source_offset``, as the rows
of ``raw.match_events`` have them. Lists hold the accepted events of one match in log order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Event = dict[str, Any]
Record = dict[str, Any]

MINUTE = 60_000
SIDES = ("blue", "red")
OTHER = {"blue": "red", "red": "blue"}
DRAGON_KINDS = ("air", "earth", "fire", "water", "hextech", "chemtech", "elder")
NOT_RECOMPUTED = ("kafka_time", "flink_time", "watermark")
"""Fields of MatchFeatures that depend on when the broker and the job ran."""


def match_features(events: Sequence[Event]) -> list[Record]:
    """MatchFeatures after each event of one match, without the fields of ``NOT_RECOMPUTED``."""
    return [state(events[: count + 1]) for count in range(len(events))]


def state(history: Sequence[Event]) -> Record:
    """MatchFeatures after the last event of the history."""
    last = history[-1]
    clock = max(event["game_time_ms"] for event in history)
    year = season_year(newest_told(history, "season"))

    kills = by_a_side(history, "CHAMPION_KILL")
    buildings = by_a_side(history, "BUILDING_KILL")
    monsters = by_a_side(history, "ELITE_MONSTER_KILL")
    towers = [event for event in buildings if event["building"] == "TOWER"]
    inhibitors = [event for event in buildings if event["building"] == "INHIBITOR"]
    all_dragons = [event for event in monsters if event["monster"] == "DRAGON"]
    dragons = [event for event in all_dragons if event["monster_sub"] != "ELDER_DRAGON"]
    heralds = [event for event in monsters if event["monster"] == "RIFTHERALD"]
    barons = [event for event in monsters if event["monster"] == "BARON_NASHOR"]

    starts = [event for event in history if event["event_type"] == "MATCH_START"]
    record: Record = {
        "match_id": last["match_id"],
        "event_id": last["event_id"],
        "event_type": last["event_type"],
        "event_time": last["event_time"],
        "game_time_ms": last["game_time_ms"],
        "source_partition": last["source_partition"],
        "source_offset": last["source_offset"],
        "source": last["source"],
        "league": newest_told(history, "league"),
        "season": newest_told(history, "season"),
        "blue_team": newest_told(starts, "blue_team"),
        "red_team": newest_told(starts, "red_team"),
        "clock_ms": clock,
        "events": len(history),
        "out_of_order_events": behind(history, "game_time_ms", tolerance=0),
        "late_events": behind(history, "event_time", tolerance=5_000),
        "pauses": sum(event["event_type"] == "PAUSE_START" for event in history),
    }

    record |= counts("kills", "", kills)
    record |= counts("towers", "", towers)
    record |= counts("inhibitors", "", inhibitors)
    record |= counts("dragons", "", dragons)
    for kind in DRAGON_KINDS:
        of_kind = [event for event in all_dragons if event["monster_sub"] == f"{kind.upper()}_DRAGON"]
        record |= counts(f"{kind}_dragons", "", of_kind)
    record |= counts("heralds", "", heralds)
    record |= counts("barons", "", barons)
    for minutes in (1, 3, 5):
        record |= counts("kills", f"_{minutes}m", within(kills, clock, minutes))
        record |= counts("towers", f"_{minutes}m", within(towers, clock, minutes))
    record |= gold(history, clock)

    record["since_kill_ms"] = since(kills, clock)
    record["since_tower_ms"] = since(towers, clock)
    record["since_dragon_ms"] = since(all_dragons, clock)
    record["since_baron_ms"] = since(barons, clock)
    for side in SIDES:
        record[f"first_blood_{side}"] = int(bool(kills) and kills[0]["team"] == side)
        record[f"first_tower_{side}"] = int(bool(towers) and towers[0]["team"] == side)
        record[f"towers_alive_{side}"] = max(0, 11 - count(towers, OTHER[side]))
        record[f"inhibitors_down_{side}"] = count(within(inhibitors, clock, 5), OTHER[side])
        record[f"baron_power_{side}"] = int(count(within(barons, clock, 3), side) > 0)

    old = year is not None and year <= 2018
    record["dragon_alive"] = alive(
        clock, record["since_dragon_ms"], first=150_000 if old else 300_000, respawn=6 if old else 5
    )
    record["baron_alive"] = alive(clock, record["since_baron_ms"], first=20 * MINUTE, respawn=7 if old else 6)
    herald_from = 6 * MINUTE if old else 8 * MINUTE
    herald_until = 19 * MINUTE + 45_000
    before_heralds = year is not None and year < 2016
    record["herald_alive"] = int(not before_heralds and not heralds and herald_from <= clock < herald_until)
    return record


def by_a_side(history: Iterable[Event], event_type: str) -> list[Event]:
    """The events of a type that blue or red brought about."""
    return [event for event in history if event["event_type"] == event_type and event["team"] in SIDES]


def count(events: Iterable[Event], side: str) -> int:
    """How many of the events a side brought about."""
    return sum(event["team"] == side for event in events)


def counts(name: str, suffix: str, events: Sequence[Event]) -> Record:
    """The three fields of a count: blue, red, difference."""
    blue, red = count(events, "blue"), count(events, "red")
    return triple(name, suffix, blue, red)


def triple(name: str, suffix: str, blue: int | None, red: int | None) -> Record:
    """The three fields of a quantity: blue, red, difference (null where either is)."""
    diff = None if blue is None or red is None else blue - red
    return {f"{name}_blue{suffix}": blue, f"{name}_red{suffix}": red, f"{name}_diff{suffix}": diff}


def within(events: Sequence[Event], clock: int, minutes: int) -> list[Event]:
    """The events with match clock in (clock - minutes, clock]."""
    return [event for event in events if clock - minutes * MINUTE < event["game_time_ms"] <= clock]


def since(events: Sequence[Event], clock: int) -> int | None:
    """Milliseconds of match clock since the latest of the events; null where there is none."""
    return clock - max(event["game_time_ms"] for event in events) if events else None


def behind(history: Sequence[Event], field: str, tolerance: int) -> int:
    """How many events lay more than the tolerance behind the highest one before them."""
    found, highest = 0, history[0][field]
    for event in history:
        found += event[field] < highest - tolerance
        highest = max(highest, event[field])
    return found


def newest_told(history: Iterable[Event], field: str) -> Any:
    """The last value in log order that is not null; null where there is none."""
    told = [event[field] for event in history if event[field] is not None]
    return told[-1] if told else None


def season_year(season: str | None) -> int | None:
    """The first four characters of a season as a year; null where they are not digits."""
    year = (season or "")[:4]
    return int(year) if len(year) == 4 and year.isdecimal() else None


def alive(clock: int, since_last: int | None, first: int, respawn: int) -> int:
    """1 where a monster can be fought: spawned and never killed, or respawned since."""
    if since_last is None:
        return int(clock >= first)
    return int(since_last >= respawn * MINUTE)


def newest_snapshot(snapshots: Sequence[Event], until: int) -> Event | None:
    """The gold snapshot with the highest match clock up to a time, the later in the log of equal ones."""
    newest = None
    for snapshot in snapshots:
        clock = snapshot["game_time_ms"]
        if clock <= until and (newest is None or clock >= newest["game_time_ms"]):
            newest = snapshot
    return newest


def gold(history: Sequence[Event], clock: int) -> Record:
    """All gold fields."""
    snapshots = [event for event in history if event["event_type"] == "TEAM_GOLD"]
    now = newest_snapshot(snapshots, clock)
    if now is None:
        record = triple("gold", "", None, None) | {"gold_age_ms": None}
    else:
        record = triple("gold", "", now["blue_gold"], now["red_gold"])
        record["gold_age_ms"] = clock - now["game_time_ms"]
    for minutes in (1, 3, 5):
        then = newest_snapshot(snapshots, clock - minutes * MINUTE)
        if now is None or then is None:
            record |= triple("gold", f"_{minutes}m", None, None)
        else:
            blue = now["blue_gold"] - then["blue_gold"]
            red = now["red_gold"] - then["red_gold"]
            record |= triple("gold", f"_{minutes}m", blue, red)
    return record


def match_result(events: Sequence[Event]) -> Record | None:
    """MatchResult of one match; null where no event ended it."""
    ends = [n for n, event in enumerate(events) if event["event_type"] in ("MATCH_END", "REMAKE")]
    if not ends:
        return None
    history = events[: ends[0] + 1]
    end, last = history[-1], state(history)
    completed = end["event_type"] == "MATCH_END"
    record = {
        "status": "completed" if completed else "remade",
        "winner": end["winner"] if completed else None,
        "duration_ms": end["duration_ms"],
        "phase": newest_told(history, "phase"),
        "patch": newest_told(history, "patch"),
        "map_number": newest_told(history, "map_number"),
    }
    as_in_features = ["match_id", "event_id", "game_time_ms", "event_time", "source", "league", "season"]
    as_in_features += ["blue_team", "red_team", "events", "source_partition", "source_offset"]
    for name in ("kills", "towers", "inhibitors", "dragons", "barons", "gold"):
        as_in_features += [f"{name}_blue", f"{name}_red"]
    return record | {field: last[field] for field in as_in_features}


SUMMED = ("events", "kills", "deaths", "assists", "items", "wards_placed", "wards_killed")
HIGHEST = ("gold", "creep_score", "level", "game_time_ms", "event_time")
TOTALS = ("kills", "deaths", "assists")
SO_FAR = tuple(f"match_{name}" for name in TOTALS)


def parts(event: Event) -> list[Record]:
    """The players who took part in an event, each with what it adds to their window."""
    kind, team, found = event["event_type"], event["team"], []

    def add(player: str | None, side: str | None, **adds: int | None) -> None:
        if player:
            found.append({"player_id": player, "team": side, "events": 1, **adds})

    add(
        event["player_id"],
        team,
        kills=int(kind == "CHAMPION_KILL"),
        items=int(kind == "ITEM_PURCHASED"),
        wards_placed=int(kind == "WARD_PLACED"),
        wards_killed=int(kind == "WARD_KILL"),
        gold=event["gold"] if kind == "PLAYER_STATS" else None,
        creep_score=event["creep_score"] if kind == "PLAYER_STATS" else None,
        level=event["level"],
    )
    add(event["victim_id"], OTHER.get(team), deaths=int(kind == "CHAMPION_KILL"))
    for assistant in event["assist_ids"] or ():
        add(assistant, team, assists=int(kind == "CHAMPION_KILL"))
    return found


def player_windows(events: Sequence[Event]) -> dict[tuple[str, str, int], Record]:
    """Per (player_id, match_id, window_start): the sums and highest values over all rows of that window, and
    what the player had in the match as of the last of them."""
    windows: dict[tuple[str, str, int], Record] = {}
    totals: dict[tuple[str, str], dict[str, int]] = {}
    for event in events:
        start = event["event_time"] // 5_000 * 5_000
        for part in parts(event):
            part |= {"game_time_ms": event["game_time_ms"], "event_time": event["event_time"]}
            key = (part["player_id"], event["match_id"], start)
            empty = dict.fromkeys(SUMMED, 0) | dict.fromkeys(HIGHEST)
            window = windows.setdefault(key, {"window_end": start + 5_000, **empty})
            for field in SUMMED:
                window[field] += part.get(field, 0)
            for field in HIGHEST:
                values = [value for value in (window[field], part.get(field)) if value is not None]
                window[field] = max(values) if values else None
            total = totals.setdefault(key[:2], dict.fromkeys(TOTALS, 0))
            for field in TOTALS:
                total[field] += part.get(field, 0)
                window[f"match_{field}"] = total[field]
    return windows
