"""Iceberg tables follow the Avro schemas, evolve without loss, and give a match's events in their order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType, TimestamptzType

from lakehouse import tables
from lakehouse.catalog import connect
from lakehouse.tables import TABLES, TableSpec, differences, refusals
from riftstream.errors import SchemaError, StackError
from riftstream.settings import Settings
from streams.schemas import Field, all_schemas, for_topic

EVENTS = TABLES[0]
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Changed(TableSpec):
    """A table whose columns differ from its record's."""

    columns: tuple[Field, ...] = ()

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.columns


def changed(spec: TableSpec, columns: tuple[Field, ...]) -> Changed:
    return Changed(spec.name, spec.topic, spec.extra, spec.partition, spec.sort, columns=columns)


def test_columns_are_the_record_in_order_then_the_source_position() -> None:
    names = [column.name for column in EVENTS.schema.fields]
    record = [field.name for field in for_topic("live-matches").fields]
    assert names == [*record, "source_topic", "source_partition", "source_offset", "kafka_time"]


def test_timestamps_are_timestamptz_and_docs_come_from_the_schema() -> None:
    schema = EVENTS.schema
    assert isinstance(schema.find_type("event_time"), TimestamptzType)
    assert isinstance(schema.find_type("kafka_time"), TimestamptzType)
    assert isinstance(schema.find_type("source_offset"), LongType)
    assert schema.find_field("team").doc == next(f.doc for f in EVENTS.fields if f.name == "team")
    assert (schema.find_field("x").doc or "").endswith("Unit: game units.")


@pytest.mark.parametrize("topic", sorted(all_schemas()))
def test_every_record_of_ours_can_be_a_table(topic: str) -> None:
    schema = TableSpec(f"raw.{topic.replace('-', '_')}", topic).schema
    ids = [field.field_id for field in schema.fields]
    inner = [
        schema.find_field(f"{f.name}.element").field_id
        for f in schema.fields
        if str(f.field_type)[:4] == "list"
    ]
    assert len(set(ids + inner)) == len(ids) + len(inner)


def test_events_lie_by_day_and_league() -> None:
    fields = [(str(field.transform), field.source_id) for field in EVENTS.partition_spec.fields]
    day, league = (EVENTS.schema.find_field(name).field_id for name in ("event_time", "league"))
    assert fields == [("day", day), ("identity", league)]


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        (NestedField(9001, "extra", StringType(), required=False), "extra would be dropped"),
        (NestedField(9001, "team", LongType(), required=False), "team is long and cannot become string"),
        (
            NestedField(9001, "map_number", LongType(), required=False),
            "map_number is long and cannot become int",
        ),
    ],
    ids=["dropped", "changed", "narrowed"],
)
def test_a_change_that_would_lose_data_names_its_column(column: NestedField, sentence: str) -> None:
    others = [field for field in EVENTS.schema.fields if field.name != column.name]
    refused = refusals(EVENTS, Schema(*others, column), EVENTS.partition_spec)
    assert len(refused) == 1
    assert sentence in refused[0]


def test_another_partitioning_is_refused() -> None:
    by_match = replace(EVENTS, partition=(("identity", "match_id"),))
    assert "partitioning" in refusals(by_match, EVENTS.schema, EVENTS.partition_spec)[0]


def test_a_table_as_it_shall_be_needs_no_step() -> None:
    assert differences(EVENTS, EVENTS.schema, EVENTS.properties) == []
    assert refusals(EVENTS, EVENTS.schema, EVENTS.partition_spec) == []


def test_a_catalog_that_is_away_is_said_so() -> None:
    with pytest.raises(StackError, match="does not answer"):
        connect(Settings(catalog_uri="http://127.0.0.1:9"))


def evolved(spec: TableSpec) -> Changed:
    """The table with a new column in its middle, a widened one, and another doc."""
    columns = list(spec.fields)
    columns.insert(3, Field("brand_new", "array<double>", "", True, "gold", "New."))
    place = [column.name for column in columns].index("map_number")
    columns[place] = Field("map_number", "long", "", True, "count", "Number of the map.")
    return changed(spec, tuple(columns))


