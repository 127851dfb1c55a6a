"""Professional games by Oracle's Elixir: its yearly match data CSV, twelve rows a game, with real dates.

A game has a row for each of its ten players and one for each team. What a row tells is the state of things at
the end of the game and, where the league's data allow it, at minutes 10, 15, 20 and 25. So a game becomes:

============ ================================================================================
MATCH_START  teams, rosters, champions and bans, at ``date``, which is UTC
PLAYER_STATS each player at those minutes (gold, creep score, kills, deaths, assists) and at the end
TEAM_GOLD    both teams at those minutes and at the end
MATCH_END    winner and length
============ ================================================================================

What the data do not tell is not made up: no kill, tower, dragon or Baron has a time, so there are no events
of them. Win probability needs those; forms, champion rates and players' totals do not.

``match_id`` is ``gameid``; players and teams go by their names, as in the other sources. Rows of a game are
used all or not at all, since a game without one of its players would be a wrong game. The season is year and
split.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from riftstream.errors import SourceError
from streams.identity import identify
from streams.rules import MAX_CLOCK_MS, OLDEST_MS, ROLES, SIDES
from streams.sources.account import Account
from streams.sources.csv_rows import BadRow, rows

NAME = "oracles-elixir"
MINUTES = (10, 15, 20, 25)

Event = dict[str, Any]

_HEAD = (
    *("gameid", "league", "year", "split", "playoffs", "date", "game", "patch", "side", "position"),
    *("playername", "teamname", "champion", "gamelength", "result"),
)
_BANS = ("ban1", "ban2", "ban3", "ban4", "ban5")
# Column at the end of the game, column at a minute, and the field of PLAYER_STATS.
_STATS = (
    ("kills", "killsat", "kills"),
    ("deaths", "deathsat", "deaths"),
    ("assists", "assistsat", "assists"),
    ("total cs", "csat", "creep_score"),
    ("totalgold", "goldat", "gold"),
)
_COLUMNS = (
    *_HEAD,
    *_BANS,
    *(end for end, _, _ in _STATS),
    *(f"{at}{minute}" for _, at, _ in _STATS for minute in MINUTES),
)
_ROLES = dict(zip(("top", "jng", "mid", "bot", "sup"), ROLES, strict=True))
_PLACES = tuple((side, place) for side in SIDES for place in (*ROLES, "team"))
_RANK = {"MATCH_START": 0, "TEAM_GOLD": 1, "PLAYER_STATS": 2, "MATCH_END": 3}


@dataclass
class _Row:
    """A row that can be used: what is the same in all rows of a game, whose row it is, and its columns."""

    game: tuple[Any, ...]
    side: str
    place: str
    values: dict[str, str]


@dataclass
class _Game:
    """The usable rows of a game by side and place, and how many they are."""

    game_id: str
    file: str
    rows: dict[tuple[str, str], _Row] = field(default_factory=dict)
    problem: str = ""
    found: int = 0

    @property
    def start(self) -> int:
        return int(self.rows[_PLACES[0]].game[0])


def files_of(path: Path) -> list[Path]:
    """The CSV files, plain or gzipped, that a path names: a file, a folder of them, or the folder above that.

    Raises:
        SourceError: There is none.
    """
    if path.is_file():
        return [path]
    for folder in (path, path / NAME):
        found = sorted(file for file in folder.glob("*.csv*") if file.name.endswith((".csv", ".csv.gz")))
        if found:
            return found
    raise SourceError(f"{path} holds no CSV file of Oracle's Elixir.", "Give the file, or its folder.")


class OraclesElixir:
    """The games of Oracle's Elixir files, as events, in the order of their dates.

    Args:
        path: A CSV file, a folder of them, or one that holds a folder ``oracles-elixir``.
        limit: Only the first games; all by default.

    Raises:
        SourceError: A file cannot be read to its end, or lacks a column.
    """

    def __init__(self, path: Path, limit: int | None = None) -> None:
        self.account = Account(NAME)
        games: dict[str, _Game] = {}
        for file in files_of(path):
            self._read(file, games)
        for game in games.values():
            game.problem = game.problem or _problem(game)
            if game.problem:
                self._reject(game)
        good = sorted(
            (game for game in games.values() if not game.problem),
            key=lambda game: (game.start, game.game_id),
        )
        self._games = good if limit is None else good[:limit]
        for game in good[len(self._games) :]:
            self.account.file(game.file).left_out += game.found
        self._events = [_events(game) for game in self._games]
        for game, events in zip(self._games, self._events, strict=True):
            self._use(game, events)

    def __len__(self) -> int:
        """Games that ``matches`` will give."""
        return len(self._games)

    def matches(self) -> Iterator[list[Event]]:
        """The events of each game, in log order. The account's kinds and matches are counted on the way."""
        for events in self._events:
            self.account.hand_out(events)
            yield events

    def _read(self, file: Path, games: dict[str, _Game]) -> None:
        account = self.account.file(file.name)
        for values in rows(file, _COLUMNS):
            account.read += 1
            if isinstance(values, BadRow):
                account.reject(str(values))
                continue
            columns = {name: value.strip() for name, value in zip(_COLUMNS, values, strict=True)}
            game_id = columns["gameid"]
            if not game_id:
                account.reject("no gameid")
                continue
            game = games.setdefault(game_id, _Game(game_id, file.name))
            if game.file != file.name:
                account.reject("game is in another file too")
                continue
            row = _row(columns)
            if isinstance(row, str):
                account.reject(row)
                game.problem = game.problem or "another row of the game cannot be used"
            elif (row.side, row.place) in game.rows:
                account.reject("row twice")
                game.problem = game.problem or "another row of the game comes twice"
            else:
                game.found += 1
                game.rows[row.side, row.place] = row

    def _reject(self, game: _Game) -> None:
        for _ in range(game.found):
            self.account.file(game.file).reject(game.problem)

    def _use(self, game: _Game, events: list[Event]) -> None:
        """Count the rows of a game as used, and its events as made of them."""
        account = self.account.file(game.file)
        account.used += game.found
        account.events += len(events)


