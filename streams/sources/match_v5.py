"""Riot match-v5: the timeline of a finished match, with its match document where that is at hand.

A timeline knows players only by number and puuid; names, roles, champions, patch and bans come from the match
document (same ``matchId``) beside it. ``teamId`` of a building is its owner, so the other side destroyed it.
Each frame gives TEAM_GOLD (the sum of the players' ``totalGold``) and ten PLAYER_STATS; kills, deaths and
assists there are counted from the events before. ``realTimestamp`` of PAUSE_END anchors the clock to UTC, so
that event times go on in a pause while the match clock stands; the one at zero is the start of the clock and
no pause. A champion killed by a tower, minions or monsters (``killerId`` 0) is a CHAMPION_KILL without a
team.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riftstream.errors import SourceError
from streams.sources.account import Account
from streams.sources.players import Player, actor
from streams.sources.recorded import documents
from streams.sources.writer import UNDATED_MS, EventWriter

if TYPE_CHECKING:
    from streams.sources import Options

NAME = "match-v5"
ROLES = {"TOP": "top", "JUNGLE": "jungle", "MIDDLE": "mid", "BOTTOM": "adc", "UTILITY": "support"}

Event = dict[str, Any]

_SIDES = {100: "blue", 200: "red"}
_OTHER = {"blue": "red", "red": "blue"}
_BUILDINGS = {"TOWER_BUILDING": "TOWER", "INHIBITOR_BUILDING": "INHIBITOR"}
_MONSTERS = frozenset(("DRAGON", "RIFTHERALD", "BARON_NASHOR", "HORDE", "ATAKHAN"))
_KNOWN = frozenset(
    (
        *("CHAMPION_KILL", "BUILDING_KILL", "ELITE_MONSTER_KILL", "ITEM_PURCHASED", "LEVEL_UP"),
        *("WARD_PLACED", "WARD_KILL", "PAUSE_START", "PAUSE_END", "GAME_END"),
    )
)


class MatchV5:
    """Matches of a timeline file, or of a folder of timelines and match documents (``.json``, ``.json.gz``).

    Args:
        path: File or folder.
        options: Limit, match id, league, and the start of a match without ``realTimestamp``.

    Raises:
        SourceError: There is no timeline, or one cannot be read.
    """

    def __init__(self, path: Path, options: Options) -> None:
        self.account = Account(NAME)
        files = sorted(path.glob("*.json*")) if path.is_dir() else [path]
        found = [document for file in files for document in documents(file)]
        timelines = [document for document in found if _is_timeline(document)]
        if not timelines:
            raise SourceError(
                f"{path} holds no match-v5 timeline.", "A timeline has metadata.matchId and info.frames."
            )
        details = {
            document["metadata"]["matchId"]: document["info"]
            for document in found
            if _is_match(document) and not _is_timeline(document)
        }
        if options.match_id is not None and len(timelines) > 1:
            raise SourceError("A match id can be given for one timeline only.", "Name one file.")
        self._matches = [
            _read(timeline, details.get(timeline["metadata"]["matchId"]), self.account, options)
            for timeline in timelines[: options.limit]
        ]

    def __len__(self) -> int:
        """Matches that ``matches`` will give."""
        return len(self._matches)

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match, in log order."""
        for events in self._matches:
            self.account.hand_out(events)
            yield events


def _is_match(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and isinstance(document.get("metadata"), dict)
        and isinstance(document["metadata"].get("matchId"), str)
        and isinstance(document.get("info"), dict)
    )


def _is_timeline(document: Any) -> bool:
    return _is_match(document) and isinstance(document["info"].get("frames"), list)


def _read(timeline: Any, details: Any, account: Account, options: Options) -> list[Event]:
    """All events of one timeline, in the order of its clock."""
    match_id = options.match_id or timeline["metadata"]["matchId"]
    players = _players(timeline, details)
    patch = None
    if isinstance(details, dict):
        patch = ".".join(str(details.get("gameVersion") or "").split(".")[:2]) or None
    write = EventWriter(NAME, match_id, league=options.league, patch=patch)
    reader = _Reader(write, players, account, UNDATED_MS if options.start_ms is None else options.start_ms)
    reader.anchor(timeline["info"]["frames"])
    events = [write("MATCH_START", 0, reader.time(0), **_rosters(players, details))]
    account.file("timeline").use(events=1)
    account.file("timeline").read += 1
    for frame in timeline["info"]["frames"]:
        events += reader.frame(frame)
    if reader.end is not None:
        events += reader.finish(str(timeline["info"].get("endOfGameResult") or ""))
    return events


