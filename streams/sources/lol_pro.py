"""Professional matches of 2014 to 2017: the five CSV files of the Kaggle set ``chuckephron/leagueoflegends``.

One row of ``matchinfo`` is a match; ``kills``, ``structures`` and ``monsters`` hold what happened in it,
``bans`` the draft, and ``gold``, where it is present, the team gold of each minute.

How rows become events:

========== ==================================================================================
matchinfo  MATCH_START and MATCH_END
kills      CHAMPION_KILL
structures BUILDING_KILL
monsters   ELITE_MONSTER_KILL
gold       one TEAM_GOLD a minute (layouts: two JSON lists, or a row a type with min_1, min_2, ...)
bans       no event of their own: they go into the match's MATCH_START
========== ==================================================================================

What the data means, found by looking at all of it:

* ``Team`` in structures and monsters is the side that **destroyed** or killed: 13,607 of 13,899 nexus turrets
  stand under the winner, and a winner must destroy both of the other side's.
* ``FOUNTAIN_TURRET`` (78 rows, all on BOT_LANE, spring of 2015) is no tower. In all 78 the other side plays
  Azir, and in matches with all eleven towers destroyed these come on top: it is the Sun Disc that Azir raises
  from a ruin. They are rejected.
* Kills by ``TooEarly`` fall into the first minute; that a side killed is known, who killed whom is not, and
  the time is a whole second. Kills by ``None`` are of 37 matches without rosters. Both are kept, without
  participants. Equal rows of this kind are kept too, since nothing shows that they are one kill.
* A side without kills, towers or inhibitors has one placeholder row without a time.
* Names in kills carry the team's tag (``TSM Bjergsen``), in matchinfo not (``Bjergsen``). Spaces differ, and
  so may case; with both ignored every name resolves.
* ``=`` as a jungler's name is an artefact of a spreadsheet.

There is no date. Matches are put on a **synthetic calendar** in the order Year, Season, then file order:
spring splits start on 15 January and summer splits on 1 June of their year, 00:00 UTC, and a match starts
every two hours. It depends on all of ``matchinfo`` and not on ``limit``; real matches of different leagues
overlapped. ``gamelength`` is whole minutes rounded up, so MATCH_END comes up to a minute late.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from riftstream.errors import SourceError
from streams.identity import event_id
from streams.sources.account import Account, FileAccount
from streams.sources.csv_rows import BadRow, find, header, rows

NAME = "lol-pro"
ROLES = ("top", "jungle", "mid", "adc", "support")
STEP_MS = 2 * 3_600_000
MAX_MINUTES = 120

Event = dict[str, Any]

_SPLIT_STARTS = {"Spring": (0, 1, 15), "Summer": (1, 6, 1)}
_PLAYER_COLUMNS = [
    f"{side}{role}{suffix}"
    for side in ("blue", "red")
    for role in ("Top", "Jungle", "Middle", "ADC", "Support")
    for suffix in ("", "Champ")
]
_MATCH_COLUMNS = [
    *("Address", "League", "Year", "Season", "Type", "blueTeamTag", "redTeamTag"),
    *("bResult", "rResult", "gamelength", *_PLAYER_COLUMNS),
]
_KILL_COLUMNS = [
    *("Address", "Team", "Time", "Victim", "Killer"),
    *("Assist_1", "Assist_2", "Assist_3", "Assist_4", "x_pos", "y_pos"),
]
_BAN_COLUMNS = ["Address", "Team", "ban_1", "ban_2", "ban_3", "ban_4", "ban_5"]
_UNKNOWN = frozenset(("", "=", "None", "TooEarly", "nan", "NaN"))
_MATCH_ID = re.compile(r"match-details/([^/?#\s]+/[^/?#\s]+)")
_KILL_SIDES = {"bKills": "blue", "rKills": "red"}
_STRUCTURE_SIDES = {
    "bTowers": ("blue", "TOWER"),
    "rTowers": ("red", "TOWER"),
    "bInhibs": ("blue", "INHIBITOR"),
    "rInhibs": ("red", "INHIBITOR"),
}
_MONSTER_SIDES = {
    f"{letter}{kind}": side
    for letter, side in (("b", "blue"), ("r", "red"))
    for kind in ("Dragons", "Heralds", "Barons")
}
_LANES = frozenset(("TOP_LANE", "MID_LANE", "BOT_LANE"))
_TOWERS = frozenset(("OUTER_TURRET", "INNER_TURRET", "BASE_TURRET", "NEXUS_TURRET"))
_DRAGONS = frozenset(("AIR", "EARTH", "FIRE", "WATER", "ELDER"))
_MONSTERS: dict[str, tuple[str, str | None]] = {
    "DRAGON": ("DRAGON", None),
    "RIFT_HERALD": ("RIFTHERALD", None),
    "BARON_NASHOR": ("BARON_NASHOR", None),
} | {f"{kind}_DRAGON": ("DRAGON", f"{kind}_DRAGON") for kind in _DRAGONS}
_MAP_UNITS = range(-1_000, 20_001)
_GOLD = range(1_000_000)
_RANK = {
    "MATCH_START": 0,
    "CHAMPION_KILL": 1,
    "BUILDING_KILL": 2,
    "ELITE_MONSTER_KILL": 3,
    "TEAM_GOLD": 4,
    "MATCH_END": 5,
}


@dataclass
class _Player:
    name: str
    role: str
    champion: str | None


@dataclass
class _Match:
    """A match as it is read; ``things`` are (clock, rank, fields) in file order."""

    match_id: str
    order: tuple[int, int, int]
    row: list[str]
    minutes: int
    winner: str
    taken: bool = True
    start: int = 0
    bans: dict[str, list[str]] = field(default_factory=dict)
    gold: dict[str, list[int]] = field(default_factory=dict)
    things: list[tuple[int, int, Event]] = field(default_factory=list)
    seen: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        values = dict(zip(_MATCH_COLUMNS, self.row, strict=True))
        players = [values[column].strip() for column in _PLAYER_COLUMNS]
        names = ["" if name in _UNKNOWN else name for name in players[::2]]
        champions = ["" if name in _UNKNOWN else name for name in players[1::2]]
        self.names = {"blue": names[:5], "red": names[5:]}
        self.champions = {"blue": champions[:5], "red": champions[5:]}
        self.tags = {side: values[f"{side}TeamTag"].strip() for side in ("blue", "red")}
        self.head: Event = {"source": NAME}
        for key, value in (
            ("league", values["League"].strip()),
            ("season", f"{values['Year'].strip()} {values['Season'].strip()}"),
            ("phase", values["Type"].strip()),
        ):
            if value:
                self.head[key] = value
        self._roster = {
            side: {
                _folded(name): _Player(name, role, champion or None)
                for name, role, champion in zip(self.names[side], ROLES, self.champions[side], strict=True)
                if name
            }
            for side in ("blue", "red")
        }
        self._found: dict[tuple[str, str], _Player | None] = {}

    def player(self, side: str, name: str) -> _Player | None:
        """The player of a side's roster whom kills name with a team tag before the name; None for nobody."""
        key = (side, name)
        if key not in self._found:
            roster = self._roster[side]
            parts = name.split(None, 1)
            bare = roster.get(_folded(parts[1])) if len(parts) > 1 else None
            self._found[key] = bare or roster.get(_folded(name))
        return self._found[key]


