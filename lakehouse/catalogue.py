"""The catalogue: what each table holds, how large and how fresh it is, and what its last audit said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse import audit
from lakehouse.tables import TABLES, TableSpec, load, spec


@dataclass(frozen=True)
class Entry:
    """A table as it is now.

    Attributes:
        name: ``namespace.table``.
        doc: What a row is.
        rows: Rows; None where the table is not there.
        bytes: Bytes of its files.
        files: Files.
        snapshots: Snapshots that are kept.
        changed: When main changed last, UTC; None where it never did.
        age_s: Seconds since then.
        audited: When it was audited last, UTC; None where it never was.
        passed: Whether that audit passed.
        failures: What failed.
    """

    name: str
    doc: str
    rows: int | None
    bytes: int | None = None
    files: int | None = None
    snapshots: int = 0
    changed: datetime | None = None
    age_s: float | None = None
    audited: datetime | None = None
    passed: bool | None = None
    failures: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    name: str
    type: str
    unit: str
    doc: str


@dataclass(frozen=True)
class Description:
    """All that is known of a table.

    Attributes:
        entry: How it is now.
        columns: Its columns in order.
        partition: How it is partitioned, for people.
        sort: Columns that files are sorted by.
        keys: Columns that name a row.
        expectations: Expectations of its audit.
        branches: Branches beside main.
        properties: Its properties in the catalog.
    """

    entry: Entry
    columns: tuple[Column, ...]
    partition: str
    sort: tuple[str, ...]
    keys: tuple[str, ...]
    expectations: int
    branches: tuple[str, ...]
    properties: dict[str, str]


def entries(catalog: Catalog) -> list[Entry]:
    """Every table of ours, in the order in which they are declared."""
    last = audit.last(catalog)
    return [_entry(catalog, one, last.get(one.name)) for one in TABLES]


def describe(catalog: Catalog, name: str) -> Description:
    """All that is known of a table.

    Raises:
        SchemaError: There is none of this name.
        StackError: It was not made yet.
    """
    one = spec(name)
    table = load(catalog, name)
    suite = audit.suite(name)
    return Description(
        _entry(catalog, one, audit.last(catalog).get(name)),
        columns_of(one),
        partition_of(one),
        one.sort,
        suite.keys,
        len(suite.expectations),
        tuple(ref for ref in table.refs() if ref != "main"),
        dict(table.properties),
    )


def columns_of(one: TableSpec) -> tuple[Column, ...]:
    """The columns of a table as it shall be, in order."""
    types = {column.name: str(column.field_type) for column in one.schema.fields}
    return tuple(
        Column(
            field.name,
            types[field.name],
            # A timestamptz carries its own unit.
            "" if field.logical or field.unit == "none" else field.unit,
            field.doc,
        )
        for field in one.fields
    )


def partition_of(one: TableSpec) -> str:
    """How a table is partitioned, for people: ``month(event_time), league``."""
    named = (
        column if transform == "identity" else f"{transform}({column})" for transform, column in one.partition
    )
    return ", ".join(named) or "nothing"


def _entry(catalog: Catalog, one: TableSpec, last: dict[str, Any] | None) -> Entry:
    doc = one.record.doc
    if not catalog.table_exists(one.name):
        return Entry(one.name, doc, None)
    table = catalog.load_table(one.name)
    told: dict[str, Any] = {}
    if last is not None:
        told = {
            "audited": last["event_time"],
            "passed": last["passed"],
            "failures": tuple(last["failures"] or ()),
        }
    snapshot = table.current_snapshot()
    if snapshot is None:
        return Entry(one.name, doc, 0, 0, 0, **told)
    changed = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
    rows, size, files = _size(table, snapshot)
    return Entry(
        one.name,
        doc,
        rows,
        size,
        files,
        len(table.snapshots()),
        changed,
        (datetime.now(UTC) - changed).total_seconds(),
        **told,
    )


def _size(table: Table, snapshot: Snapshot) -> tuple[int, int, int]:
    """Rows, bytes and files of a snapshot: what its writer said, or counted where it said nothing."""
    names = ("total-records", "total-files-size", "total-data-files")
    said = [snapshot.summary.get(name) if snapshot.summary else None for name in names]
    if None not in said:
        rows, size, files = (int(value or 0) for value in said)
        return rows, size, files
    tasks = list(table.scan().plan_files())
    return (
        sum(task.file.record_count for task in tasks),
        sum(task.file.file_size_in_bytes for task in tasks),
        len(tasks),
    )