def _players(timeline: Any, details: Any) -> dict[int, Player]:
    """Players by participant number; 1 to 5 are blue."""
    known: dict[int, Player] = {}
    listed = timeline["info"].get("participants")
    puuids = {
        raw["participantId"]: raw.get("puuid")
        for raw in (listed if isinstance(listed, list) else [])
        if isinstance(raw, dict) and isinstance(raw.get("participantId"), int)
    }
    for number in range(1, 11):
        side = "blue" if number <= 5 else "red"
        known[number] = Player(str(puuids.get(number) or f"participant-{number}"), side)
    more = details.get("participants") if isinstance(details, dict) else None
    for raw in more if isinstance(more, list) else []:
        seat = raw.get("participantId") if isinstance(raw, dict) else None
        if isinstance(seat, int) and seat in known:
            names = (raw.get("riotIdGameName"), raw.get("summonerName"), known[seat].name)
            known[seat] = Player(
                next(str(name) for name in names if name),
                _SIDES.get(raw.get("teamId") or 0, known[seat].side),
                ROLES.get(str(raw.get("teamPosition"))),
                raw.get("championName") or None,
            )
    return known


def _rosters(players: dict[int, Player], details: Any) -> Event:
    """Rosters by role; without the match document in the order of the numbers, which is Riot's role order."""
    fields: Event = {}
    for side in ("blue", "red"):
        team = [player for player in players.values() if player.side == side]
        by_role = {player.role: player for player in team if player.role}
        if len(by_role) == 5:
            team = [by_role[role] for role in ROLES.values()]
        fields[f"{side}_players"] = [player.name for player in team]
        if any(player.champion for player in team):
            fields[f"{side}_champions"] = [player.champion or "" for player in team]
    return fields


