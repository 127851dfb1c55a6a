"""Lakes for tests: an object store of a test's own, and tables filled from real matches."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import Table

from infra import stack
from lakehouse import tables
from lakehouse.catalog import connect
from lakehouse.tables import MATCH_EVENTS
from models.artefact import load_card
from models.win_probability import model
from models.win_probability.features import FEATURES, MODEL
from riftstream.settings import get_settings
from streams.schemas import for_topic
from tests.recompute import match_features

PLAYER_GAMES = "processed.player_games"
OUTCOMES = "predictions.prediction_outcomes"
MINUTE_MS = 60_000

Event = dict[str, Any]
Row = dict[str, Any]


@contextmanager
def own_home(folder: Path) -> Iterator[Path]:
    """A platform in a folder of its own: an object store with its catalog, and nothing else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIFT_HOME", str(folder))
        get_settings.cache_clear()
        try:
            stack.up(["objectstore"])
            yield folder
        finally:
            stack.down(wipe=True)
    get_settings.cache_clear()


def filled(matches: Iterable[list[Event]]) -> Catalog:
    """The lake of this process's settings, filled from matches."""
    catalog = connect()
    specs = [spec for spec in tables.TABLES if spec.name in (MATCH_EVENTS, PLAYER_GAMES, OUTCOMES)]
    tables.apply_in(catalog, tables.plan_in(catalog, specs), specs)
    fill(catalog, matches)
    return catalog


def fill(catalog: Catalog, matches: Iterable[list[Event]]) -> None:
    """Write what the jobs would of finished matches: events, players' games, predictions with outcomes."""
    logs = [log(match, number) for number, match in enumerate(matches)]
    put(catalog, MATCH_EVENTS, [event for match in logs for event in match])
    put(catalog, PLAYER_GAMES, [game for match in logs for game in player_games(match)])
    put(catalog, OUTCOMES, outcomes(logs))


def put(catalog: Catalog, name: str, rows: list[Row]) -> Table:
    """Append rows to a table, which is made of them where it is not there."""
    given = pa.Table.from_pylist(rows)
    try:
        table = catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
        table = catalog.create_table(name, given.schema)
    schema = table.schema().as_arrow()
    columns = [_column(given, field) for field in schema]
    table.append(pa.table(columns, schema=schema))
    return table


def _column(rows: pa.Table, field: pa.Field) -> pa.Array:
    if field.name not in rows.column_names:
        return pa.nulls(rows.num_rows, field.type)
    column = rows.column(field.name)
    if pa.types.is_timestamp(field.type) and pa.types.is_integer(column.type):
        column = column.cast(pa.timestamp("ms", "UTC"))
    return column.cast(field.type)


def log(match: list[Event], partition: int) -> list[Event]:
    """The events of a match as the log holds them: every field, and a place."""
    names = dict.fromkeys(field.name for field in for_topic("live-matches").fields)
    return [
        names
        | event
        | {"source_partition": partition, "source_offset": place, "kafka_time": event["event_time"]}
        for place, event in enumerate(match)
    ]


def player_games(match: list[Event]) -> list[Row]:
    """One row for each player of a finished match."""
    start, end = match[0], match[-1]
    kills = [event for event in match if event["event_type"] == "CHAMPION_KILL"]
    killed = Counter(event["player_id"] for event in kills)
    died = Counter(event["victim_id"] for event in kills)
    helped = Counter(player for event in kills for player in event["assist_ids"] or ())
    rows = []
    for side, other in (("blue", "red"), ("red", "blue")):
        line = zip(start[f"{side}_players"] or (), start[f"{side}_champions"] or (), strict=False)
        for (player, champion), role in zip(line, ("top", "jungle", "mid", "adc", "support"), strict=False):
            if player:
                rows.append(
                    {
                        **{name: start[name] for name in ("match_id", "source", "league", "season", "phase")},
                        "player_id": player,
                        "started": start["event_time"],
                        "event_time": end["event_time"],
                        "duration_ms": end["duration_ms"],
                        "side": side,
                        "team": start[f"{side}_team"],
                        "opponent": start[f"{other}_team"],
                        "role": role,
                        "champion": champion,
                        "won": end["winner"] == side,
                        "kills": killed[player],
                        "deaths": died[player],
                        "assists": helped[player],
                        "team_kills": sum(event["team"] == side for event in kills),
                    }
                )
    return rows


def outcomes(logs: list[list[Event]]) -> list[Row]:
    """What the project's model says after each event of matches, with what came of it."""
    card = load_card(MODEL)
    answers = model.load(card)
    rows: list[Row] = []
    for match in logs:
        states = match_features(match)[:-1]
        matrix = np.array([[state[name] for name in FEATURES] for state in states], np.float32)
        said, _, _ = answers.answer(matrix)
        end = match[-1]
        won = int(end["winner"] == "blue")
        for state, probability in zip(states, said.tolist(), strict=True):
            rows.append(
                {
                    "prediction_id": f"{state['match_id']}:{state['source_offset']}",
                    "model_name": MODEL,
                    "model_version": str(card.version),
                    "match_id": state["match_id"],
                    "league": state["league"],
                    "event_time": state["event_time"],
                    "game_time_ms": state["game_time_ms"],
                    "minute": state["game_time_ms"] // MINUTE_MS,
                    "probability": probability,
                    "winner": end["winner"],
                    "outcome": won,
                    "squared_error": (probability - won) ** 2,
                    "log_loss": -math.log(probability if won else 1 - probability),
                    "ended": end["event_time"],
                    "source_partition": state["source_partition"],
                    "source_offset": state["source_offset"],
                }
            )
    return rows
