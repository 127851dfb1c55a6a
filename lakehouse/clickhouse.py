"""ClickHouse beside the lake: the same questions in its dialect, and tables of its own for dashboards.

It is embedded in this process (chDB) unless ``RIFT_CLICKHOUSE_URL`` names a server. Both are spoken to
through clickhouse-connect, and both read the Parquet files of the Iceberg tables themselves.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from clickhouse_connect import get_client
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from pyiceberg.catalog import Catalog

from lakehouse.catalog import connect
from lakehouse.sql import NOW, Moment, QueryError, mentioned, table_names, tables_hint
from riftstream.errors import RiftError, StackError
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    from pyiceberg.table import Table

ANALYTICS = "analytics"
"""Database that holds the tables for dashboards."""

_ICEBERG = "iceberg"
"""Database of the whole tables where views of the same names stand before them."""

_OUTSIDE = re.compile(r"\binto\s+outfile\b|;\s*\S", re.IGNORECASE)
_ASKS = re.compile(r"\s*\(*\s*(select|with|explain|describe|show)\b", re.IGNORECASE)
_MOST_FILES = 100_000
_PATIENCE_S = 20.0


def folder(settings: Settings) -> Path:
    """Folder of the embedded ClickHouse, where dashboards' tables are kept."""
    return settings.home / "analytics"