def _folded(name: str) -> str:
    return "".join(name.split()).casefold()


def folder_of(path: Path) -> Path:
    """The folder with the CSV files: ``path`` itself, or the one folder in it that has them.

    Raises:
        SourceError: There is no such folder, or more than one.
    """
    if not path.is_dir():
        raise SourceError(f"{path} is not a folder.", "Give the folder that holds matchinfo.csv.")
    if find(path, "matchinfo.csv"):
        return path
    inside = [child for child in sorted(path.iterdir()) if child.is_dir() and find(child, "matchinfo.csv")]
    if len(inside) != 1:
        raise SourceError(
            f"{path} holds no matchinfo.csv, plain or gzipped.", "Give the folder of the five CSV files."
        )
    return inside[0]


class LolPro:
    """The matches of a folder, as events in log order.

    Args:
        folder: Folder of the CSV files, plain or gzipped, or one that holds it.
        limit: Only the first matches in log order; all by default.

    Raises:
        SourceError: A file is missing, cannot be read to its end, or lacks a column.

    Example:
        >>> source = LolPro(Path("lol-pro-2014-2017"), limit=3)             # doctest: +SKIP
        >>> events = list(source.events())
        >>> source.account.balanced
        True
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        self._folder = folder_of(folder)
        self.account = Account(NAME)
        self._by_address: dict[str, _Match | str] = {}
        self._by_id: dict[str, _Match | str] = {}
        self._matches = self._read_matches(limit)
        self._read_bans()
        self._read_kills()
        self._read_structures()
        self._read_monsters()
        self._read_gold()

    def __len__(self) -> int:
        """Matches that ``matches`` will give."""
        return len(self._matches)

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match, in log order. The account's kinds and matches are counted on the way."""
        for match in self._matches:
            events = _events(match)
            self.account.hand_out(events)
            yield events

    def events(self) -> Iterator[Event]:
        """All events in log order."""
        for events in self.matches():
            yield from events

    def _rows(self, name: str, columns: list[str]) -> Iterator[list[str]]:
        path = find(self._folder, name)
        if path is None:
            raise SourceError(
                f"{self._folder} holds no {name}, plain or gzipped.",
                "The five files are matchinfo, bans, kills, structures and monsters.",
            )
        account = self.account.file(name)
        for row in rows(path, columns):
            account.read += 1
            if isinstance(row, BadRow):
                account.reject(str(row))
            else:
                yield row

    def _rows_of_matches(self, name: str, columns: list[str]) -> Iterator[tuple[_Match, list[str]]]:
        """Rows whose match is taken; the others are counted."""
        account = self.account.file(name)
        for row in self._rows(name, columns):
            found = self._by_address.get(row[0]) or self._look_up(row[0])
            if isinstance(found, str):
                account.reject(found)
            elif found.taken:
                yield found, row
            else:
                account.left_out += 1

    def _look_up(self, address: str) -> _Match | str:
        match_id = _match_id(address)
        found: _Match | str = "no match id in Address"
        if match_id:
            found = self._by_id.get(match_id, "match is not in matchinfo")
        self._by_address[address] = found
        return found

    def _read_matches(self, limit: int | None) -> list[_Match]:
        name = "matchinfo.csv"
        account = self.account.file(name)
        matches: list[_Match] = []
        for number, row in enumerate(self._rows(name, _MATCH_COLUMNS)):
            match = _match(number, row)
            match_id = _match_id(row[0])
            if match_id and match_id in self._by_id:
                account.reject("match twice")
                continue
            if match_id:
                self._by_id[match_id] = match if isinstance(match, _Match) else "match was rejected"
            if isinstance(match, _Match):
                matches.append(match)
            else:
                account.reject(match)
        matches.sort(key=lambda match: match.order)
        _date(matches)
        for number, match in enumerate(matches):
            match.taken = limit is None or number < limit
            if match.taken:
                account.use(events=2)
            else:
                account.left_out += 1
        return [match for match in matches if match.taken]

    def _read_bans(self) -> None:
        account = self.account.file("bans.csv")
        for match, row in self._rows_of_matches("bans.csv", _BAN_COLUMNS):
            side = {"blueBans": "blue", "redBans": "red"}.get(row[1])
            if side is None:
                account.reject("unknown Team")
            elif side in match.bans:
                account.reject("bans twice")
            else:
                match.bans[side] = [ban.strip() for ban in row[2:] if ban.strip() not in _UNKNOWN]
                account.use(events=0)

    def _read_kills(self) -> None:
        account = self.account.file("kills.csv")
        for match, row in self._rows_of_matches("kills.csv", _KILL_COLUMNS):
            side = _KILL_SIDES.get(row[1])
            clock = _clock(row[2], match)
            if side is None:
                account.reject("unknown Team")
            elif isinstance(clock, str):
                account.reject(clock)
            else:
                self._kill(account, match, side, clock, row)

    def _kill(self, account: FileAccount, match: _Match, side: str, clock: int, row: list[str]) -> None:
        event: Event = {"team": side}
        killer = self._person(match, side, row[4])
        victim = self._person(match, "red" if side == "blue" else "blue", row[3])
        if victim:
            key = ("kill", clock, victim.name)
            if match.seen[key]:
                account.reject("same kill twice")
                return
            match.seen[key] += 1
        else:
            self.account.notes["kills of an unknown victim"] += 1
        if killer:
            event |= _named("player_id", "role", "champion", killer)
        else:
            self.account.notes["kills by an unknown killer"] += 1
        if victim:
            event |= _named("victim_id", "victim_role", "victim_champion", victim)
        assistants = [self._person(match, side, name) for name in row[5:9] if name]
        names = list(dict.fromkeys(person.name for person in assistants if person))
        if names:
            event["assist_ids"] = names
        x, y = _position(row[9]), _position(row[10])
        if x is None or y is None:
            self.account.notes["kills at an unknown place"] += 1
        else:
            event |= {"x": x, "y": y}
        match.things.append((clock, _RANK["CHAMPION_KILL"], event))
        account.use(events=1)

    def _person(self, match: _Match, side: str, name: str) -> _Player | None:
        """Somebody named in kills; None where the name says that nobody knows."""
        if name.strip() in _UNKNOWN:
            return None
        player = match.player(side, name)
        if player is None:
            self.account.notes["names in kills that are in no roster"] += 1
            return _Player(name.strip(), "", None)
        return player

    def _read_structures(self) -> None:
        account = self.account.file("structures.csv")
        columns = ["Address", "Team", "Time", "Lane", "Type"]
        for match, (_, team, time, lane, kind) in self._rows_of_matches("structures.csv", columns):
            side, building = _STRUCTURE_SIDES.get(team, ("", ""))
            clock = _clock(time, match)
            tower = building == "TOWER"
            if not side:
                account.reject("unknown Team")
            elif isinstance(clock, str):
                account.reject(clock)
            elif kind == "FOUNTAIN_TURRET":
                account.reject("Azir's Sun Disc (FOUNTAIN_TURRET), no tower")
            elif lane not in _LANES or (kind not in _TOWERS if tower else kind != "INHIBITOR"):
                account.reject("unknown structure")
            elif match.seen[team, clock, lane, kind] >= (2 if kind == "NEXUS_TURRET" else 1):
                account.reject("same structure twice")
            else:
                match.seen[team, clock, lane, kind] += 1
                event = {"team": side, "building": building, "lane": lane}
                if tower:
                    event["tower_type"] = kind
                match.things.append((clock, _RANK["BUILDING_KILL"], event))
                account.use(events=1)

    def _read_monsters(self) -> None:
        account = self.account.file("monsters.csv")
        for match, (_, team, time, kind) in self._rows_of_matches(
            "monsters.csv", ["Address", "Team", "Time", "Type"]
        ):
            side = _MONSTER_SIDES.get(team)
            clock = _clock(time, match)
            if side is None:
                account.reject("unknown Team")
            elif isinstance(clock, str):
                account.reject(clock)
            elif kind not in _MONSTERS:
                account.reject("unknown monster")
            elif match.seen[team, clock, kind]:
                account.reject("same monster twice")
            else:
                match.seen[team, clock, kind] += 1
                monster, sub = _MONSTERS[kind]
                event = {"team": side, "monster": monster}
                if sub:
                    event["monster_sub"] = sub
                match.things.append((clock, _RANK["ELITE_MONSTER_KILL"], event))
                account.use(events=1)

    def _read_gold(self) -> None:
        """Read team gold, where there is a file, in either of its two layouts."""
        path = find(self._folder, "gold.csv")
        if path is None:
            return
        names = [name.strip() for name in header(path)]
        if "goldblue" in names or "goldred" in names:
            self._read_gold_lists()
        else:
            self._read_gold_columns([name for name in names if re.fullmatch(r"min_[0-9]+", name)])
        for match in self._matches:
            blue, red = match.gold.get("blue", []), match.gold.get("red", [])
            for minute, (b, r) in enumerate(zip(blue, red, strict=False)):
                event = {"blue_gold": b, "red_gold": r}
                match.things.append((minute * 60_000, _RANK["TEAM_GOLD"], event))

    def _read_gold_lists(self) -> None:
        account = self.account.file("gold.csv")
        for match, (_, *texts) in self._rows_of_matches("gold.csv", ["Address", "goldblue", "goldred"]):
            blue, red = (_gold(_json_list(text), match) for text in texts)
            if match.gold:
                account.reject("gold twice")
            elif isinstance(blue, str):
                account.reject(blue)
            elif isinstance(red, str):
                account.reject(red)
            elif len(blue) != len(red):
                account.reject("gold of the two sides is not equally long")
            else:
                match.gold = {"blue": blue, "red": red}
                account.use(events=len(blue))

    def _read_gold_columns(self, minutes: list[str]) -> None:
        """A row for each match and kind of gold; the n-th minute column is minute n - 1."""
        account = self.account.file("gold.csv")
        minutes.sort(key=lambda name: int(name[4:]))
        pending: dict[str, tuple[_Match, str, list[int]]] = {}
        for match, row in self._rows_of_matches("gold.csv", ["Address", "Type", *minutes]):
            side = {"goldblue": "blue", "goldred": "red"}.get(row[1])
            if side is None:
                account.left_out += 1
                continue
            cells = [cell.strip() for cell in row[2:]]
            while cells and cells[-1] in _UNKNOWN:
                cells.pop()
            gold = _gold([_whole(cell) for cell in cells], match)
            first = pending.get(match.match_id)
            if isinstance(gold, str):
                account.reject(gold)
            elif match.gold or (first and first[1] == side):
                account.reject("gold twice")
            elif first is None:
                pending[match.match_id] = (match, side, gold)
            else:
                del pending[match.match_id]
                if len(first[2]) == len(gold):
                    match.gold = {first[1]: first[2], side: gold}
                    account.use(events=len(gold))
                    account.use(events=0)
                else:
                    account.reject("gold of the two sides is not equally long")
                    account.reject("gold of the two sides is not equally long")
        for _ in pending:
            account.reject("gold of one side only")


