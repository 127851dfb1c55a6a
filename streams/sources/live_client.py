"""Riot's Live Client Data: what the game client tells at ``/liveclientdata/allgamedata``.

Every answer repeats the whole list of events, so ``read`` gives only those that are new. Snapshots of players
become PLAYER_STATS where something changed.

What this feed cannot tell: a match id (it is derived from the rosters, unless one is given), team names, the
league, the teams' gold (only the gold that the player at this computer has in hand), places, who placed
wards or bought what, and who won where the client only watches. Creep score comes in steps of ten.
A champion killed by a tower, minions or monsters is a CHAMPION_KILL without a team: a death, and nobody's
kill.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any

from riftstream.errors import SourceError
from streams.sources.account import Account
from streams.sources.players import Player, actor
from streams.sources.writer import UNDATED_MS, EventWriter

NAME = "live-client"
ROLES = {"TOP": "top", "JUNGLE": "jungle", "MIDDLE": "mid", "BOTTOM": "adc", "UTILITY": "support"}

Event = dict[str, Any]

_SIDES = {"ORDER": "blue", "CHAOS": "red"}
_OTHER = {"blue": "red", "red": "blue"}
_OWNERS = {"T1": "blue", "TOrder": "blue", "T2": "red", "TChaos": "red"}
_LANES = {
    **{"L": "TOP_LANE", "C": "MID_LANE", "R": "BOT_LANE"},
    **{"L2": "TOP_LANE", "L1": "MID_LANE", "L0": "BOT_LANE"},
}
_SIDE_LANE_TOWERS = {"03": "OUTER_TURRET", "02": "INNER_TURRET", "01": "BASE_TURRET"}
_TOWERS = {("L", number): ("TOP_LANE", tower) for number, tower in _SIDE_LANE_TOWERS.items()}
_TOWERS |= {("R", number): ("BOT_LANE", tower) for number, tower in _SIDE_LANE_TOWERS.items()}
_TOWERS |= {
    ("C", "05"): ("MID_LANE", "OUTER_TURRET"),
    ("C", "04"): ("MID_LANE", "INNER_TURRET"),
    ("C", "03"): ("MID_LANE", "BASE_TURRET"),
    ("C", "02"): ("MID_LANE", "NEXUS_TURRET"),
    ("C", "01"): ("MID_LANE", "NEXUS_TURRET"),
    ("C", "06"): ("TOP_LANE", "BASE_TURRET"),
    ("C", "07"): ("BOT_LANE", "BASE_TURRET"),
}
_TOWERS |= {
    (lane, position): (_LANES[lane], tower)
    for lane in ("L0", "L1", "L2")
    for position, tower in (("P3", "OUTER_TURRET"), ("P2", "INNER_TURRET"), ("P1", "BASE_TURRET"))
}
_TOWERS |= {("L1", position): ("MID_LANE", "NEXUS_TURRET") for position in ("P4", "P5")}
_TOWER_NAME = re.compile(r"Turret_(T1|T2|TOrder|TChaos)_(L[0-2]|[LCR])_(0[1-7]|P[1-5])(_|$)")
_INHIBITOR_NAME = re.compile(r"(?:Barracks|Inhib)_(T1|T2|TOrder|TChaos)_(L[0-2]|[LCR])")
_MONSTERS = {
    "HeraldKill": "RIFTHERALD",
    "BaronKill": "BARON_NASHOR",
    "HordeKill": "HORDE",
    "AtakhanKill": "ATAKHAN",
}
_DRAGONS = frozenset(("Air", "Earth", "Fire", "Water", "Hextech", "Chemtech", "Elder"))
_NEW_GAME_MS = 5_000


class LiveClient:
    """Turns answers of the Live Client Data API into events, one answer after the other.

    Args:
        match_id: Identity of the match; by default derived from both rosters and their champions.
        league: League of the match.

    Example:
        >>> feed = LiveClient(match_id="SCRIM/7")                           # doctest: +SKIP
        >>> new_events = feed.read(answer, received_ms=now)
    """

    def __init__(self, match_id: str | None = None, league: str | None = None) -> None:
        self.account = Account(NAME)
        self.finished = False
        self._given_id = match_id
        self._league = league
        self._games = 0
        self._begin()

    def _begin(self) -> None:
        self._write: EventWriter | None = None
        self._players: dict[str, Player] = {}
        self._last_event = -1
        self._clock = 0
        self._stats: dict[str, tuple[int, ...]] = {}

    def read(self, answer: Any, received_ms: int | None = None) -> list[Event]:
        """Events that this answer adds to those before.

        Args:
            answer: The decoded JSON.
            received_ms: When it was received (ms since the Unix epoch); without it the match is put at a
                made-up date (``writer.UNDATED_MS``).

        Raises:
            SourceError: It is no answer of this API.
        """
        try:
            clock = round(float(answer["gameData"]["gameTime"]) * 1000)
            listed = list(answer["events"]["Events"])
            players = list(answer["allPlayers"])
        except (KeyError, TypeError, ValueError, OverflowError) as cause:
            raise SourceError(
                f"This is no answer of allgamedata: {cause!r} is missing.",
                "It needs gameData.gameTime, allPlayers and events.Events.",
            ) from cause
        if clock < self._clock - _NEW_GAME_MS:
            self._begin()
        self._clock = max(clock, self._clock)
        zero = UNDATED_MS if received_ms is None else received_ms - clock
        self._meet(players)
        account = self.account.file("events")
        events: list[Event] = []
        ends: list[dict[str, Any]] = []
        for entry in listed:
            number = entry.get("EventID") if isinstance(entry, dict) else None
            if not isinstance(number, int):
                account.read += 1
                account.reject("no EventID")
            elif number > self._last_event:
                self._last_event = number
                account.read += 1
                if entry.get("EventName") == "GameEnd":
                    ends.append(entry)
                else:
                    self._add(events, self._event(entry, zero, answer))
        latest = min([clock, *(_entry_clock(end) or 0 for end in ends)])
        events += self._snapshots(players, latest, zero)
        for end in ends:
            self._add(events, self._event(end, zero, answer))
        self.account.kinds.update(event["event_type"] for event in events)
        return events

    def _add(self, events: list[Event], made: Event | str) -> None:
        account = self.account.file("events")
        if isinstance(made, str):
            account.reject(made)
        else:
            account.use(events=1)
            events.append(made)

    def _meet(self, players: list[Any]) -> None:
        """Know the players by every name that the feed uses for them, and name the match after them."""
        if self._write is not None:
            return
        rosters = []
        for raw in players:
            player = _player(raw)
            if player is None:
                continue
            rosters.append(f"{player.side}/{player.name}/{player.champion}")
            for key in ("summonerName", "riotIdGameName", "riotId"):
                if isinstance(raw.get(key), str) and raw[key]:
                    self._players[raw[key]] = player
        digest = hashlib.sha256("|".join(sorted(rosters)).encode()).hexdigest()[:12]
        match_id = self._given_id or f"LIVE/{digest}"
        self._games += 1
        self.account.matches += 1
        if self._games > 1:
            match_id = f"{match_id}#{self._games}"
        self.finished = False
        self._write = EventWriter(NAME, match_id, league=self._league)

    def _event(self, entry: dict[str, Any], zero: int, answer: Any) -> Event | str:
        """The event of one entry of the list, or why there is none."""
        clock = _entry_clock(entry)
        if clock is None:
            return "no EventTime"
        name = str(entry.get("EventName"))
        makers: dict[str, Callable[[], tuple[str, Event] | str]] = {
            "GameStart": lambda: ("MATCH_START", self._rosters()),
            "ChampionKill": lambda: self._champion_kill(entry),
            "TurretKilled": lambda: self._building(entry, "TurretKilled"),
            "InhibKilled": lambda: self._building(entry, "InhibKilled"),
            "DragonKill": lambda: self._monster(entry, "DRAGON"),
            "GameEnd": lambda: self._end(entry, clock, answer),
        }
        if name in _MONSTERS:
            made = self._monster(entry, _MONSTERS[name])
        elif name in makers:
            made = makers[name]()
        else:
            return f"{name} is no event of ours"
        if isinstance(made, str):
            return made
        kind, fields = made
        assert self._write is not None
        return self._write(kind, clock, zero + clock, natural=((), entry["EventID"]), **fields)

    def _rosters(self) -> Event:
        fields: Event = {}
        order = list(ROLES.values())
        for side in ("blue", "red"):
            team = [player for player in dict.fromkeys(self._players.values()) if player.side == side]
            by_role = {player.role: player for player in team if player.role}
            if len(by_role) == len(team):
                fields[f"{side}_players"] = [by_role[r].name if r in by_role else "" for r in order]
                champions = [by_role[r].champion if r in by_role else "" for r in order]
            else:
                self.account.notes["rosters whose roles are not known"] += 1
                fields[f"{side}_players"] = [player.name for player in team]
                champions = [player.champion for player in team]
            fields[f"{side}_champions"] = [champion or "" for champion in champions]
        return fields

    def _champion_kill(self, entry: dict[str, Any]) -> tuple[str, Event] | str:
        killer = self._players.get(str(entry.get("KillerName")))
        victim = self._players.get(str(entry.get("VictimName")))
        if killer is None and victim is None:
            return "nobody known killed nobody known"
        if killer is not None and victim is not None and victim.side == killer.side:
            return "killed by the own side"
        fields: Event = {}
        if killer is None:
            self.account.notes["deaths that are nobody's kill"] += 1
        else:
            fields = actor(killer) | {"assist_ids": self._assistants(entry, killer)}
        if victim is None:
            self.account.notes["kills of an unknown victim"] += 1
        else:
            fields |= {
                "victim_id": victim.name,
                "victim_role": victim.role,
                "victim_champion": victim.champion,
            }
        return "CHAMPION_KILL", fields

    def _building(self, entry: dict[str, Any], key: str) -> tuple[str, Event] | str:
        """A tower or inhibitor. Its name says whose it was; minions may have destroyed it."""
        name = str(entry.get(key))
        tower = key == "TurretKilled"
        found = (_TOWER_NAME if tower else _INHIBITOR_NAME).match(name)
        if found is None:
            return "an unknown building"
        killer = self._players.get(str(entry.get("KillerName")))
        side = _OTHER[_OWNERS[found[1]]]
        fields: Event = {"team": side, "building": "TOWER" if tower else "INHIBITOR"}
        if killer is not None and killer.side == side:
            fields |= actor(killer)
            fields["assist_ids"] = self._assistants(entry, killer)
        if tower:
            lane, tower_type = _TOWERS.get((found[2], found[3]), (_LANES[found[2]], None))
            fields |= {"lane": lane, "tower_type": tower_type}
        else:
            fields["lane"] = _LANES[found[2]]
        return "BUILDING_KILL", fields

    def _monster(self, entry: dict[str, Any], monster: str) -> tuple[str, Event] | str:
        killer = self._players.get(str(entry.get("KillerName")))
        if killer is None:
            return "a monster killed by nobody known"
        fields = actor(killer) | {"assist_ids": self._assistants(entry, killer), "monster": monster}
        kind = entry.get("DragonType")
        if monster == "DRAGON" and kind in _DRAGONS:
            fields["monster_sub"] = f"{kind.upper()}_DRAGON"
        return "ELITE_MONSTER_KILL", fields

    def _assistants(self, entry: dict[str, Any], killer: Player) -> list[str] | None:
        """Assistants of the killer's side, each once: the feed repeats some and names enemies too."""
        named = entry.get("Assisters")
        if not isinstance(named, list):
            return None
        players = [self._players.get(str(name)) for name in named]
        names = [p.name for p in players if p is not None and p.side == killer.side and p != killer]
        return list(dict.fromkeys(names)) or None

    def _end(self, entry: dict[str, Any], clock: int, answer: Any) -> tuple[str, Event] | str:
        self.finished = True
        active = answer.get("activePlayer")
        names = active.values() if isinstance(active, dict) else ()
        me = next((self._players[name] for name in names if self._known(name)), None)
        won = {"Win": True, "Lose": False}.get(str(entry.get("Result")))
        if me is None or won is None:
            return "the end of a game that the client only watched: the winner is not told"
        winner = me.side if won else _OTHER[me.side]
        return "MATCH_END", {"winner": winner, "duration_ms": clock}

    def _known(self, name: Any) -> bool:
        return isinstance(name, str) and name in self._players

    def _snapshots(self, players: list[Any], clock: int, zero: int) -> list[Event]:
        """PLAYER_STATS of every player whose numbers changed since the last answer."""
        account = self.account.file("players")
        events = []
        for raw in players:
            account.read += 1
            player = _player(raw)
            stats = _stats(raw)
            if player is None or stats is None:
                account.reject("no side, name or scores")
            elif self._stats.get(player.name) == stats:
                account.left_out += 1
            else:
                self._stats[player.name] = stats
                kills, deaths, assists, creep_score, level = stats
                assert self._write is not None
                events.append(
                    self._write(
                        "PLAYER_STATS",
                        clock,
                        zero + clock,
                        natural=((player.name,), clock),
                        **actor(player),
                        kills=kills,
                        deaths=deaths,
                        assists=assists,
                        creep_score=creep_score,
                        level=level,
                    )
                )
                account.use(events=1)
        return events


def _entry_clock(entry: dict[str, Any]) -> int | None:
    try:
        return max(0, round(float(entry["EventTime"]) * 1000))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _player(raw: Any) -> Player | None:
    if not isinstance(raw, dict):
        return None
    names: Iterable[Any] = (raw.get(key) for key in ("riotIdGameName", "summonerName", "riotId"))
    name = next((name for name in names if isinstance(name, str) and name), None)
    side = _SIDES.get(str(raw.get("team")))
    if name is None or side is None:
        return None
    champion = str(raw.get("rawChampionName") or "").rpartition("_")[2] or raw.get("championName")
    return Player(name, side, ROLES.get(str(raw.get("position"))), champion or None)


def _stats(raw: Any) -> tuple[int, ...] | None:
    try:
        scores = raw["scores"]
        keys = ("kills", "deaths", "assists", "creepScore")
        return (*(int(scores[key]) for key in keys), int(raw["level"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
