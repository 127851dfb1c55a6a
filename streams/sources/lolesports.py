"""lolesports livestats ``window``: frames of a match on stage, with totals.

A frame holds totals, so what happened is the difference between two frames. What this feed cannot tell: the
exact moment (it lies between two frames), which tower or inhibitor fell and who destroyed it, who killed a
dragon or Baron, Rift Heralds at all, and **who won**: a finished match gives no MATCH_END until somebody
names the winner (``end``). Who killed whom is told where only one reading of the totals is possible: the
killer where one player of the side has all new kills of the frame, the victim where it was a single kill and
one player of the other side died, the assistants where it was a single kill.

There is no match clock either. It begins with the first frame that is in the game, and stands still while
frames say ``paused``; whoever joins late must read the first window first, which the poller does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from riftstream.errors import SourceError
from streams.sources.account import Account
from streams.sources.players import Player
from streams.sources.writer import EventWriter

NAME = "lolesports"
ROLES = {"top": "top", "jungle": "jungle", "mid": "mid", "bottom": "adc", "support": "support"}

Event = dict[str, Any]

_OTHER = {"blue": "red", "red": "blue"}
_DRAGONS = {
    "cloud": "AIR_DRAGON",
    "mountain": "EARTH_DRAGON",
    "infernal": "FIRE_DRAGON",
    "ocean": "WATER_DRAGON",
    "hextech": "HEXTECH_DRAGON",
    "chemtech": "CHEMTECH_DRAGON",
    "elder": "ELDER_DRAGON",
}
_STATS = ("kills", "deaths", "assists", "creepScore", "level", "totalGold")
_WINDOW = timedelta(seconds=10)
_BEHIND = timedelta(seconds=60)


@dataclass(frozen=True)
class _Side:
    """Totals of one side in one frame; ``players`` are totals by participant id, in the order of _STATS."""

    kills: int = 0
    towers: int = 0
    inhibitors: int = 0
    barons: int = 0
    dragons: tuple[str, ...] = ()
    gold: int = -1
    players: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class _Frame:
    time: int
    state: str
    sides: dict[str, _Side]


class LolEsports:
    """Turns windows of the livestats feed into events, one window after the other.

    Args:
        match_id: Identity of the match; by default the feed's ``esportsGameId``.
        league: League of the match.

    Example:
        >>> feed = LolEsports(league="LCS")                                 # doctest: +SKIP
        >>> new_events = feed.read(window)
    """

    def __init__(self, match_id: str | None = None, league: str | None = None) -> None:
        self.account = Account(NAME)
        self.finished = False
        self._given_id = match_id
        self._league = league
        self._write: EventWriter | None = None
        self._players: dict[int, Player] = {}
        self._zero: int | None = None
        self._newest: int | None = None
        self._paused: int | None = None
        self._sides = {"blue": _Side(), "red": _Side()}
        self._window: datetime | None = None

    def parameters(self, now: datetime) -> dict[str, str] | None:
        """What to ask next: nothing for the first window, then windows of ten seconds one after the other.

        The feed refuses windows that are too new. None says that there is nothing to ask for yet.
        """
        if self._newest is None:
            return {}
        newest = datetime.fromtimestamp(self._newest / 1000, UTC)
        floor = newest.replace(microsecond=0) - timedelta(seconds=newest.second % 10)
        fresh = self._window is None or floor > self._window
        window = floor if fresh or self._window is None else self._window + _WINDOW
        if window + _BEHIND > now:
            return None
        self._window = window
        return {"startingTime": window.strftime("%Y-%m-%dT%H:%M:%SZ")}

    def read(self, window: Any, received_ms: int | None = None) -> list[Event]:
        """Events that this window adds to those before.

        Args:
            window: The decoded JSON.
            received_ms: Not needed; the frames carry their time.

        Raises:
            SourceError: It is no answer of this API.
        """
        try:
            frames = list(window["frames"])
            metadata = window["gameMetadata"]
            game_id = str(window["esportsGameId"])
            teams = {side: metadata[f"{side}TeamMetadata"] for side in ("blue", "red")}
        except (KeyError, TypeError) as cause:
            raise SourceError(
                f"This is no answer of livestats window: {cause!r} is missing.",
                "It needs esportsGameId, gameMetadata and frames.",
            ) from cause
        if self._write is None:
            patch = ".".join(str(metadata.get("patchVersion") or "").split(".")[:2]) or None
            self._meet(teams)
            self._write = EventWriter(NAME, self._given_id or game_id, league=self._league, patch=patch)
            self._start = self._rosters(teams)
            self.account.matches += 1
        account = self.account.file("frames")
        events: list[Event] = []
        readable = []
        for raw in frames:
            account.read += 1
            frame = _frame(raw)
            if frame is None:
                account.reject("no time, state or totals")
            else:
                readable.append(frame)
        for frame in sorted(readable, key=lambda frame: frame.time):
            if self._newest is not None and frame.time < self._newest:
                account.left_out += 1
                continue
            self._newest = frame.time
            made = self._advance(frame)
            account.use(events=len(made))
            events += made
        self.account.kinds.update(event["event_type"] for event in events)
        return events

    def end(self, winner: str) -> Event:
        """MATCH_END, from somebody who knows the winner, with the clock of the newest frame.

        Raises:
            SourceError: No frame was read yet, or the winner is neither blue nor red.
        """
        if winner not in _OTHER or self._newest is None or self._write is None:
            raise SourceError(
                "A match ends with a winner, blue or red, after at least one frame.",
                "Read a window first.",
            )
        clock = self._clock(self._newest)
        event = self._write(
            "MATCH_END", clock, self._newest, natural=((), 0), winner=winner, duration_ms=clock
        )
        self.account.file("result").read += 1
        self.account.file("result").use(events=1)
        self.account.kinds["MATCH_END"] += 1
        return event

    def _meet(self, teams: dict[str, Any]) -> None:
        for side, team in teams.items():
            tag = _tag(team)
            for raw in _participants(team):
                name = str(raw.get("summonerName") or "")
                if tag:
                    name = name.removeprefix(tag).strip()
                self._players[raw["participantId"]] = Player(
                    name or str(raw.get("esportsPlayerId") or raw["participantId"]),
                    side,
                    ROLES.get(str(raw.get("role"))),
                    raw.get("championId") or None,
                )

    def _rosters(self, teams: dict[str, Any]) -> Event:
        fields: Event = {}
        for side, team in teams.items():
            players = [player for player in self._players.values() if player.side == side]
            by_role = {player.role: player for player in players if player.role}
            listed = [by_role.get(role) for role in ROLES.values()]
            fields[f"{side}_team"] = _tag(team) or team.get("esportsTeamId")
            fields[f"{side}_players"] = [player.name if player else "" for player in listed]
            fields[f"{side}_champions"] = [(player.champion or "") if player else "" for player in listed]
        return fields

    def _clock(self, time: int) -> int:
        """Match clock (ms) at a time: pauses that are over have moved its zero, one that lasts stops it."""
        until = time if self._paused is None else self._paused
        return max(0, until - (self._zero if self._zero is not None else time))

    def _advance(self, frame: _Frame) -> list[Event]:
        """Events of one frame."""
        assert self._write is not None
        events: list[Event] = []
        if frame.state == "finished":
            self.finished = True
        if self._zero is None:
            if frame.state not in ("in_game", "paused", "finished"):
                return []
            self._zero = frame.time
            events.append(self._write("MATCH_START", 0, frame.time, natural=((), 0), **self._start))
        if frame.state == "paused" and self._paused is None:
            self._paused = frame.time
            events.append(self._pause("PAUSE_START", frame.time))
        elif frame.state != "paused" and self._paused is not None:
            events.append(self._pause("PAUSE_END", frame.time))
            self._zero += frame.time - self._paused
            self._paused = None
        clock = self._clock(frame.time)
        for side, new in frame.sides.items():
            events += self._kills(frame, side, clock)
            events += self._totals(side, self._sides[side], new, clock, frame.time)
        events += self._snapshots(frame, clock)
        self._sides = {side: _highest(self._sides[side], new) for side, new in frame.sides.items()}
        return events

    def _pause(self, kind: str, time: int) -> Event:
        assert self._write is not None
        clock = self._clock(time)
        return self._write(kind, clock, time, natural=((), clock))

    def _kills(self, frame: _Frame, side: str, clock: int) -> list[Event]:
        """A CHAMPION_KILL for each kill that a side has more than before."""
        assert self._write is not None
        before = self._sides[side].kills
        more = frame.sides[side].kills - before
        if more <= 0:
            return []
        killers = self._gains(frame, side, "kills")
        victims = self._gains(frame, _OTHER[side], "deaths")
        assistants = self._gains(frame, side, "assists")
        killer = killers[0][0] if len(killers) == 1 and killers[0][1] == more else None
        victim = victims[0][0] if more == 1 and len(victims) == 1 and victims[0][1] == 1 else None
        if killer is None:
            self.account.notes["kills by an unknown killer"] += more
        if victim is None:
            self.account.notes["kills of an unknown victim"] += more
        fields: Event = {"team": side}
        if killer is not None:
            fields |= {"player_id": killer.name, "role": killer.role, "champion": killer.champion}
        if victim is not None:
            fields |= {
                "victim_id": victim.name,
                "victim_role": victim.role,
                "victim_champion": victim.champion,
            }
        if more == 1:
            fields["assist_ids"] = [player.name for player, _ in assistants if player != killer] or None
        return [
            self._write("CHAMPION_KILL", clock, frame.time, natural=((side,), before + number), **fields)
            for number in range(1, more + 1)
        ]

    def _gains(self, frame: _Frame, side: str, stat: str) -> list[tuple[Player, int]]:
        """Players of a side whose total of a statistic grew, and by how much."""
        index = _STATS.index(stat)
        before = dict(self._sides[side].players)
        grown = []
        for number, stats in frame.sides[side].players:
            gain = stats[index] - before.get(number, (0,) * len(_STATS))[index]
            if gain > 0 and number in self._players:
                grown.append((self._players[number], gain))
        return grown

    def _totals(self, side: str, old: _Side, new: _Side, clock: int, time: int) -> list[Event]:
        """BUILDING_KILL and ELITE_MONSTER_KILL for each thing that a side's totals have more than before."""
        things: list[tuple[str, str, int, Event]] = []
        for building, before, after in (
            ("TOWER", old.towers, new.towers),
            ("INHIBITOR", old.inhibitors, new.inhibitors),
        ):
            things += [("BUILDING_KILL", building, n, {"building": building}) for n in range(before, after)]
        things += [
            ("ELITE_MONSTER_KILL", "DRAGON", n, {"monster": "DRAGON", "monster_sub": _DRAGONS.get(kind)})
            for n, kind in enumerate(new.dragons)
            if n >= len(old.dragons)
        ]
        things += [
            ("ELITE_MONSTER_KILL", "BARON", n, {"monster": "BARON_NASHOR"})
            for n in range(old.barons, new.barons)
        ]
        assert self._write is not None
        return [
            self._write(kind, clock, time, natural=((side, what), number + 1), team=side, **fields)
            for kind, what, number, fields in things
        ]

    def _snapshots(self, frame: _Frame, clock: int) -> list[Event]:
        """TEAM_GOLD and PLAYER_STATS where the numbers changed."""
        assert self._write is not None
        events = []
        gold = {side: frame.sides[side].gold for side in ("blue", "red")}
        if any(gold[side] != self._sides[side].gold for side in gold):
            events.append(
                self._write(
                    "TEAM_GOLD",
                    clock,
                    frame.time,
                    natural=((), clock),
                    blue_gold=gold["blue"],
                    red_gold=gold["red"],
                )
            )
        for side in ("blue", "red"):
            before = dict(self._sides[side].players)
            for number, stats in frame.sides[side].players:
                player = self._players.get(number)
                if player is None or before.get(number) == stats:
                    continue
                kills, deaths, assists, creep_score, level, total = stats
                events.append(
                    self._write(
                        "PLAYER_STATS",
                        clock,
                        frame.time,
                        natural=((player.name,), clock),
                        team=side,
                        player_id=player.name,
                        role=player.role,
                        champion=player.champion,
                        kills=kills,
                        deaths=deaths,
                        assists=assists,
                        creep_score=creep_score,
                        level=level,
                        gold=total,
                    )
                )
        return events