def _named(name_key: str, role_key: str, champion_key: str, player: _Player) -> Event:
    event = {name_key: player.name}
    if player.role:
        event[role_key] = player.role
    if player.champion:
        event[champion_key] = player.champion
    return event


def _match_id(address: str) -> str | None:
    found = _MATCH_ID.search(address)
    return found[1] if found else None


def _match(number: int, row: list[str]) -> _Match | str:
    """A match of a matchinfo row, or why there is none."""
    address, _, year, season, _, _, _, blue_won, red_won, length = (value.strip() for value in row[:10])
    match_id = _match_id(address)
    minutes = _whole(length)
    if match_id is None:
        return "no match id in Address"
    if season not in _SPLIT_STARTS or re.fullmatch(r"20[1-9][0-9]", year) is None:
        return "unknown Year or Season"
    if (blue_won, red_won) not in (("1", "0"), ("0", "1")):
        return "not one winner and one loser"
    if minutes is None or not 1 <= minutes <= MAX_MINUTES:
        return "gamelength is not 1 to 120 minutes"
    order = (int(year), _SPLIT_STARTS[season][0], number)
    return _Match(match_id, order, row, minutes, "blue" if blue_won == "1" else "red")


def _date(matches: Iterable[_Match]) -> None:
    """Give each match, in log order, its start on the synthetic calendar (ms since the Unix epoch)."""
    starts = {rank: (month, day) for rank, month, day in _SPLIT_STARTS.values()}
    free = 0
    for match in matches:
        month, day = starts[match.order[1]]
        split = int(datetime(match.order[0], month, day, tzinfo=UTC).timestamp() * 1000)
        match.start = max(split, free)
        free = match.start + STEP_MS


