"""Questions to the lake in SQL: DuckDB over the newest snapshots of the Iceberg tables, read-only.

DuckDB reads the Parquet files of a snapshot through Arrow, so it fetches only the columns and row groups that
a query needs. It has no other access: no files, no network, no extensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import FileScanTask, Table

from lakehouse.catalog import connect
from riftstream.errors import RiftError
from riftstream.settings import Settings


class QueryError(RiftError):
    """A query is wrong, or asks for what is not there."""


def query(sql: str, settings: Settings | None = None) -> pa.Table:
    """Run one SELECT over the tables of the lake, which are named ``namespace.table``.

    Args:
        sql: The query, in DuckDB's dialect; times are UTC.
        settings: Where the lake is; the process's settings by default.

    Returns:
        The rows as an Arrow table.

    Raises:
        QueryError: The query is wrong, or no such table is there.
        StackError: The catalog does not answer.
    """
    return query_in(connect(settings), sql)


def query_in(catalog: Catalog, sql: str) -> pa.Table:
    """As ``query``, in a catalog that is open already."""
    names = table_names(catalog)
    with duckdb.connect(config={"enable_external_access": "false"}) as engine:
        try:
            statements = engine.extract_statements(sql)
            if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
                raise QueryError("Only a query can be asked: one SELECT.")
            engine.execute("SET TimeZone = 'UTC'")
            for name in names:
                # Only tables that the text speaks of: each costs a reading of its metadata.
                if name.rpartition(".")[2].lower() in sql.lower():
                    _register(engine, name, rows(catalog.load_table(name)))
            engine.execute("SET lock_configuration = true")
            return engine.sql(sql).to_arrow_table()
        except duckdb.Error as cause:
            hint = f"Tables: {', '.join(names) or 'none yet'}."
            raise QueryError(str(cause).strip().splitlines()[0], hint) from cause


def table_names(catalog: Catalog) -> list[str]:
    """Names of all tables, with their namespaces, sorted."""
    return sorted(
        ".".join(name) for namespace in catalog.list_namespaces() for name in catalog.list_tables(namespace)
    )


def rows(table: Table) -> ds.Dataset:
    """The rows of a table's newest snapshot as an Arrow dataset, read only as far as they are asked for.

    Tables whose rows were deleted by delete files are read whole: Arrow does not know those.
    """
    return dataset_of(table, list(table.scan().plan_files()))


def dataset_of(table: Table, tasks: Sequence[FileScanTask]) -> ds.Dataset:
    """The rows of some files of a table as an Arrow dataset, as ``rows``."""
    schema = table.schema().as_arrow()
    if not tasks:
        return ds.dataset(schema.empty_table())
    if any(task.delete_files for task in tasks) or not isinstance(table.io, PyArrowFileIO):
        return ds.dataset(table.scan().to_arrow().cast(schema))
    scheme, netloc, _ = PyArrowFileIO.parse_location(tasks[0].file.file_path)
    paths = [PyArrowFileIO.parse_location(task.file.file_path)[2] for task in tasks]
    return ds.dataset(
        paths, schema=schema, format="parquet", filesystem=table.io.fs_by_scheme(scheme, netloc)
    )


def _register(engine: duckdb.DuckDBPyConnection, name: str, dataset: ds.Dataset) -> None:
    namespace, _, table = name.rpartition(".")
    engine.register(f"lake.{name}", dataset)
    engine.execute(f'CREATE SCHEMA IF NOT EXISTS "{namespace}"')
    engine.execute(f'CREATE VIEW "{namespace}"."{table}" AS SELECT * FROM "lake.{name}"')  # noqa: S608 - our own names
