"""Question: how fast is the lake read, before and after the upkeep, by DuckDB and by ClickHouse?

Rows are generated, and say so: a commit every five seconds for ten minutes of events, and fifty million
predictions with their outcomes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from clickhouse_connect.driver.client import Client
from pyiceberg.catalog import Catalog

from bench.platform import running_platform
from bench.plots import Bars
from bench.results import Result, save
from lakehouse import analytics, clickhouse, rewrite, sql, tables
from lakehouse.catalog import connect
from lakehouse.maintenance import Policy, compact, shape
from lakehouse.tables import TABLES
from riftstream.console import err
from riftstream.settings import Settings

ROUNDS = 3
COMMITS = 120
EVENTS_A_COMMIT = 2_000
PREDICTIONS = 50_000_000
CHUNK = 2_000_000
MATCH = 80
LEAGUES = ("LCK", "LEC", "LCS", "LPL", "CBLoL", "LJL", "PCS", "VCS")
EVENTS, OUTCOMES = "bench.events", "predictions.prediction_outcomes"
DAY = np.datetime64("2026-11-01T00:00:00", "us")

_COUNT = f"SELECT league, count(*) AS n, max(game_time_ms) AS latest FROM {EVENTS} GROUP BY league"  # noqa: S608
_CALIBRATION = """
    SELECT league, minute, count(*) AS n, avg(probability) AS said, avg(outcome) AS came_true
    FROM {table} GROUP BY league, minute"""
_SUMS = """
    SELECT
      league, `minute`, sum(said) AS n, sum(predicted * said) / n AS p, sum(observed * said) / n AS came_true
    FROM analytics.calibration GROUP BY league, `minute`"""

Times = list[float]


def run(rounds: int = ROUNDS) -> Result:
    """Generate, read, keep in shape, read again, and save the result.

    Args:
        rounds: How often each query is timed.
    """
    raw: dict[str, Any] = {}
    with running_platform(only=["objectstore"]) as settings:
        catalog = connect(settings)
        _events(catalog, settings, rounds, raw)
        _predictions(catalog, settings, rounds, raw)
    return _save(raw)


def _events(catalog: Catalog, settings: Settings, rounds: int, raw: dict[str, Any]) -> None:
    spec = replace(TABLES[0], name=EVENTS)
    tables.apply_in(catalog, tables.plan_in(catalog, [spec]), [spec])
    table = catalog.load_table(EVENTS)
    with err.status("") as status:
        for number in range(COMMITS):
            status.update(f"commit {number + 1} of {COMMITS}")
            table.append(_event_rows(number, table.schema().as_arrow()))
    for name in ("before", "after"):
        if name == "after":
            with err.status("putting files together"):
                start = time.perf_counter()
                raw["compacted"], raw["became"] = compact(table, Policy(min_files=2))
                raw["compaction_s"] = time.perf_counter() - start
        found = shape(table)
        raw[name] = {
            "rows": found.rows,
            "files": found.files,
            "megabytes": found.bytes / 1e6,
            "manifests": found.manifests,
            "DuckDB": _times(lambda: sql.query_in(catalog, _COUNT), rounds),
            "ClickHouse": _times(lambda: clickhouse.query_in(catalog, settings, _COUNT), rounds),
        }


def _predictions(catalog: Catalog, settings: Settings, rounds: int, raw: dict[str, Any]) -> None:
    start = time.perf_counter()
    catalog.create_namespace_if_not_exists(OUTCOMES.partition(".")[0])
    chunks = _outcomes()
    first = next(chunks)
    table = catalog.create_table(OUTCOMES, first.schema)
    files = []
    with err.status("") as status:
        for number, chunk in enumerate(chain([first], chunks)):
            status.update(f"{(number + 1) * CHUNK:,} of {PREDICTIONS:,} predictions")
            files += rewrite.write(table, chunk)
    rewrite.exchange(table, [], files, same_rows=False)
    raw["generated_s"] = time.perf_counter() - start
    found = shape(table)
    question = _CALIBRATION.format(table=OUTCOMES)
    raw["predictions"] = {
        "rows": found.rows,
        "files": found.files,
        "megabytes": found.bytes / 1e6,
        "manifests": found.manifests,
        "DuckDB": _times(lambda: sql.query_in(catalog, question), rounds),
        "ClickHouse": _times(lambda: clickhouse.query_in(catalog, settings, question), rounds),
    }
    with err.status("making ClickHouse's tables"):
        [fed] = [one for one in analytics.rebuild(settings) if one.source == OUTCOMES]
    raw["fed_s"] = fed.seconds
    with clickhouse.client(settings, persistent=True) as engine:
        for name, text in (("own", _CALIBRATION.format(table="analytics.outcomes")), ("sums", _SUMS)):
            raw[name] = {"rows": fed.rows, "DuckDB": [], "ClickHouse": _timed_in(engine, text, rounds)}


def _timed_in(engine: Client, text: str, rounds: int) -> Times:
    return _times(lambda: engine.query_arrow(text), rounds)


def _times(ask: Callable[[], Any], rounds: int) -> Times:
    """Seconds of each of some rounds, after one that is not counted."""
    found = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        ask()
        found.append(time.perf_counter() - start)
    return found[1:]


def _event_rows(number: int, schema: pa.Schema) -> pa.Table:
    """Events of five seconds: of eight leagues in turn, a hundred matches."""
    chance = np.random.default_rng(number)
    count = EVENTS_A_COMMIT
    match = chance.integers(0, 100, count)
    made = {
        "event_id": pa.array(chance.integers(0, 2**62, count)).cast(pa.string()),
        "match_id": pa.array(match).cast(pa.string()),
        "event_type": pa.array(
            np.array(["CHAMPION_KILL", "TEAM_GOLD", "PLAYER_STATS"])[chance.integers(0, 3, count)]
        ),
        "event_time": pa.array(DAY + (number * 5_000_000 + np.arange(count) * 2_000)),
        "game_time_ms": pa.array(number * 5_000 + np.arange(count)),
        "league": pa.array(np.array(LEAGUES)[match % len(LEAGUES)]),
        "team": pa.array(np.array(["blue", "red"])[chance.integers(0, 2, count)]),
        "gold": pa.array(chance.integers(0, 20_000, count)),
        "source_partition": pa.array(match % 4),
        "source_offset": pa.array(number * count + np.arange(count)),
    }
    return _columns(made, count, schema)


def _columns(made: dict[str, pa.Array], count: int, schema: pa.Schema) -> pa.Table:
    """Columns of a table in its order and types; those that were not made are null."""
    columns = []
    for field in schema:
        if field.name not in made:
            columns.append(pa.nulls(count, field.type))
        elif pa.types.is_timestamp(field.type):
            columns.append(made[field.name].cast(pa.timestamp("us", "UTC")))
        else:
            columns.append(made[field.name].cast(field.type))
    return pa.table(columns, schema=schema)


def _outcomes() -> Iterator[pa.Table]:
    """Predictions with outcomes, in the order of matches, as the jobs write them."""
    for begin in range(0, PREDICTIONS, CHUNK):
        count = min(CHUNK, PREDICTIONS - begin)
        chance = np.random.default_rng(begin)
        place = begin + np.arange(count)
        match = place // MATCH
        minute = (place % MATCH) // 2
        probability = chance.beta(2, 2, count)
        outcome = (chance.random(count) < probability).astype(np.int32)
        names = pc.binary_join_element_wise(
            pa.array(match).cast(pa.string()), pa.array(place).cast(pa.string()), ":"
        )
        yield pa.table(
            {
                "prediction_id": names,
                "model_name": pa.repeat("win_probability", count),
                "model_version": pa.array(np.array(["1", "2"])[match % 2]),
                "match_id": pa.array(match).cast(pa.string()),
                "league": pa.array(np.array(LEAGUES)[match % len(LEAGUES)]),
                "minute": pa.array(minute.astype(np.int32)),
                "probability": pa.array(probability),
                "outcome": pa.array(outcome),
                "push": pa.nulls(count, pa.float64()),
                "log_loss": pa.array(-np.log(np.where(outcome == 1, probability, 1 - probability))),
            }
        )


_ROWS = (
    ("before", "events by league, a file for each five seconds and league"),
    ("after", "the same after `rift lake maintain`"),
    ("predictions", "calibration by league and minute, Iceberg tables"),
    ("own", "the same, ClickHouse's own table"),
    ("sums", "the same, sums of its materialised view"),
)


def plot(raw: dict[str, Any]) -> Bars:
    """Milliseconds of each query, DuckDB beside ClickHouse."""
    series = {
        engine: [[seconds * 1000 for seconds in raw[name][engine]] for name, _ in _ROWS]
        for engine in ("DuckDB", "ClickHouse")
    }
    return Bars("ms", [name for name, _ in _ROWS], series)


def _save(raw: dict[str, Any]) -> Result:
    def median(times: Times) -> Any:
        return round(float(np.median(times)) * 1000) if times else "-"

    before, after = raw["before"], raw["after"]
    rows = [
        [
            title,
            raw[name]["rows"],
            raw[name].get("files", "-"),
            median(raw[name]["DuckDB"]),
            median(raw[name]["ClickHouse"]),
        ]
        for name, title in _ROWS
    ]
    return save(
        "lake_scan",
        "rift bench lake_scan",
        "How fast is the lake read, before and after the upkeep, by DuckDB and by ClickHouse?",
        ["query", "rows", "files", "DuckDB ms", "ClickHouse ms"],
        rows,
        notes=[
            f"Rows are generated: {COMMITS} commits of {EVENTS_A_COMMIT:,} events, as ten minutes of a "
            f"five-second cadence leaves them, and {raw['predictions']['rows']:,} predictions with outcomes "
            f"({raw['predictions']['megabytes']:,.0f} MB), written in {raw['generated_s']:,.0f} s.",
            "Medians. Each query opens its tables anew, as `rift sql` does (catalog, manifests, S3); the "
            "last two rows ask tables that lie in ClickHouse.",
            f"Compaction: {raw['compacted']:,} files ({before['megabytes']:,.1f} MB) became "
            f"{raw['became']:,} ({after['megabytes']:,.1f} MB) in {raw['compaction_s']:.1f} s; manifests "
            f"{before['manifests']:,} became {after['manifests']:,}.",
            f"ClickHouse's tables were filled from the lake in {raw['fed_s']:.0f} s. Goal: the calibration "
            "query over 50 million predictions within 1 s.",
        ],
        raw=raw,
    )
