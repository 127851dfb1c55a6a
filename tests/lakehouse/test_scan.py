"""Ranges of tables: no more is read than is asked for, and writing a range twice changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog

from lakehouse import tables
from lakehouse.scan import overwrite, scan
from lakehouse.tables import LOG, TABLES
from riftstream.errors import StackError
from streams.schemas import for_topic

NAME = "features.player_form"
SPEC = next(spec for spec in TABLES if spec.name == NAME)
MAY = datetime(2017, 5, 1, tzinfo=UTC)
DAY = timedelta(days=1)

Row = dict[str, Any]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A lake with forms of ninety days in three files, a file a month and more."""
    found = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    tables.apply_in(found, tables.plan_in(found, [SPEC]), [SPEC])
    table = found.load_table(NAME)
    for month in range(3):
        rows = [row(MAY + DAY * (30 * month + day), games=day) for day in range(30)]
        table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))
    return found


def row(when: datetime, **more: Any) -> Row:
    return {"player_id": "p", "event_time": when, "match_id": f"m{when:%j}", "games": 1} | more


def times(catalog: Catalog) -> list[datetime]:
    found: list[datetime] = scan(catalog, NAME, ["event_time"]).rows.read_all()["event_time"].to_pylist()
    return sorted(found)


def test_a_range_gives_its_rows_and_reads_only_its_files(catalog: Catalog) -> None:
    since, until = MAY + 5 * DAY, MAY + 8 * DAY
    found = scan(catalog, NAME, ["games", "player_id"], since, until)
    assert found.rows.read_all().to_pylist() == [{"games": day, "player_id": "p"} for day in (5, 6, 7)]
    assert 0 < found.files < found.files_in_table
    assert 0 < found.bytes < found.bytes_in_table


def test_fewer_columns_are_fewer_bytes(catalog: Catalog) -> None:
    few = scan(catalog, NAME, ["games"])
    many = scan(catalog, NAME, [field.name for field in SPEC.fields])
    assert few.files == many.files == few.files_in_table
    assert few.bytes < many.bytes / 3 < few.bytes_in_table


def test_a_range_without_rows_reads_nothing(catalog: Catalog) -> None:
    found = scan(catalog, NAME, ["games"], MAY - 10 * DAY, MAY)
    assert found.rows.read_all().num_rows == 0
    assert (found.files, found.bytes) == (0, 0)


def test_a_table_that_is_missing_is_told(catalog: Catalog) -> None:
    with pytest.raises(StackError, match=r"no table features\.nothing"):
        scan(catalog, "features.nothing", ["games"])


def test_a_range_is_replaced_and_twice_changes_nothing(catalog: Catalog) -> None:
    before = times(catalog)
    since, until = MAY + 10 * DAY, MAY + 40 * DAY
    milliseconds = [int((since + DAY * n).timestamp() * 1000) for n in range(3)]
    rows = pa.table(
        {
            "player_id": ["q"] * 4,
            "event_time": [*milliseconds, int(until.timestamp() * 1000)],
            "games": [7] * 4,
        }
    )
    for _ in range(2):
        assert overwrite(catalog, NAME, rows, since, until) == 3
        kept = [when for when in before if not since <= when < until]
        assert times(catalog) == sorted([*kept, *(since + DAY * n for n in range(3))])
        new = scan(catalog, NAME, ["player_id", "games", "log_offset"], since, until).rows.read_all()
        assert new.to_pylist() == [{"player_id": "q", "games": 7, "log_offset": None}] * 3


def test_a_range_without_new_rows_becomes_empty(catalog: Catalog) -> None:
    rows = pa.table({"player_id": pa.array([], pa.string()), "event_time": pa.array([], pa.int64())})
    overwrite(catalog, NAME, rows, MAY, MAY + 200 * DAY)
    assert times(catalog) == []


@pytest.mark.parametrize("spec", [spec for spec in TABLES if spec.extra == LOG], ids=lambda spec: spec.name)
def test_history_of_features_is_the_record_then_its_place_in_the_topic(spec: tables.TableSpec) -> None:
    record = [field.name for field in for_topic(spec.topic).fields]
    names = [column.name for column in spec.schema.fields]
    assert names == [*record, "log_partition", "log_offset", "log_time"]
    [(transform, column)] = spec.partition
    assert (transform, column in names) == ("month", True)
