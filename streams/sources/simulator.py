"""Load, not truth: synthetic matches, and real matches multiplied under new ids.

Everything from here says so: ``source`` is ``simulator``, match ids begin with ``SIM/`` or end with
``#copy-N``, and synthetic players, teams and the league are named after the simulator. No model may learn
from it and no figure about predictions may be taken from it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from streams.identity import event_id, participants
from streams.sources.account import Account
from streams.sources.writer import UNDATED_MS, EventWriter

if TYPE_CHECKING:
    from streams.avro import Codec
    from streams.sources import Source

NAME = "simulator"
ROLES = ("top", "jungle", "mid", "adc", "support")

Event = dict[str, Any]

_OTHER = {"blue": "red", "red": "blue"}
_STEP_MS = 2 * 3_600_000
_HEAD = ("event_id", "match_id", "event_type", "event_time")
_LANES = ("TOP_LANE", "MID_LANE", "BOT_LANE")
_TIERS = ("OUTER_TURRET", "INNER_TURRET", "BASE_TURRET")
_DRAGONS = ("AIR_DRAGON", "EARTH_DRAGON", "FIRE_DRAGON", "WATER_DRAGON")


class Simulated:
    """Synthetic matches: the shape and the number of events are those of professional ones, nothing more.

    Args:
        count: How many matches.
        seed: Same seed, same events.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        self.account = Account(NAME)
        self._count = count
        self._seed = seed

    def __len__(self) -> int:
        """Matches that ``matches`` will give."""
        return self._count

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match, in log order."""
        part = self.account.file("synthetic matches")
        for number in range(self._count):
            events = _synthetic(self._seed, number)
            part.read += 1
            part.use(events=len(events))
            self.account.hand_out(events)
            yield events


def _synthetic(seed: int, number: int) -> list[Event]:
    # A seeded generator is wanted here: the same seed must give the same load.
    draw = random.Random(f"{seed}/{number}")  # noqa: S311
    write = EventWriter(NAME, f"SIM/{seed}-{number}", league="SIMULATED", season="2000 Simulated")
    start = UNDATED_MS + number * _STEP_MS
    strength = draw.gauss(0.0, 0.6)
    minutes = draw.randint(22, 45)
    things: list[tuple[int, str, Event]] = []
    gold = {"blue": 2_500.0, "red": 2_500.0}
    fallen: dict[str, list[tuple[str, str]]] = {"blue": [], "red": []}
    for minute in range(minutes):
        for side in ("blue", "red"):
            gold[side] += draw.gauss(1_650, 200) + (180 * strength if side == "blue" else -180 * strength)
        at = minute * 60_000
        things.append((at, "TEAM_GOLD", {"blue_gold": int(gold["blue"]), "red_gold": int(gold["red"])}))
        for _ in range(draw.choices((0, 1, 2, 3), (5, 4, 2, 1))[0]):
            side = _acting(draw, strength)
            things.append((at + draw.randrange(60_000), "CHAMPION_KILL", _kill(draw, side, number)))
        if minute >= 8 and draw.random() < 0.35:
            side = _acting(draw, strength)
            tower = _next_tower(draw, fallen[side])
            if tower is not None:
                lane, tier = tower
                fields = {"team": side, "building": "TOWER", "lane": lane, "tower_type": tier}
                things.append((at + draw.randrange(60_000), "BUILDING_KILL", fields))
        if minute >= 5 and minute % 6 == 0:
            side = _acting(draw, strength)
            fields = {"team": side, "monster": "DRAGON", "monster_sub": draw.choice(_DRAGONS)}
            things.append((at + draw.randrange(60_000), "ELITE_MONSTER_KILL", fields))
        if minute >= 20 and minute % 7 == 0:
            fields = {"team": _acting(draw, strength), "monster": "BARON_NASHOR"}
            things.append((at + draw.randrange(60_000), "ELITE_MONSTER_KILL", fields))
    things.sort(key=lambda thing: thing[0])
    end = minutes * 60_000
    winner = "blue" if gold["blue"] + draw.gauss(0, 3_000) > gold["red"] else "red"
    events = [write("MATCH_START", 0, start, **_rosters(number))]
    events += [write(kind, clock, start + clock, **fields) for clock, kind, fields in things]
    events.append(write("MATCH_END", end, start + end, winner=winner, duration_ms=end))
    return events


def _acting(draw: random.Random, strength: float) -> str:
    return "blue" if draw.random() < 0.5 + 0.15 * max(-2.0, min(2.0, strength)) else "red"


def _player(side: str, role: str, number: int) -> str:
    return f"sim-{side}-{role}-{number % 50}"


def _rosters(number: int) -> Event:
    fields: Event = {"blue_team": "SIM-BLUE", "red_team": "SIM-RED"}
    for side in ("blue", "red"):
        fields[f"{side}_players"] = [_player(side, role, number) for role in ROLES]
    return fields


def _kill(draw: random.Random, side: str, number: int) -> Event:
    killer, *helpers = draw.sample(ROLES, 1 + draw.randrange(4))
    victim = draw.choice(ROLES)
    return {
        "team": side,
        "player_id": _player(side, killer, number),
        "role": killer,
        "victim_id": _player(_OTHER[side], victim, number),
        "victim_role": victim,
        "assist_ids": [_player(side, role, number) for role in helpers] or None,
        "x": draw.randrange(500, 14_500),
        "y": draw.randrange(500, 14_500),
    }


def _next_tower(draw: random.Random, fallen: list[tuple[str, str]]) -> tuple[str, str] | None:
    """A tower that can fall next: in each lane from the outside in."""
    standing = [(lane, tier) for lane in _LANES for tier in _TIERS if (lane, tier) not in fallen]
    next_in_lane = {lane: (lane, tier) for lane, tier in reversed(standing)}
    if not next_in_lane:
        return None
    tower = next_in_lane[draw.choice(sorted(next_in_lane))]
    fallen.append(tower)
    return tower


class Multiplied:
    """Real matches, each played ``copies`` times under new ids.

    Copy ``n`` of match ``M`` is ``M#copy-n`` of source ``simulator``, with event ids of its own. The first
    copies of all matches come first, then the second ones, and so on.

    Args:
        original: The real matches.
        copies: How often each is played.
    """

    def __init__(self, original: Source, copies: int) -> None:
        self.account = Account(NAME)
        self._original = list(original.matches())
        self._copies = copies

    def __len__(self) -> int:
        """Matches that ``matches`` will give."""
        return len(self._original) * self._copies

    def matches(self) -> Iterator[list[Event]]:
        """The events of each copy, in log order."""
        part = self.account.file("matches multiplied")
        for number in range(1, self._copies + 1):
            for match in self._original:
                events = [copied(event, number) for event in match]
                part.read += 1
                part.use(events=len(events))
                self.account.hand_out(events)
                yield events


def copied(event: Event, number: int) -> Event:
    """An event of copy ``number`` of its match, labelled as the simulator's."""
    match_id = f"{event['match_id']}#copy-{number}"
    identity = event_id(
        NAME,
        match_id,
        event["game_time_ms"],
        event["event_type"],
        participants(event),
        event["ordinal"],
    )
    return {**event, "event_id": identity, "match_id": match_id, "source": NAME}


