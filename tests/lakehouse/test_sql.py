"""Questions to the lake: right over evolved tables, read-only, and clear where they are wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.types import LongType
from typer.testing import CliRunner

from lakehouse import tables
from lakehouse.sql import QueryError, query_in
from lakehouse.tables import TABLES
from riftstream.cli import gather
from riftstream.errors import RiftError

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A lake with five events of two leagues in two snapshots, and a table without rows."""
    found = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    specs = [TABLES[0], replace(TABLES[0], name="raw.nothing_yet")]
    tables.apply_in(found, tables.plan_in(found, specs), specs)
    append(found, [row(1), row(2), row(3, league="LCK")])
    append(found, [row(4, league=None), row(5, assist_ids=["a", "b"])])
    return found


def row(offset: int, **more: Any) -> dict[str, Any]:
    base = {"event_id": f"e{offset}", "match_id": "LEC/1", "event_time": NOON, "league": "LEC"}
    return base | {"source_partition": 0, "source_offset": offset} | more


def append(catalog: Catalog, rows: list[dict[str, Any]]) -> None:
    table = catalog.load_table("raw.match_events")
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))


def test_rows_of_all_snapshots_are_counted_with_their_partitions(catalog: Catalog) -> None:
    found = query_in(catalog, "SELECT league, count(*) AS n FROM raw.match_events GROUP BY ALL ORDER BY ALL")
    assert found.to_pylist() == [
        {"league": "LCK", "n": 1},
        {"league": "LEC", "n": 3},
        {"league": None, "n": 1},
    ]


def test_times_are_utc_and_lists_are_lists(catalog: Catalog) -> None:
    found = query_in(catalog, "SELECT event_time, assist_ids FROM raw.match_events WHERE source_offset = 5")
    [(when, assistants)] = [tuple(found.to_pylist()[0].values())]
    assert (when, when.utcoffset().total_seconds(), assistants) == (NOON, 0, ["a", "b"])


def test_a_table_without_rows_has_its_columns(catalog: Catalog) -> None:
    found = query_in(catalog, "SELECT * FROM raw.nothing_yet")
    assert found.num_rows == 0
    assert found.column_names == [column.name for column in TABLES[0].schema.fields]


def test_rows_that_were_deleted_are_not_seen(catalog: Catalog) -> None:
    catalog.load_table("raw.match_events").delete("source_offset = 2")
    found = query_in(catalog, "SELECT source_offset FROM raw.match_events ORDER BY 1")
    assert found["source_offset"].to_pylist() == [1, 3, 4, 5]


def test_a_column_that_came_later_is_null_before(catalog: Catalog) -> None:
    with catalog.load_table("raw.match_events").update_schema() as update:
        update.add_column("brand_new", LongType())
    append(catalog, [row(6) | {"brand_new": 7}])
    found = query_in(catalog, "SELECT brand_new FROM raw.match_events ORDER BY source_offset")
    assert found["brand_new"].to_pylist() == [None] * 5 + [7]


@pytest.mark.parametrize(
    "sql",
    [
        "DROP VIEW raw.match_events",
        "CREATE TABLE t (a INT)",
        "SELECT 1; SELECT 2",
        "",
        "COPY (SELECT 1) TO 'out.csv'",
        "SET enable_external_access = true",
    ],
)
def test_only_one_select_can_be_asked(catalog: Catalog, sql: str) -> None:
    with pytest.raises(QueryError, match="one SELECT"):
        query_in(catalog, sql)


def test_files_of_the_machine_cannot_be_read(catalog: Catalog) -> None:
    with pytest.raises(QueryError, match="disabled"):
        query_in(catalog, "SELECT * FROM read_csv('pyproject.toml')")


def test_a_wrong_query_is_one_sentence_and_names_the_tables(catalog: Catalog) -> None:
    with pytest.raises(QueryError) as caught:
        query_in(catalog, "SELECT * FROM raw.no_such_table")
    assert "\n" not in caught.value.message
    assert "raw.match_events" in caught.value.hint


def rift(*arguments: str) -> Any:
    return CliRunner().invoke(gather(), [*arguments])


def test_parquet_needs_a_file() -> None:
    assert isinstance(rift("sql", "SELECT 1", "--format", "parquet").exception, RiftError)


@pytest.mark.stack
def test_rows_come_as_table_csv_json_and_parquet(stack: object, tmp_path: Path) -> None:
    sql = "SELECT 1 AS n, 'a, b' AS t, NULL AS x FROM (SELECT count(*) FROM raw.match_events)"
    assert json.loads(rift("sql", sql, "--json").stdout) == [{"n": 1, "t": "a, b", "x": None}]
    assert rift("sql", sql, "--format", "csv").stdout.splitlines() == ["n,t,x", '1,"a, b",']
    assert "1 row" in rift("sql", sql).stdout
    file = tmp_path / "rows.parquet"
    assert rift("sql", sql, "--format", "parquet", "--out", str(file)).exit_code == 0
    assert pq.read_table(file).to_pylist() == [{"n": 1, "t": "a, b", "x": None}]