def row(offset: int, **more: Any) -> dict[str, Any]:
    base = {
        "event_id": f"e{offset}",
        "match_id": "LEC/1",
        "event_time": NOON,
        "league": "LEC",
        "map_number": 2,
    }
    return base | {"source_partition": 0, "source_offset": offset, "assist_ids": ["p1", "p2"]} | more


def append(catalog: Catalog, name: str, rows: list[dict[str, Any]]) -> None:
    table = catalog.load_table(name)
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))


def check_evolution(catalog: Catalog, spec: TableSpec) -> None:
    """Make a table, fill it, evolve it, and see that nothing is lost and nothing is left to do."""
    assert [change.action for change in tables.plan_in(catalog, [spec])] == ["create"]
    tables.apply_in(catalog, tables.plan_in(catalog, [spec]), [spec])
    assert tables.plan_in(catalog, [spec]) == []
    append(catalog, spec.name, [row(1), row(2, league=None)])

    wider = evolved(spec)
    changes = tables.plan_in(catalog, [wider])
    assert [(change.action, change.detail) for change in changes] == [
        (
            "update",
            "add brand_new list<double>; widen map_number long; document map_number; "
            "place brand_new after event_type",
        )
    ]
    tables.apply_in(catalog, changes, [wider])
    assert tables.plan_in(catalog, [wider]) == []
    append(catalog, spec.name, [row(3, brand_new=[0.5], map_number=2**40)])

    found = catalog.load_table(spec.name).scan().to_arrow().sort_by("source_offset")
    assert found.schema.names == [column.name for column in wider.fields]
    assert found["event_id"].to_pylist() == ["e1", "e2", "e3"]
    assert found["brand_new"].to_pylist() == [None, None, [0.5]]
    assert found["map_number"].to_pylist() == [2, 2, 2**40]

    back = tables.plan_in(catalog, [spec])
    assert [change.action for change in back] == ["refuse"]
    assert "brand_new would be dropped" in back[0].detail
    with pytest.raises(SchemaError, match="brand_new would be dropped"):
        tables.apply_in(catalog, back, [spec])


def test_a_table_evolves_without_loss(tmp_path: Path) -> None:
    catalog = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    check_evolution(catalog, replace(EVENTS, name="raw.test"))


@pytest.mark.stack
def test_a_table_evolves_without_loss_in_the_real_catalog(settings: Settings, spec: TableSpec) -> None:
    check_evolution(connect(settings), spec)


@pytest.mark.stack
def test_a_table_is_version_2_zstd_and_documented(settings: Settings, spec: TableSpec) -> None:
    tables.apply(settings, tables.plan(settings, [spec]), [spec])
    table = connect(settings).load_table(spec.name)
    assert table.format_version == 2
    assert table.properties["write.parquet.compression-codec"] == "zstd"
    assert table.properties["write.distribution-mode"] == "none"
    assert [field.doc for field in table.schema().fields] == [column.doc for column in spec.schema.fields]
    sort = [table.schema().find_column_name(field.source_id) for field in table.sort_order().fields]
    assert sort == ["match_id", "source_partition", "source_offset"]


@pytest.mark.stack
def test_events_of_a_match_come_in_offset_order_and_up_to_an_offset(
    settings: Settings, spec: TableSpec
) -> None:
    tables.apply(settings, tables.plan(settings, [spec]), [spec])
    catalog = connect(settings)
    append(catalog, spec.name, [row(7), row(5), row(6, match_id="OTHER/1")])
    append(catalog, spec.name, [row(4)])
    first = catalog.load_table(spec.name).snapshots()[0].snapshot_id

    def offsets(match_id: str, **more: Any) -> list[int]:
        found = tables.events(match_id, settings=settings, table=spec.name, **more)
        return [int(offset) for offset in found["source_offset"].to_pylist()]

    assert offsets("LEC/1") == [4, 5, 7]
    assert offsets("LEC/1", until_offset=5) == [4, 5]
    assert offsets("LEC/1", snapshot_id=first) == [5, 7]
    assert offsets("LEC/2") == []


@pytest.mark.stack
def test_a_table_that_is_missing_is_said_so(settings: Settings) -> None:
    with pytest.raises(StackError, match=r"no table raw\.nothing"):
        tables.events("LEC/1", settings=settings, table="raw.nothing")
