"""ClickHouse answers the same questions as DuckDB, changes nothing, and keeps tables for dashboards."""

# ruff: noqa: S608 - names of our own

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from typer.testing import CliRunner

from lakehouse import analytics, clickhouse, sql, tables
from lakehouse.catalog import connect
from lakehouse.sql import Moment, QueryError
from lakehouse.tables import TABLES, TableSpec
from riftstream.cli import gather
from riftstream.errors import RiftError
from riftstream.settings import Settings
from tests.lakehouse.lake import OUTCOMES, put

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


def rift(*arguments: str) -> Any:
    return CliRunner().invoke(gather(), [*arguments])


def test_statements_make_everything_in_the_analytics_database() -> None:
    found = list(analytics.statements())
    made = [code.split("(")[0] for code, _ in found]
    assert all(f" {clickhouse.ANALYTICS}." in text for text in made)
    assert {source for _, source in found if source} == {
        OUTCOMES,
        "predictions.predictions",
        "processed.player_games",
        "raw.match_events",
        "raw.dead_letters",
    }
    for code, source in found:
        assert ("{source}" in code) == bool(source)


@pytest.fixture
def catalog(settings: Settings) -> Catalog:
    return connect(settings)


@pytest.fixture
def spec(catalog: Catalog) -> Iterator[TableSpec]:
    """Events under a name that no other test uses: three commits, a minute of match clock each."""
    spec = replace(TABLES[0], name=f"raw.test_{uuid.uuid4().hex}")
    tables.apply_in(catalog, tables.plan_in(catalog, [spec]), [spec])
    table = catalog.load_table(spec.name)
    for minute, league in enumerate(("LEC", "A,B 100%", None)):
        rows = [row(10 * minute + n, league=league, game_time_ms=minute * 60_000) for n in range(2)]
        table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    yield spec
    catalog.drop_table(spec.name)


def row(offset: int, **more: Any) -> dict[str, Any]:
    base = {"event_id": f"e{offset}", "match_id": "LEC/1", "event_time": NOON}
    return base | {"source_partition": 0, "source_offset": offset, "assist_ids": ["a", "b"]} | more


@pytest.mark.stack
def test_both_engines_tell_the_same_at_every_moment(
    settings: Settings, catalog: Catalog, spec: TableSpec
) -> None:
    snapshots = catalog.load_table(spec.name).snapshots()
    second = datetime.fromtimestamp(snapshots[1].timestamp_ms / 1000, UTC)
    moments = [
        (Moment(), 6),
        (Moment(time=second), 4),
        (Moment(time=second + timedelta(microseconds=1)), 4),
        (Moment(clock_ms=59_999), 2),
        (Moment(time=second, clock_ms=60_000), 4),
        (Moment(snapshots={spec.name: snapshots[0].snapshot_id}), 2),
    ]
    question = f"SELECT count(*) AS n, max(source_offset) AS m, min(event_time) AS t FROM {spec.name}"
    for moment, count in moments:
        duck = sql.query_in(catalog, question, moment).to_pylist()
        house = clickhouse.query_in(catalog, settings, question, moment).to_pylist()
        assert duck == house, moment
        assert duck[0]["n"] == count, moment
    lists = f"SELECT league, assist_ids FROM {spec.name} ORDER BY source_offset"
    assert clickhouse.query_in(catalog, settings, lists) == sql.query_in(catalog, lists).cast(
        clickhouse.query_in(catalog, settings, lists).schema
    )


@pytest.mark.stack
def test_a_moment_that_is_not_kept_is_said_so(catalog: Catalog, spec: TableSpec) -> None:
    question = f"SELECT count(*) FROM {spec.name}"
    with pytest.raises(RiftError, match="no snapshot from 2017"):
        sql.query_in(catalog, question, Moment(time=NOON))
    with pytest.raises(RiftError, match="no snapshot 17"):
        sql.query_in(catalog, question, Moment(snapshots={spec.name: 17}))
    with pytest.raises(QueryError, match="no table"):
        sql.query_in(catalog, question, Moment(snapshots={"raw.nothing": 17}))


@pytest.mark.stack
@pytest.mark.parametrize(
    "question",
    [
        "CREATE TABLE t (a Int32) ENGINE = Memory",
        "DROP DATABASE default",
        "SELECT 1; DROP DATABASE default",
        "SELECT 1 INTO OUTFILE 'rows.csv'",
        "SELECT 1) INTO /* x */ OUTFILE 'rows.csv' --",
        "SELECT * FROM file('pyproject.toml', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:1', CSV)",
        "SELECT 1 SETTINGS readonly = 0",
        "INSERT INTO FUNCTION file('rows.csv', CSV, 'a Int32') VALUES (1)",
        "SET readonly = 0",
        "",
    ],
)
def test_clickhouse_only_reads_and_only_the_lake(settings: Settings, catalog: Catalog, question: str) -> None:
    with pytest.raises(QueryError) as caught:
        clickhouse.query_in(catalog, settings, question)
    assert "\n" not in caught.value.message
    assert not Path("rows.csv").exists()