def frames(
    matches: Iterable[list[Event]],
    copies: int,
    codec: Codec,
    *,
    concurrent: int = 16,
    start_ms: int | None = None,
) -> Iterator[tuple[bytes, bytes]]:
    """Encoded events of matches multiplied, fast: only what differs between copies is encoded anew.

    Matches run ``concurrent`` at a time, their events merged by time since the start, as they would be live.
    Each group begins in event time where the longest match of the group before has ended, so event time goes
    on through all copies.

    Args:
        matches: The real matches.
        copies: How often each is played.
        codec: Codec of live-matches.
        concurrent: How many matches run at the same time.
        start_ms: Event time of the first group's start (ms since the Unix epoch); by default the first
            event's own time.

    Yields:
        Key (the match id) and value (the frame) of each record, in log order.
    """
    names = [field.name for field in codec.schema.fields]
    assert tuple(names[: len(_HEAD)]) == _HEAD, "the fields that differ must come first"
    rest = len(names) - len(_HEAD)
    groups = [_merged(list(group), codec, rest) for group in _chunks(iter(matches), concurrent)]
    head = codec.encode
    clock = start_ms
    for number in range(1, copies + 1):
        suffix = f"#copy-{number}"
        for first_time, span, templates in groups:
            clock = first_time if clock is None else clock
            for match, kind, at, since, people, ordinal, tail in templates:
                match_id = match + suffix
                record = {
                    "event_id": event_id(NAME, match_id, at, kind, people, ordinal),
                    "match_id": match_id,
                    "event_type": kind,
                    "event_time": clock + since,
                }
                yield match_id.encode(), head(record)[:-rest] + tail
            clock += span


def _chunks(matches: Iterator[list[Event]], size: int) -> Iterator[list[list[Event]]]:
    while chunk := list(islice(matches, size)):
        yield chunk


_Template = tuple[str, str, int, int, list[str], int, bytes]


def _merged(group: list[list[Event]], codec: Codec, rest: int) -> tuple[int, int, list[_Template]]:
    """Templates of a group's events by time since each match's start; the group's own start and length."""
    templates: list[_Template] = []
    for match in group:
        start = match[0]["event_time"]
        for event in match:
            known = {key: event[key] for key in _HEAD}
            tail = codec.encode({**event, "source": NAME})[len(codec.encode(known)) - rest :]
            templates.append(
                (
                    event["match_id"],
                    event["event_type"],
                    event["game_time_ms"],
                    event["event_time"] - start,
                    participants(event),
                    event["ordinal"],
                    tail,
                )
            )
    templates.sort(key=lambda template: template[3])
    return group[0][0]["event_time"], templates[-1][3] + 1, templates


def preload(
    matches: Iterable[list[Event]],
    events: int,
    codec: Codec,
    send: Callable[[bytes, bytes], None],
    *,
    concurrent: int = 16,
    start_ms: int | None = None,
) -> int:
    """Send at least ``events`` records of real matches multiplied, whole copies only.

    Args:
        matches: The real matches.
        events: How many records at least.
        codec: Codec of live-matches.
        send: Takes value and key of a record, for example ``Producer.send_bytes``.
        concurrent: How many matches run at the same time.
        start_ms: Event time of the start (ms since the Unix epoch).

    Returns:
        Records sent.
    """
    listed = list(matches)
    each = sum(len(match) for match in listed)
    copies = -(-events // each)
    sent = 0
    for key, value in frames(listed, copies, codec, concurrent=concurrent, start_ms=start_ms):
        send(value, key)
        sent += 1
    return sent
