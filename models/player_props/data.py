"""Rows to learn from and to be judged on: players in real matches, before them and at moments of them.

A row is one player at one moment of the match clock. What was known before the match comes from the online
views as of its start (``models.history``); what has happened so far is counted from the kill events up to the
moment; the target is the player's total in PlayerGame. Sources without kill events give rows before the match
only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from models import history
from models.player_props.contract import COUNTED, NAMES, Adjustments, PlayerContext, vectors
from models.player_props.distribution import Doubles, Ints

VIEWS = ("player_games", "player_stats", "team_form")
MINUTE_MS = 60_000
JUDGED_MINUTES = (0, 10, 20, 30)
_PLAYER_COLUMNS: tuple[str, ...] = ("games", "form", "kills_mean", "deaths_mean", "assists_mean")
_PLAYER_COLUMNS += ("participation", "kills_volatility")
_TEAM_COLUMNS = ("games", "form", "kills_mean", "deaths_mean", "duration_mean_ms")
_LIVE = ("clock_minutes", "kills", "deaths", "assists", "team_kills", "opponent_kills")
_LIVE_PLACES = [NAMES.index(name) for name in _LIVE]


@dataclass
class Kills:
    """When who killed, fell and helped in a match: clocks in ms, in order, by player and stat and by side."""

    players: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    sides: dict[str, list[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, match: Sequence[history.Event]) -> Kills:
        """Those of a match's events, which need not be in the order of the clock."""
        found = cls()
        for event in sorted(match, key=lambda event: int(event["game_time_ms"])):
            if event["event_type"] != "CHAMPION_KILL":
                continue
            clock = event["game_time_ms"]
            who = [("kills", event.get("player_id")), ("deaths", event.get("victim_id"))]
            who += [("assists", name) for name in event.get("assist_ids") or ()]
            for stat, name in who:
                if name:
                    found.players.setdefault((name, stat), []).append(clock)
            if event.get("team"):
                found.sides.setdefault(event["team"], []).append(clock)
        return found

    def so_far(self, player: str, side: str, clocks: Ints) -> Doubles:
        """The columns of ``_LIVE`` at some moments, shape [m, 6]."""
        other = "red" if side == "blue" else "blue"
        counted = [self.players.get((player, stat), []) for stat in COUNTED]
        times = [*counted, self.sides.get(side, []), self.sides.get(other, [])]
        counts = [np.searchsorted(np.array(one, np.int64), clocks, side="right") for one in times]
        return np.column_stack((clocks / MINUTE_MS, *counts)).astype(np.float64)


@dataclass(frozen=True)
class Games:
    """Players' games with what was known before them, in the order of their start.

    Attributes:
        rows: One record a player and game: PlayerGame with the joined forms (``player_``, ``team_`` and
            ``opponent_`` before their names).
        kills: Kills of each match that has kill events, by match id.
        sha256: SHA-256 of the canonical events.
        events: How many those are.
    """

    rows: list[dict[str, Any]]
    kills: dict[str, Kills]
    sha256: str
    events: int


def load(matches: Iterable[list[history.Event]]) -> tuple[Games, history.Source]:
    """Read matches, and send them through the SQL.

    Returns:
        The games, and what they were made of.

    Raises:
        JobError: Flink could not run the SQL.
    """
    kills: dict[str, Kills] = {}

    def note(match: list[history.Event]) -> None:
        found = Kills.of(match)
        if found.sides:
            kills[match[0]["match_id"]] = found

    source = history.run(matches, VIEWS, note)
    return games_of(source, kills), source


def games_of(source: history.Source, kills: dict[str, Kills]) -> Games:
    """Each PlayerGame with the forms as of the start of its match."""
    parts = [
        history.part("player_form", _PLAYER_COLUMNS, "player_"),
        history.part("team_form", _TEAM_COLUMNS, "team_"),
        history.part("team_form", _TEAM_COLUMNS, "opponent_", team="opponent"),
    ]
    spine = source.tables["player_games"].sort_by([("started", "ascending"), ("match_id", "ascending")])
    known = history.known_before(source, spine, parts)
    return Games(known.to_pylist(), kills, source.sha256, source.events)