@contextmanager
def client(settings: Settings, *, persistent: bool) -> Iterator[Client]:
    """A connection to ClickHouse: the server that the settings name, or the one in this process.

    Args:
        settings: Where it is.
        persistent: Whether the embedded one opens the folder of the dashboards' tables. One process at a
            time can.

    Raises:
        StackError: It does not answer, or its folder is in use.
    """
    url = settings.clickhouse_url.get_secret_value()
    try:
        if url:
            opened = get_client(dsn=url)
        elif persistent:
            folder(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
            opened = _opened(folder(settings))
        else:
            opened = get_client(interface="chdb")
    except ClickHouseError as cause:
        hint = "Set RIFT_CLICKHOUSE_URL anew." if url else "Another process may hold its folder: try again."
        raise StackError(f"ClickHouse does not open: {first_line(cause)}", hint) from cause
    try:
        yield opened
    finally:
        opened.close()


def _opened(path: Path) -> Client:
    """The embedded ClickHouse in a folder; one that another process has open is waited for, for a while."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return get_client(interface="chdb", path=str(path))
        except ClickHouseError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def query(sql: str, settings: Settings | None = None, moment: Moment = NOW) -> pa.Table:
    """Run one SELECT in ClickHouse's dialect over the tables of the lake and those of ``analytics``.

    On a server only what it has is asked (see ``rift lake analytics``): its tables are as of now.

    Args:
        sql: The query.
        settings: Where lake and ClickHouse are; the process's settings by default.
        moment: As of when, for the tables of the lake.

    Returns:
        The rows as an Arrow table.

    Raises:
        QueryError: The query is wrong, or no such table is there.
        StackError: Catalog or ClickHouse do not answer.
    """
    settings = settings or get_settings()
    if settings.clickhouse_url.get_secret_value():
        if moment != NOW:
            raise QueryError("A ClickHouse server reads its tables as of now.", "Use the embedded one.")
        with client(settings, persistent=False) as server:
            # Its own rights decide what a table function may read; 2 lets the driver set its formats.
            return _ask(server, sql, [], {"readonly": 2})
    return query_in(connect(settings), settings, sql, moment)


def query_in(catalog: Catalog, settings: Settings, sql: str, moment: Moment = NOW) -> pa.Table:
    """As ``query`` in the embedded ClickHouse, in a catalog that is open already."""
    names = table_names(catalog)
    with client(settings, persistent=f"{ANALYTICS}." in sql.lower()) as engine:
        if settings.s3_access_key:
            for name, table in mentioned(catalog, names, sql, moment).items():
                _show(engine, settings, name, table, moment)
        # With it table functions are refused too, so no file and no address can be read.
        engine.set_client_setting("readonly", 1)
        return _ask(engine, sql, names, {})


def mirror(engine: Client, settings: Settings, database: str, table: Table) -> str:
    """Make an Iceberg table readable in a database of ClickHouse, as of the version that was loaded.

    Returns:
        Its name there.
    """
    name = f"{_quoted(database)}.{_quoted(table.name()[-1])}"
    version = table.metadata_location.removeprefix(f"{table.location().rstrip('/')}/")
    engine.command(f"DROP TABLE IF EXISTS {name}")
    engine.command(
        f"CREATE TABLE {name} ENGINE = IcebergS3({_address(settings, table.location())}, {_keys(settings)}) "
        f"SETTINGS iceberg_metadata_file_path = {_text(version)}"
    )
    return name


def files(engine: Client, settings: Settings, mirrored: str, table: Table, locations: list[str]) -> str:
    """Make some files of an Iceberg table readable beside its mirror.

    Args:
        engine: ClickHouse.
        settings: Where the files are.
        mirrored: The table's mirror, which has its columns.
        table: The table.
        locations: The files.

    Returns:
        Their name there.
    """
    name = f"{mirrored.removesuffix('`')} files`"
    engine.command(f"DROP TABLE IF EXISTS {name}")
    if not locations:
        engine.command(f"CREATE TABLE {name} AS {mirrored} ENGINE = Memory")
        return name
    base = f"{table.location().rstrip('/')}/"
    inner = ",".join(location.removeprefix(base) for location in locations)
    pattern = f"{base}{{{inner}}}" if len(locations) > 1 else f"{base}{inner}"
    # It takes the address for encoded; a partition's name in a path is so already.
    pattern = pattern.replace("%", "%25")
    engine.set_client_setting("glob_expansion_max_elements", _MOST_FILES)
    engine.command(
        f"CREATE TABLE {name} AS {mirrored} "
        f"ENGINE = S3({_address(settings, pattern)}, {_keys(settings)}, 'Parquet')"
    )
    return name


def create_database(engine: Client, name: str, *, memory: bool = True) -> None:
    """Make a database where it is not there; of one in memory no table outlives the process.

    Keys of the object store stand in the definitions of mirrored tables: those belong in memory.
    """
    kind = " ENGINE = Memory" if memory else ""
    engine.command(f"CREATE DATABASE IF NOT EXISTS {_quoted(name)}{kind}")


def first_line(cause: Exception) -> str:
    """What ClickHouse complains about, without its stack and version."""
    text = str(cause).strip().splitlines()[0]
    found = re.search(r"DB::Exception: (?:default: )?(.*)", text)
    return re.sub(r"\s*\(version [^)]*\).*$|\s*\([A-Z_]+\)$", "", found.group(1) if found else text)


def _show(engine: Client, settings: Settings, name: str, table: Table, moment: Moment) -> None:
    namespace = name.rpartition(".")[0]
    create_database(engine, namespace)
    snapshot, where = moment.snapshot(table, name), moment.condition(table)
    if snapshot is None and not where:
        mirror(engine, settings, namespace, table)
        return
    hidden = f"{_ICEBERG}_{namespace}"
    create_database(engine, hidden)
    source = mirror(engine, settings, hidden, table)
    if snapshot is not None:
        # A view's own settings, such as a snapshot's id, are ignored when settings may not be changed. So
        # the files of the snapshot are named one by one.
        tasks = list(table.scan(snapshot_id=snapshot.snapshot_id).plan_files())
        if any(task.delete_files for task in tasks):
            raise QueryError(f"{name} has delete files in that snapshot.", "Ask DuckDB, which reads them.")
        source = files(engine, settings, source, table, [task.file.file_path for task in tasks])
    view = f"{_quoted(namespace)}.{_quoted(table.name()[-1])}"
    condition = f" WHERE {where}" if where else ""
    engine.command(f"CREATE VIEW {view} AS SELECT * FROM {source}{condition}")  # noqa: S608 - our own names


def _ask(engine: Client, sql: str, names: list[str], settings: dict[str, Any]) -> pa.Table:
    try:
        # ClickHouse's own reading of the text, with constants and comments taken out.
        plain = engine.query("SELECT normalizeQuery({q:String})", {"q": sql}, settings).result_rows[0][0]
        plain = plain.rstrip().rstrip(";")
        if _OUTSIDE.search(plain) or not _ASKS.match(plain):
            raise QueryError("Only a query can be asked: one SELECT.")
        return engine.query_arrow(sql.rstrip().rstrip(";"), settings=settings)
    except (ClickHouseError, pa.ArrowInvalid) as cause:
        raise QueryError(first_line(cause), tables_hint(names) if names else "") from cause


def _address(settings: Settings, location: str) -> str:
    """An S3 location as an address of the object store, quoted."""
    _, found, rest = location.partition("://")
    if not found:
        raise RiftError(f"ClickHouse cannot reach {location}.", "It reads tables that lie in S3.")
    return _text(f"{settings.s3_endpoint.rstrip('/')}/{rest}")


def _keys(settings: Settings) -> str:
    return f"{_text(settings.s3_access_key)}, {_text(settings.s3_secret_key.get_secret_value())}"


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "") + "`"
