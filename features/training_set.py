"""Training sets: what was known of each thing at each moment, and nothing that came later.

A spine says of what and as of when: a row has the keys of some entities and a time. To each row come the
newest values of each view whose event time is not after the row's time, nothing where there is none or it is
older than the view's time to live. Rows of a form have the end of a match as event time and hold that match,
so a spine at the start of a match never sees it.

The set is made in slices of the spine's time, each joined by DuckDB and written to Parquet before the next is
begun: memory holds a slice, and the rows of the views that it can see. How tables are read is the caller's to
give (``Scan``), since this room does not know the lake; ``riftstream.cli.training`` puts both together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from riftstream.errors import RiftError

EVENT_TIME = "event_time"

_SLICE = 200_000
_ROW = "spine_row"


class Read(Protocol):
    """What a scan gives: rows in batches, and how much is read for them."""

    @property
    def rows(self) -> pa.RecordBatchReader:
        """The rows."""

    @property
    def files(self) -> int:
        """Files that are read."""

    @property
    def files_in_table(self) -> int:
        """Files of the table."""

    @property
    def bytes(self) -> int:
        """Bytes that are read."""

    @property
    def bytes_in_table(self) -> int:
        """Bytes of the table."""


Scan = Callable[[str, Sequence[str], datetime | None, datetime | None], Read]
"""Gives columns of a table for event times in [since, until)."""


@dataclass(frozen=True)
class Part:
    """What a set takes from one table.

    Attributes:
        table: Iceberg table that holds a view's history.
        keys: Columns that say what a row is about, in the table.
        columns: Columns to take, with the names that they get in the set; ``view__name`` where the spine or
            an earlier part has that name already.
        ttl: Values that are older than this at the spine's time are left out; None for no such bound.
        order: Columns that decide between rows of the same keys and event time; the highest is the newest.
        spine_keys: Columns of the spine that the keys are compared with; the keys' own names by default.
    """

    table: str
    keys: tuple[str, ...]
    columns: dict[str, str]
    ttl: timedelta | None = None
    order: tuple[str, ...] = ("source_offset",)
    spine_keys: tuple[str, ...] = ()

    @property
    def given(self) -> tuple[str, ...]:
        """Columns of the spine that its keys are compared with."""
        return self.spine_keys or self.keys


class ViewLike(Protocol):
    """What is needed to know of a feature view."""

    @property
    def table(self) -> str:
        """Iceberg table that holds its history."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Columns that say what a row is about."""

    @property
    def ttl(self) -> timedelta:
        """For how long a row may be used."""

    @property
    def order(self) -> tuple[str, ...]:
        """Columns that decide between rows of the same event time."""


class FieldLike(Protocol):
    """What is needed to know of a feature."""

    @property
    def name(self) -> str:
        """Its column."""


class ServiceLike(Protocol):
    """What is needed to know of a feature service."""

    @property
    def parts(self) -> Sequence[tuple[ViewLike, FieldLike]]:
        """View and field of each feature, in order."""

    @property
    def names(self) -> Sequence[str]:
        """Name of each feature in the set, in order."""


def parts_of(service: ServiceLike) -> list[Part]:
    """What a set of a feature service takes from each view's table."""
    columns: dict[str, dict[str, str]] = {}
    views: dict[str, ViewLike] = {}
    for (view, column), name in zip(service.parts, service.names, strict=True):
        views[view.table] = view
        columns.setdefault(view.table, {})[column.name] = name
    return [
        Part(table, view.keys, columns[table], ttl=view.ttl, order=view.order)
        for table, view in views.items()
    ]


@dataclass
class Report:
    """What a set took.

    Attributes:
        rows: Rows of the set: those of the spine.
        missing: Rows without a value, by table.
        bytes_read: Bytes read, by table.
        bytes_in_tables: Bytes of the whole tables.
        files_read: Files read, by table; one that two slices need counts twice.
        files_in_tables: Files of the whole tables.
    """

    rows: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    bytes_read: dict[str, int] = field(default_factory=dict)
    bytes_in_tables: dict[str, int] = field(default_factory=dict)
    files_read: dict[str, int] = field(default_factory=dict)
    files_in_tables: dict[str, int] = field(default_factory=dict)


def training_set(
    parts: Sequence[Part],
    spine: pa.Table | Path,
    scan: Scan,
    out: Path,
    *,
    time: str = EVENT_TIME,
    slice_rows: int = _SLICE,
) -> Report:
    """Write a training set: each row of the spine with what was known then, ordered by the spine's time.

    Args:
        parts: What to take, by table.
        spine: Rows with the parts' keys and a time (a timestamp, or whole ms since the Unix epoch): an Arrow
            table, or a Parquet file, which need not fit in memory.
        scan: Reads tables.
        out: Parquet file to write.
        time: Column of the spine's time.
        slice_rows: Rows of the spine that are joined at a time.

    Returns:
        How many rows there are, and how much was read for them.

    Raises:
        RiftError: The spine lacks a column.
    """
    report = Report()
    writer: pq.ParquetWriter | None = None
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        columns = _declare_spine(engine, spine, time, parts)
        try:
            # The spine goes on being read from one connection while another joins its slices.
            joining = engine.cursor()
            for rows in _slices(engine, slice_rows):
                joined = _joined(joining, rows, parts, scan, columns, report)
                writer = writer or pq.ParquetWriter(out, joined.schema, compression="zstd")
                writer.write_table(joined)
                report.rows += joined.num_rows
        finally:
            if writer is not None:
                writer.close()
    return report