def context(row: dict[str, Any]) -> PlayerContext:
    """What was known of a player before a game, without a win probability."""
    return PlayerContext(
        role=row["role"],
        player_form={name: row[f"player_{name}"] for name in _PLAYER_COLUMNS},
        team_form={name: row[f"team_{name}"] for name in _TEAM_COLUMNS},
        opponent_form={name: row[f"opponent_{name}"] for name in _TEAM_COLUMNS},
        champion=row["champion"],
        league=row["league"],
        scope=history.scope_of(row),
        side=row["side"],
    )


@dataclass(frozen=True)
class Rows:
    """Players at moments, aligned.

    Attributes:
        matrix: Inputs, float32, shape [n, f]; the win probability is null.
        game: Place of the game in ``Games.rows``, shape [n].
        won: Whether the player's team won, shape [n].
        final: Totals of the whole map by stat, shape [n] each.
        match: A number for each match, shape [n].
    """

    matrix: np.ndarray
    game: Ints
    won: Ints
    final: dict[str, Ints]
    match: Ints

    def to_come(self, stat: str) -> Ints:
        """What is still to come of a stat, shape [n]."""
        return np.asarray(self.final[stat] - self.matrix[:, NAMES.index(stat)].astype(np.int64))

    @property
    def minutes(self) -> np.ndarray:
        """Match clock in minutes, shape [n]."""
        return np.asarray(self.matrix[:, NAMES.index("clock_minutes")])

    def where(self, chosen: np.ndarray) -> Rows:
        """Those that a mask or index chooses."""
        final = {stat: counts[chosen] for stat, counts in self.final.items()}
        return Rows(self.matrix[chosen], self.game[chosen], self.won[chosen], final, self.match[chosen])

    def with_column(self, name: str, values: np.ndarray | float) -> Rows:
        """The same with other values of a feature."""
        matrix = self.matrix.copy()
        matrix[:, NAMES.index(name)] = values
        return replace(self, matrix=matrix)


def rows_of(
    games: Games,
    chosen: Ints,
    adjustments: Adjustments,
    moments: Callable[[int, int], Ints],
) -> Rows:
    """Players of some games at moments.

    Args:
        games: All games.
        chosen: Places of the games, shape [m].
        adjustments: See ``contract.vectors``.
        moments: Gives the match clocks (ms) for a match's number and length (ms); only those before the end
            count, and only 0 where the match has no kill events.
    """
    base = vectors([context(games.rows[place]) for place in chosen], adjustments)
    numbers: dict[str, int] = {}
    asked: dict[str, Ints] = {}
    places, live, games_of_rows = [], [], []
    for place, game in enumerate(chosen):
        row = games.rows[game]
        match = row["match_id"]
        if match not in asked:
            numbers[match] = len(numbers)
            length = row["duration_ms"] or row["event_time"] - row["started"]
            clocks = np.asarray(moments(numbers[match], length), np.int64)
            asked[match] = clocks[clocks < length] if match in games.kills else np.zeros(1, np.int64)
        clocks = asked[match]
        found = games.kills.get(match, Kills()).so_far(row["player_id"], row["side"], clocks)
        live.append(found)
        places.append(np.full(len(clocks), place))
        games_of_rows.append(np.full(len(clocks), game))
    at = np.concatenate(places)
    matrix = base[at]
    matrix[:, _LIVE_PLACES] = np.concatenate(live)
    game = np.concatenate(games_of_rows)
    of = [games.rows[place] for place in chosen]
    final = {stat: np.array([row[stat] for row in of], np.int64)[at] for stat in COUNTED}
    won = np.array([row["won"] for row in of], np.int64)[at]
    match_numbers = np.array([numbers[row["match_id"]] for row in of], np.int64)[at]
    return Rows(matrix, game, won, final, match_numbers)


def judged_moments(_: int, __: int) -> Ints:
    """The moments at which the model is judged."""
    return np.array(JUDGED_MINUTES, np.int64) * MINUTE_MS


def learnt_moments(seed: int, count: int = 4) -> Callable[[int, int], Ints]:
    """The moments that are learnt from: the start, and some at random while the match runs."""

    def moments(number: int, length: int) -> Ints:
        random = np.random.default_rng((seed, number))
        return np.concatenate(([0], np.sort(random.integers(1, max(length, 2), count))))

    return moments