def _row(columns: dict[str, str]) -> _Row | str:
    """A row of the file, or why it cannot be used."""
    side = columns["side"].lower()
    place = "team" if columns["position"] == "team" else _ROLES.get(columns["position"], "")
    start, seconds = _date(columns["date"]), _whole(columns["gamelength"])
    if side not in SIDES:
        return "unknown side"
    if not place:
        return "unknown position"
    if start is None:
        return "date is no date"
    if seconds is None or not 0 < seconds * 1000 <= MAX_CLOCK_MS:
        return "gamelength is not 1 to 7200 seconds"
    if columns["result"] not in ("0", "1"):
        return "result is not 0 or 1"
    if place != "team" and not columns["playername"]:
        return "no playername"
    for name, value in columns.items():
        if value and name not in (*_HEAD, *_BANS) and _whole(value) is None:
            return f"{name} is not a whole number"
    head = ("league", "year", "split", "playoffs", "game", "patch")
    return _Row((start, seconds, *(columns[name] for name in head)), side, place, columns)


def _problem(game: _Game) -> str:
    """Why a game cannot be used though its rows can; empty where it can."""
    if set(game.rows) != set(_PLACES):
        return "game does not have its twelve rows"
    found = list(game.rows.values())
    if any(row.game != found[0].game for row in found):
        return "rows of the game disagree"
    winners = {(row.side, row.values["result"]) for row in found}
    if len(winners) != len(SIDES) or len({result for _, result in winners}) != len(SIDES):
        return "not one winner and one loser"
    return ""


def _date(text: str) -> int | None:
    """A date and time of the file, UTC, as ms since the Unix epoch; None where it is none of ours."""
    try:
        when = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
    milliseconds = int(when.timestamp() * 1000)
    return milliseconds if milliseconds >= OLDEST_MS else None


def _whole(text: str) -> int | None:
    """A whole number that is not negative (``12``, ``12.0``); None for anything else."""
    digits = text.removesuffix(".0")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None


def _events(game: _Game) -> list[Event]:
    """The events of a game, ordered by clock, then kind, then side and role."""
    start, seconds, league, year, split, playoffs, number, patch = game.rows[_PLACES[0]].game
    end = seconds * 1000
    told = {
        "league": league,
        "season": f"{year} {split}".strip(),
        "phase": "Playoffs" if playoffs == "1" else "Season",
        "patch": patch,
        "map_number": _whole(number) or None,
    }
    head: Event = {"source": NAME} | {name: value for name, value in told.items() if value}
    winner = next(side for side in SIDES if game.rows[side, "team"].values["result"] == "1")
    things = [(0, "MATCH_START", _start(game))]
    for clock, column in _snapshots(end):
        things += _snapshot(game, clock, column)
    things.append((end, "MATCH_END", {"winner": winner, "duration_ms": end}))
    things.sort(key=lambda thing: (thing[0], _RANK[thing[1]]))
    events = []
    for ordinal, (clock, kind, fields) in enumerate(things):
        event = {
            "match_id": game.game_id,
            "event_type": kind,
            "event_time": start + clock,
            "game_time_ms": clock,
            "ordinal": ordinal,
            **head,
            **fields,
        }
        events.append({"event_id": identify(event), **event})
    return events


def _start(game: _Game) -> Event:
    event: Event = {}
    for side in SIDES:
        players = [game.rows[side, role].values for role in ROLES]
        bans = [ban for name in _BANS if (ban := game.rows[side, "team"].values[name])]
        event[f"{side}_team"] = game.rows[side, "team"].values["teamname"]
        event[f"{side}_players"] = [row["playername"] for row in players]
        event[f"{side}_champions"] = [row["champion"] for row in players]
        event[f"{side}_bans"] = bans
    return {name: value for name, value in event.items() if value}


def _snapshots(end: int) -> list[tuple[int, int | None]]:
    """The clocks at which the file tells the state of things, with the minute that its columns bear."""
    during: list[tuple[int, int | None]] = [
        (minute * 60_000, minute) for minute in MINUTES if minute * 60_000 < end
    ]
    return [*during, (end, None)]


def _snapshot(game: _Game, clock: int, minute: int | None) -> list[tuple[int, str, Event]]:
    """What is told at a minute, or at the end: the gold of both teams, and each player."""
    things: list[tuple[int, str, Event]] = []
    gold = {f"{side}_gold": _stats(game.rows[side, "team"].values, minute).get("gold") for side in SIDES}
    if None not in gold.values():
        things.append((clock, "TEAM_GOLD", dict(gold)))
    for side in SIDES:
        for role in ROLES:
            values = game.rows[side, role].values
            stats = _stats(values, minute)
            if stats:
                who: Event = {"team": side, "player_id": values["playername"], "role": role}
                if values["champion"]:
                    who["champion"] = values["champion"]
                things.append((clock, "PLAYER_STATS", who | stats))
    return things


def _stats(values: dict[str, str], minute: int | None) -> dict[str, int]:
    """The numbers of a row at a minute, or at the end, as far as they are told."""
    columns = ((end if minute is None else f"{at}{minute}", name) for end, at, name in _STATS)
    told = ((name, _whole(values[column])) for column, name in columns)
    return {name: value for name, value in told if value is not None}