def _declare_spine(
    engine: duckdb.DuckDBPyConnection, spine: pa.Table | Path, time: str, parts: Sequence[Part]
) -> list[str]:
    """Make the view ``spine`` with the time in µs, and give its own columns."""
    if isinstance(spine, Path):
        engine.execute(f"CREATE VIEW given AS SELECT * FROM read_parquet({_text(str(spine))})")  # noqa: S608
    else:
        engine.register("given", spine)
    kinds = {str(row[0]): str(row[1]) for row in engine.execute("DESCRIBE given").fetchall()}
    wanted = [time, *(key for part in parts for key in part.given)]
    lacking = [name for name in wanted if name not in kinds]
    if lacking:
        raise RiftError(f"The spine has no column {lacking[0]}.", f"It has: {', '.join(kinds)}.")
    whole = kinds[time] in ("BIGINT", "INTEGER", "UBIGINT")
    micros = f"{_name(time)} * 1000" if whole else f"epoch_us({_name(time)}::TIMESTAMPTZ)"
    engine.execute(f"CREATE VIEW spine AS SELECT *, {micros} AS {_ROW}_us FROM given")  # noqa: S608
    return list(kinds)


def _slices(engine: duckdb.DuckDBPyConnection, size: int) -> Iterator[pa.Table]:
    """The spine in the order of its time, some rows at a time, each with its number."""
    found = engine.sql(
        f"SELECT *, row_number() OVER (ORDER BY {_ROW}_us) AS {_ROW} FROM spine ORDER BY {_ROW}"  # noqa: S608
    )
    pending: list[pa.RecordBatch] = []
    for batch in found.to_arrow_reader(min(size, 50_000)):
        pending.append(batch)
        if sum(one.num_rows for one in pending) >= size:
            yield pa.Table.from_batches(pending)
            pending = []
    if pending:
        yield pa.Table.from_batches(pending)


def _joined(
    engine: duckdb.DuckDBPyConnection,
    rows: pa.Table,
    parts: Sequence[Part],
    scan: Scan,
    columns: Sequence[str],
    report: Report,
) -> pa.Table:
    """A slice of the spine with the values of each part."""
    times = rows.column(f"{_ROW}_us")
    first, last = times[0].as_py(), times[-1].as_py()
    engine.register("slice", rows)
    found = rows.select([*columns])
    for part in parts:
        taken = _as_of(engine, part, scan, _moment(first), _moment(last), report)
        for source, name in part.columns.items():
            shown = f"{part.table.rpartition('.')[2]}__{name}" if name in found.column_names else name
            found = found.append_column(shown, taken.column(source))
        missing = taken.column(f"{_ROW}_found").to_pylist().count(False)
        report.missing[part.table] = report.missing.get(part.table, 0) + missing
    engine.unregister("slice")
    return found


def _as_of(
    engine: duckdb.DuckDBPyConnection,
    part: Part,
    scan: Scan,
    first: datetime,
    last: datetime,
    report: Report,
) -> pa.Table:
    """A part's values for the rows of the slice, in their order."""
    since = first - part.ttl if part.ttl else None
    wanted = list(dict.fromkeys((*part.keys, EVENT_TIME, *part.order, *part.columns)))
    # Half-open: what is told at the last row's time is known to it, what comes later is not read.
    read = scan(part.table, wanted, since, last + timedelta(microseconds=1))
    for counts, amount in ((report.bytes_read, read.bytes), (report.files_read, read.files)):
        counts[part.table] = counts.get(part.table, 0) + amount
    report.bytes_in_tables[part.table] = read.bytes_in_table
    report.files_in_tables[part.table] = read.files_in_table
    engine.register("told", read.rows)
    keys = ", ".join(map(_name, part.keys))
    order = "".join(f", {_name(name)} DESC NULLS LAST" for name in part.order)
    same = " AND ".join(
        f"s.{_name(given)} = t.{_name(key)}" for given, key in zip(part.given, part.keys, strict=True)
    )
    fresh = "TRUE"
    if part.ttl:
        fresh = f"s.{_ROW}_us - t.{_ROW}_told <= {int(part.ttl.total_seconds() * 1_000_000)}"
    values = ", ".join(
        f"CASE WHEN {fresh} THEN t.{_name(name)} END AS {_name(name)}" for name in part.columns
    )
    query = f"""
        WITH newest AS (
            SELECT *, epoch_us({EVENT_TIME}) AS {_ROW}_told FROM told
            QUALIFY row_number() OVER (PARTITION BY {keys}, {EVENT_TIME} ORDER BY {EVENT_TIME}{order}) = 1)
        SELECT {values}, t.{_ROW}_told IS NOT NULL AND {fresh} AS {_ROW}_found
        FROM slice AS s ASOF LEFT JOIN newest AS t ON {same} AND s.{_ROW}_us >= t.{_ROW}_told
        ORDER BY s.{_ROW}"""  # noqa: S608
    try:
        return engine.sql(query).to_arrow_table()
    finally:
        engine.unregister("told")


def _moment(microseconds: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