def _highest(old: _Side, new: _Side) -> _Side:
    """The totals to compare the next frame with: what was counted once stays counted."""
    return _Side(
        max(old.kills, new.kills),
        max(old.towers, new.towers),
        max(old.inhibitors, new.inhibitors),
        max(old.barons, new.barons),
        max(old.dragons, new.dragons, key=len),
        new.gold,
        new.players,
    )


def _participants(team: Any) -> list[dict[str, Any]]:
    listed = team.get("participantMetadata") if isinstance(team, dict) else None
    return [
        raw
        for raw in (listed if isinstance(listed, list) else [])
        if isinstance(raw, dict) and isinstance(raw.get("participantId"), int)
    ]


def _tag(team: Any) -> str | None:
    """The team's tag: the first word that all summoner names of a team share (``EG`` in ``EG Impact``)."""
    names = [str(raw.get("summonerName") or "").split(" ") for raw in _participants(team)]
    if len(names) < 2 or any(len(words) < 2 for words in names):
        return None
    first = {words[0] for words in names}
    return first.pop() if len(first) == 1 else None


def _frame(raw: Any) -> _Frame | None:
    try:
        time = datetime.fromisoformat(raw["rfc460Timestamp"])
        sides = {side: _side(raw[f"{side}Team"]) for side in ("blue", "red")}
        return _Frame(round(time.timestamp() * 1000), str(raw["gameState"]), sides)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _side(raw: dict[str, Any]) -> _Side:
    players = tuple(
        (int(player["participantId"]), tuple(int(player[stat]) for stat in _STATS))
        for player in raw["participants"]
    )
    return _Side(
        kills=int(raw["totalKills"]),
        towers=int(raw["towers"]),
        inhibitors=int(raw["inhibitors"]),
        barons=int(raw["barons"]),
        dragons=tuple(str(dragon) for dragon in raw["dragons"]),
        gold=int(raw["totalGold"]),
        players=players,
    )