def _clock(time: str, match: _Match) -> int | str:
    """Match clock (ms) of a time in minutes, or why it is none."""
    if not time.strip():
        return "placeholder without a time"
    try:
        minutes = float(time)
    except ValueError:
        minutes = math.nan
    if not math.isfinite(minutes):
        return "Time is not a number"
    if minutes < 0:
        return "Time is negative"
    if minutes > min(match.minutes + 1, MAX_MINUTES):
        return "Time is after the end of the match"
    return round(minutes * 60_000)


def _position(value: str) -> int | None:
    whole = _whole(value)
    return whole if whole is not None and whole in _MAP_UNITS else None


def _whole(value: Any) -> int | None:
    """A whole number (``12``, ``12.0``) as an integer, else None."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(number) if math.isfinite(number) and number == int(number) else None


def _json_list(text: str) -> list[Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return [_whole(item) for item in value] if isinstance(value, list) else None


def _gold(values: list[Any] | None, match: _Match) -> list[int] | str:
    if values is None or any(value is None or value not in _GOLD for value in values):
        return "gold is not a list of whole numbers"
    if len(values) > match.minutes + 1:
        return "gold goes on after the end of the match"
    return values


def _events(match: _Match) -> list[Event]:
    """All events of a match, ordered by clock, then kind, then file order."""
    things = [(0, _RANK["MATCH_START"], _start(match)), *match.things]
    last = max(clock for clock, _, _ in things)
    end = max(match.minutes * 60_000, last)
    things.append((end, _RANK["MATCH_END"], {"winner": match.winner, "duration_ms": end}))
    things.sort(key=lambda thing: thing[:2])
    kinds = {rank: kind for kind, rank in _RANK.items()}
    return [
        _event(match, ordinal, clock, kinds[rank], fields)
        for ordinal, (clock, rank, fields) in enumerate(things)
    ]


def _start(match: _Match) -> Event:
    event: Event = {}
    for side in ("blue", "red"):
        if match.tags[side] and match.tags[side] not in _UNKNOWN:
            event[f"{side}_team"] = match.tags[side]
    for side in ("blue", "red"):
        event[f"{side}_players"] = match.names[side]
    for side in ("blue", "red"):
        event[f"{side}_champions"] = match.champions[side]
    for side in ("blue", "red"):
        if match.bans.get(side):
            event[f"{side}_bans"] = match.bans[side]
    return event


def _event(match: _Match, ordinal: int, clock: int, kind: str, fields: Event) -> Event:
    known = [fields[key] for key in ("player_id", "victim_id") if key in fields]
    people = known + fields.get("assist_ids", [])
    return {
        "event_id": event_id(NAME, match.match_id, clock, kind, people, ordinal),
        "match_id": match.match_id,
        "event_type": kind,
        "event_time": match.start + clock,
        "game_time_ms": clock,
        "ordinal": ordinal,
        **match.head,
        **fields,
    }