class _Reader:
    """Reads the frames of one timeline."""

    def __init__(
        self, write: EventWriter, players: dict[int, Player], account: Account, start_ms: int
    ) -> None:
        self._write = write
        self._players = players
        self._account = account
        self._zero = start_ms
        self._kills: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self._assists: Counter[str] = Counter()
        self.end: dict[str, Any] | None = None

    def time(self, clock: int) -> int:
        """Event time (ms since the Unix epoch) of a match clock, by the newest anchor."""
        return self._zero + clock

    def anchor(self, frames: list[Any]) -> None:
        """Set the start from the first event that carries both clocks."""
        for frame in frames:
            for entry in frame.get("events", []) if isinstance(frame, dict) else []:
                if isinstance(entry, dict) and isinstance(entry.get("realTimestamp"), int):
                    self._zero = entry["realTimestamp"] - int(entry.get("timestamp") or 0)
                    return

    def frame(self, frame: Any) -> list[Event]:
        """Events of one frame, then its snapshots."""
        account = self._account.file("events")
        events: list[Event] = []
        entries = frame.get("events") if isinstance(frame, dict) else None
        for entry in entries if isinstance(entries, list) else []:
            account.read += 1
            made = self._event(entry)
            if isinstance(made, str):
                account.reject(made)
            else:
                account.use(events=1)
                events += made
        return events + self._snapshots(frame)

    def _event(self, entry: Any) -> list[Event] | str:
        """The event of one entry, in a list that is empty for the end (which comes last), or why none."""
        if not isinstance(entry, dict) or not isinstance(entry.get("timestamp"), int):
            return "no timestamp"
        kind = str(entry.get("type"))
        if kind not in _KNOWN:
            return f"{kind} is no event of ours"
        if kind == "GAME_END":
            if self.end is not None:
                return "GAME_END twice"
            self.end = entry
            return []
        made = self._fields(kind, entry)
        if isinstance(made, str):
            return made
        clock = entry["timestamp"]
        if kind == "PAUSE_END" and isinstance(entry.get("realTimestamp"), int):
            self._zero = entry["realTimestamp"] - clock
        position = entry.get("position")
        if isinstance(position, dict):
            made |= {axis: position[axis] for axis in ("x", "y") if isinstance(position.get(axis), int)}
        return [self._write(kind, clock, self.time(clock), **made)]

    def _fields(self, kind: str, entry: dict[str, Any]) -> Event | str:
        if kind == "CHAMPION_KILL":
            return self._champion_kill(entry)
        if kind == "BUILDING_KILL":
            return self._building(entry)
        if kind == "ELITE_MONSTER_KILL":
            return self._monster(entry)
        if kind.startswith("PAUSE"):
            starts = kind == "PAUSE_END" and entry["timestamp"] == 0
            return "PAUSE_END at zero is the start of the clock" if starts else {}
        key = {"WARD_PLACED": "creatorId", "WARD_KILL": "killerId"}.get(kind, "participantId")
        player = self._player(entry.get(key))
        if player is None:
            return f"{kind} by nobody"
        fields = actor(player)
        if kind == "ITEM_PURCHASED":
            fields["item_id"] = entry.get("itemId")
        elif kind == "LEVEL_UP":
            fields["level"] = entry.get("level")
        return fields

    def _champion_kill(self, entry: dict[str, Any]) -> Event | str:
        killer = self._player(entry.get("killerId"))
        victim = self._player(entry.get("victimId"))
        if killer is None and victim is None:
            return "nobody known killed nobody known"
        fields: Event = {}
        if killer is None:
            self._account.notes["deaths that are nobody's kill"] += 1
        else:
            self._kills[killer.name] += 1
            assistants = self._assistants(entry, killer)
            self._assists.update(assistants or ())
            fields = actor(killer) | {"assist_ids": assistants}
        if victim is not None:
            self._deaths[victim.name] += 1
            fields |= {
                "victim_id": victim.name,
                "victim_role": victim.role,
                "victim_champion": victim.champion,
            }
        return fields

    def _building(self, entry: dict[str, Any]) -> Event | str:
        owner = _SIDES.get(entry.get("teamId", 0))
        building = _BUILDINGS.get(str(entry.get("buildingType")))
        if owner is None or building is None:
            return "an unknown building"
        side = _OTHER[owner]
        fields: Event = {
            "team": side,
            "building": building,
            "lane": entry.get("laneType"),
            "tower_type": entry.get("towerType") if building == "TOWER" else None,
        }
        killer = self._player(entry.get("killerId"))
        if killer is not None and killer.side == side:
            fields |= actor(killer) | {"assist_ids": self._assistants(entry, killer)}
        return fields

    def _monster(self, entry: dict[str, Any]) -> Event | str:
        side = _SIDES.get(entry.get("killerTeamId", 0))
        killer = self._player(entry.get("killerId"))
        monster = str(entry.get("monsterType"))
        if monster not in _MONSTERS:
            return f"{monster} is no monster of ours"
        if side is None and killer is None:
            return "a monster killed by neither side"
        fields: Event = {
            "team": side or (killer.side if killer else None),
            "monster": monster,
            "monster_sub": entry.get("monsterSubType"),
        }
        if killer is not None:
            fields = actor(killer) | fields | {"assist_ids": self._assistants(entry, killer)}
        return fields

    def _assistants(self, entry: dict[str, Any], killer: Player) -> list[str] | None:
        listed = entry.get("assistingParticipantIds")
        players = [self._player(number) for number in listed] if isinstance(listed, list) else []
        names = [player.name for player in players if player is not None and player.side == killer.side]
        return list(dict.fromkeys(names)) or None

    def _player(self, number: Any) -> Player | None:
        return self._players.get(number) if isinstance(number, int) else None

    def _snapshots(self, frame: Any) -> list[Event]:
        """TEAM_GOLD and PLAYER_STATS of a frame. Without all ten players there is no team gold."""
        account = self._account.file("frames")
        account.read += 1
        raw = frame.get("participantFrames") if isinstance(frame, dict) else None
        clock = frame.get("timestamp") if isinstance(frame, dict) else None
        if not isinstance(raw, dict) or not isinstance(clock, int):
            account.reject("no timestamp or participantFrames")
            return []
        stats: dict[int, Event] = {}
        for number, player in self._players.items():
            found = _stats(raw.get(str(number)))
            if found is not None:
                stats[number] = actor(player) | found
        events = []
        if len(stats) == len(self._players):
            gold: Counter[str] = Counter()
            for number, fields in stats.items():
                gold[self._players[number].side] += fields["gold"]
            time = self.time(clock)
            events.append(self._write("TEAM_GOLD", clock, time, blue_gold=gold["blue"], red_gold=gold["red"]))
        for number, fields in stats.items():
            name = self._players[number].name
            counts = (self._kills[name], self._deaths[name], self._assists[name])
            fields |= dict(zip(("kills", "deaths", "assists"), counts, strict=True))
            events.append(self._write("PLAYER_STATS", clock, self.time(clock), **fields))
        account.use(events=len(events))
        return events

    def finish(self, result: str) -> list[Event]:
        """MATCH_END, or REMAKE where the match was broken off; nothing where the winner is not told."""
        assert self.end is not None
        clock = self.end["timestamp"]
        real = self.end.get("realTimestamp")
        time = real if isinstance(real, int) else self.time(clock)
        winner = _SIDES.get(self.end.get("winningTeam") or 0)
        if result.startswith("Abort"):
            return [self._write("REMAKE", clock, time)]
        if winner is None:
            account = self._account.file("events")
            account.used -= 1
            account.events -= 1
            account.reject("the winner is not told")
            return []
        return [self._write("MATCH_END", clock, time, winner=winner, duration_ms=clock)]


def _stats(raw: Any) -> Event | None:
    try:
        return {
            "creep_score": int(raw["minionsKilled"]) + int(raw["jungleMinionsKilled"]),
            "level": int(raw["level"]),
            "gold": int(raw["totalGold"]),
            "x": int(raw["position"]["x"]) if "position" in raw else None,
            "y": int(raw["position"]["y"]) if "position" in raw else None,
        }
    except (KeyError, TypeError, ValueError):
        return None