@pytest.mark.stack
def test_words_in_constants_and_comments_are_no_commands(settings: Settings, catalog: Catalog) -> None:
    question = "SELECT 'a; into outfile' AS t -- drop; into outfile 'x'\n;"
    assert clickhouse.query_in(catalog, settings, question).to_pylist() == [{"t": "a; into outfile"}]


def outcomes(model: str) -> list[dict[str, Any]]:
    """40 outcomes of a model."""
    return [
        {
            "prediction_id": f"{model}-{n}",
            "model_name": model,
            "model_version": "7",
            "match_id": f"m{n}",
            "league": "LEC" if n % 2 else None,
            "minute": 10 + n // 20,
            "probability": (n % 10) / 10,
            "outcome": int(n % 4 == 0),
            "log_loss": 0.25,
        }
        for n in range(40)
    ]


@pytest.mark.stack
def test_dashboards_tables_are_made_anew_and_add_up(settings: Settings, catalog: Catalog) -> None:
    model = f"test_{uuid.uuid4().hex}"
    put(catalog, OUTCOMES, outcomes(model))
    try:
        for _ in range(2):
            fed = {one.source: one for one in analytics.rebuild(settings)}
        assert (fed[OUTCOMES].rows or 0) >= 40
        ask = f"""
            SELECT minute, sum(said) AS n, sum(brier * said) / n AS brier, avg(log_loss) AS log_loss
            FROM analytics.accuracy WHERE model_name = '{model}' GROUP BY minute ORDER BY minute"""
        found = clickhouse.query_in(catalog, settings, ask).to_pylist()
        expected = [((n % 10) / 10 - (n % 4 == 0)) ** 2 for n in range(40)]
        assert [(one["minute"], one["n"]) for one in found] == [(10, 20), (11, 20)]
        assert found[0]["brier"] == pytest.approx(sum(expected[:20]) / 20)
        assert found[1]["log_loss"] == pytest.approx(0.25)
        bins = (
            f"SELECT bin, sum(said) AS n FROM analytics.calibration WHERE model_name = '{model}' GROUP BY 1"
        )
        told = json.loads(rift("sql", "--engine", "clickhouse", "--json", bins + " ORDER BY 1").stdout)
        assert told == [{"bin": tenth, "n": 4} for tenth in range(10)]
        joined = (
            f"SELECT count() AS n FROM analytics.outcomes AS a JOIN {OUTCOMES} AS b USING (prediction_id)"
        )
        assert clickhouse.query_in(catalog, settings, joined)["n"].to_pylist()[0] >= 40
        assert rift("lake", "analytics", "--full").exit_code == 0

        # What comes later is added, once; where rows were replaced all of them are read again.
        def count() -> int:
            ask = f"SELECT sum(said) AS n FROM analytics.accuracy WHERE model_name = '{model}'"
            return int(clickhouse.query_in(catalog, settings, ask)["n"].to_pylist()[0])

        def fed_again() -> analytics.Fed:
            return next(one for one in analytics.update(settings) if one.source == OUTCOMES)

        more = [row | {"prediction_id": f"later {row['prediction_id']}"} for row in outcomes(model)]
        put(catalog, OUTCOMES, more[:10])
        put(catalog, OUTCOMES, more[10:])
        later = fed_again()
        assert not later.anew
        assert (later.rows or 0) >= 40
        assert count() == 80
        assert not fed_again().anew
        assert count() == 80
        catalog.load_table(OUTCOMES).delete(f"prediction_id = 'later {model}-0'")
        assert fed_again().anew
        assert count() == 79
        with clickhouse.client(settings, persistent=True) as engine:
            # As a feed leaves it that was stopped in between.
            columns = "source, snapshot_id, complete, at"
            engine.command(
                f"INSERT INTO analytics.progress ({columns}) "
                "SELECT source, snapshot_id, 0, now64(3) + 1 FROM analytics.progress "
                f"WHERE source = '{OUTCOMES}'"
            )
        assert fed_again().anew
        assert count() == 79
    finally:
        catalog.load_table(OUTCOMES).delete(f"model_name = '{model}'")


@pytest.mark.stack
def test_the_command_line_asks_of_a_moment(catalog: Catalog, spec: TableSpec) -> None:
    question = f"SELECT count(*) AS n FROM {spec.name}"
    told = json.loads(rift("lake", "snapshots", spec.name, "--json").stdout)
    assert [one["rows"] for one in told] == [6, 4, 2]
    first = f"{spec.name}={told[-1]['snapshot_id']}"
    for engine in ("duckdb", "clickhouse"):
        as_json = ("--engine", engine, "--json")
        assert json.loads(rift("sql", question, *as_json, "--snapshot", first).stdout) == [{"n": 2}]
        assert json.loads(rift("sql", question, *as_json, "--clock", "1:00").stdout) == [{"n": 4}]
        wrong = rift("sql", question, *as_json, "--as-of", "2017-03-01")
        assert isinstance(wrong.exception, RiftError)
    assert isinstance(rift("sql", question, "--clock", "soon").exception, RiftError)
    assert isinstance(rift("sql", question, "--snapshot", "raw.x").exception, RiftError)
