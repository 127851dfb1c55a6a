"""Questions to the lake in SQL: DuckDB over snapshots of the Iceberg tables, read-only.

DuckDB reads the Parquet files of a snapshot through Arrow, so it fetches only the columns and row groups that
a query needs. It has no other access: no files, no network, no extensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import Snapshot

from lakehouse import snapshots
from lakehouse.catalog import connect
from riftstream.errors import RiftError
from riftstream.settings import Settings

CLOCK = "game_time_ms"


class QueryError(RiftError):
    """A query is wrong, or asks for what is not there."""


@dataclass(frozen=True)
class Moment:
    """As of when tables are read; by default as of now.

    Attributes:
        time: As readers saw every table at this time.
        snapshots: Ids of the snapshots of single tables, by ``namespace.table``.
        clock_ms: Only what had happened by this match clock, ms, in every table that has one
            (``game_time_ms``): what could be known of each match then.
    """

    time: datetime | None = None
    snapshots: Mapping[str, int] = field(default_factory=dict)
    clock_ms: int | None = None

    def snapshot(self, table: Table, name: str) -> Snapshot | None:
        """The snapshot of a table to read; None for the newest.

        Raises:
            RiftError: It is no longer kept, or never was.
        """
        if name in self.snapshots:
            return snapshots.by_id(table, self.snapshots[name])
        return snapshots.at(table, self.time) if self.time is not None else None

    def condition(self, table: Table) -> str:
        """What of a table's rows can be known, as a SQL condition; empty for all."""
        if self.clock_ms is None or CLOCK not in table.schema().column_names:
            return ""
        return f"{CLOCK} <= {self.clock_ms:d}"


NOW = Moment()


def query(sql: str, settings: Settings | None = None, moment: Moment = NOW) -> pa.Table:
    """Run one SELECT over the tables of the lake, which are named ``namespace.table``.

    Args:
        sql: The query, in DuckDB's dialect; times are UTC.
        settings: Where the lake is; the process's settings by default.
        moment: As of when.

    Returns:
        The rows as an Arrow table.

    Raises:
        QueryError: The query is wrong, or no such table is there.
        RiftError: A snapshot is no longer kept.
        StackError: The catalog does not answer.
    """
    return query_in(connect(settings), sql, moment)


def query_in(catalog: Catalog, sql: str, moment: Moment = NOW) -> pa.Table:
    """As ``query``, in a catalog that is open already."""
    names = table_names(catalog)
    with duckdb.connect(config={"enable_external_access": "false"}) as engine:
        try:
            statements = engine.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise QueryError("Only a query can be asked: one SELECT.")
            engine.execute("SET TimeZone = 'UTC'")
            for name, table in mentioned(catalog, names, sql, moment).items():
                _register(engine, name, table, moment)
            engine.execute("SET lock_configuration = true")
            return engine.sql(sql).to_arrow_table()
        except duckdb.Error as cause:
            raise QueryError(str(cause).strip().splitlines()[0], tables_hint(names)) from cause


def table_names(catalog: Catalog) -> list[str]:
    """Names of all tables, with their namespaces, sorted."""
    return sorted(
        ".".join(name) for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)
    )


def tables_hint(names: Sequence[str]) -> str:
    """What tables there are, for whoever named another one."""
    return f"Tables: {', '.join(names) or 'none yet'}."


def mentioned(catalog: Catalog, names: Sequence[str], sql: str, moment: Moment) -> dict[str, Table]:
    """The tables that a query speaks of: each costs a reading of its metadata.

    Raises:
        QueryError: A snapshot is asked for of a table that is not there.
    """
    for name in moment.snapshots:
        if name not in names:
            raise QueryError(f"There is no table {name}.", tables_hint(names))
    text = sql.lower()
    return {name: catalog.load_table(name) for name in names if name.rpartition(".")[2].lower() in text}


def rows(table: Table, snapshot: Snapshot | None = None) -> ds.Dataset:
    """The rows of a snapshot of a table as an Arrow dataset, read only as far as they are asked for.

    Tables whose rows were deleted by delete files are read whole: Arrow does not know those.

    Args:
        table: The table.
        snapshot: The snapshot; None for the newest.
    """
    snapshot_id = snapshot.snapshot_id if snapshot is not None else None
    return dataset_of(table, list(table.scan(snapshot_id=snapshot_id).plan_files()))


def dataset_of(table: Table, tasks: Sequence[FileScanTask]) -> ds.Dataset:
    """The rows of some files of a table as an Arrow dataset, as ``rows``."""
    schema = table.schema().as_arrow()
    if not tasks:
        return ds.dataset(schema.empty_table())
    if any(task.delete_files for task in tasks) or not isinstance(table.io, PyArrowFileIO):
        from lakehouse.rewrite import read

        return ds.dataset(read(table, tasks).cast(schema))
    scheme, netloc, _ = PyArrowFileIO.parse_location(tasks[0].file.file_path)
    paths = [PyArrowFileIO.parse_location(task.file.file_path)[2] for task in tasks]
    return ds.dataset(
        paths, schema=schema, format="parquet", filesystem=table.io.fs_by_scheme(scheme, netloc)
    )


def _register(engine: duckdb.DuckDBPyConnection, name: str, table: Table, moment: Moment) -> None:
    namespace, _, short = name.rpartition(".")
    engine.register(f"lake.{name}", rows(table, moment.snapshot(table, name)))
    engine.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
    where = moment.condition(table)
    select = f'SELECT * FROM "lake.{name}"' + (f" WHERE {where}" if where else "")  # noqa: S608 - our own names
    engine.execute(f'CREATE VIEW "{namespace}"."{short}" AS {select}')
