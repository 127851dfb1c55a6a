"""Tables and materialised views for dashboards in ClickHouse, fed from the lake (``analytics.sql``).

What came to a table of the lake since it was last read is added, by the files that the new snapshots brought.
Where its rows were replaced, or a feed broke off, the tables that it feeds are made anew.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, ancestors_of

from lakehouse import clickhouse
from lakehouse.catalog import connect
from lakehouse.clickhouse import ANALYTICS
from lakehouse.sql import table_names
from riftstream.errors import StackError
from riftstream.settings import Settings, get_settings

FILE = Path(__file__).with_name("analytics.sql")
_FEED = "lake_feed"
_SOURCE = re.compile(r"^-- source: (\S+)$", re.MULTILINE)
_VIEW = re.compile(r"CREATE MATERIALIZED VIEW \S+ TO (\S+) AS\b.*?\bFROM (\S+)\n", re.DOTALL)
_ADDS = (Operation.APPEND, Operation.REPLACE)
"""What changes no row that was there: new rows, and the upkeep."""


@dataclass(frozen=True)
class Fed:
    """What one table of the lake gave.

    Attributes:
        source: The table in the lake.
        target: The table in ClickHouse that it feeds.
        rows: Rows that were written there; None where the lake has no such table.
        seconds: How long it took.
        anew: Whether all of the table was read; else only what came since the last time.
    """

    source: str
    target: str
    rows: int | None
    seconds: float
    anew: bool = True


def rebuild(settings: Settings | None = None, progress: Callable[[str], None] | None = None) -> list[Fed]:
    """Drop the database ``analytics`` and make it anew from the newest snapshots of the lake.

    Args:
        settings: Where lake and ClickHouse are; the process's settings by default.
        progress: Told the name of each table that is read.

    Raises:
        StackError: Catalog or ClickHouse do not answer, or ClickHouse cannot read the lake.
    """
    with _feeding(settings, progress) as feed:
        feed.begin()
        return feed.all()


def update(settings: Settings | None = None, progress: Callable[[str], None] | None = None) -> list[Fed]:
    """Add what came to the lake since the last time; the database is made where it is not there.

    Args:
        settings: Where lake and ClickHouse are; the process's settings by default.
        progress: Told the name of each table that is read.

    Raises:
        StackError: Catalog or ClickHouse do not answer, or ClickHouse cannot read the lake.
    """
    with _feeding(settings, progress) as feed:
        if not feed.known():
            feed.begin()
        return feed.all()


def statements() -> Iterator[tuple[str, str]]:
    """The statements of ``analytics.sql`` in order, each with the table of the lake that it reads, if any."""
    for text in re.split(r";\s*$", FILE.read_text(), flags=re.MULTILINE):
        code = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
        source = _SOURCE.search(text)
        if code:
            yield code, source.group(1) if source else ""


@contextmanager
def _feeding(settings: Settings | None, progress: Callable[[str], None] | None) -> Iterator[_Feed]:
    settings = settings or get_settings()
    catalog = connect(settings)
    with clickhouse.client(settings, persistent=True) as engine:
        try:
            clickhouse.create_database(engine, _FEED)
            yield _Feed(catalog, engine, settings, progress or (lambda name: None))
        except ClickHouseError as cause:
            raise StackError(
                f"ClickHouse did not make its tables: {clickhouse.first_line(cause)}.",
                "It reads the lake itself: see that it reaches the object store.",
            ) from cause
        finally:
            engine.command(f"DROP DATABASE IF EXISTS {_FEED}")


class _Feed:
    """One way from the lake to ClickHouse."""

    def __init__(
        self, catalog: Catalog, engine: Client, settings: Settings, progress: Callable[[str], None]
    ) -> None:
        self._catalog = catalog
        self._engine = engine
        self._settings = settings
        self._progress = progress
        self._feeds = {source: code for code, source in statements() if source}
        self._made = [code for code, source in statements() if not source]
        self._views: dict[str, list[str]] = {}
        for code in self._made:
            for sums, table in _VIEW.findall(code):
                self._views.setdefault(table, []).append(sums)

    def known(self) -> bool:
        """Whether the tables are there as the file makes them now."""
        found = self._engine.query(
            f"SELECT comment FROM system.databases WHERE name = '{ANALYTICS}'"  # noqa: S608 - our own name
        ).result_rows
        return found == [(_digest(),)]

    def begin(self) -> None:
        """Make the database and its tables anew, empty."""
        self._engine.command(f"DROP DATABASE IF EXISTS {ANALYTICS} SYNC")
        self._engine.command(f"CREATE DATABASE {ANALYTICS} COMMENT '{_digest()}'")
        for code in self._made:
            self._engine.command(code)

    def all(self) -> list[Fed]:
        """Read every table of the lake, what came since or whole."""
        there = set(table_names(self._catalog))
        tables = {name: self._catalog.load_table(name) for name in self._feeds if name in there}
        read = {name: self._since(table, name) for name, table in tables.items()}
        whole = {name for name, after in read.items() if after is None}
        # A table that several feed cannot be made anew from one of them alone.
        targets = {_target(self._feeds[name]) for name in whole}
        anew = {name for name in tables if _target(self._feeds[name]) in targets}
        for target in targets:
            for one in (target, *self._views.get(target, ())):
                self._engine.command(f"TRUNCATE TABLE {one} SYNC")
        return [
            self._read(name, tables[name], None if name in anew else read[name])
            if name in tables
            else Fed(name, _target(code), None, 0.0)
            for name, code in self._feeds.items()
        ]

    def _since(self, table: Table, name: str) -> int | None:
        """The snapshot after which a table is to be read; None where it must be read whole."""
        last = self._engine.query(
            f"SELECT snapshot_id, complete FROM {ANALYTICS}.progress WHERE source = {{name:String}} "  # noqa: S608
            "ORDER BY at DESC, complete DESC LIMIT 1",
            {"name": name},
        ).result_rows
        if not last or not last[0][1]:
            return None
        for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
            if snapshot.snapshot_id == last[0][0]:
                return int(last[0][0])
            if snapshot.summary is None or snapshot.summary.operation not in _ADDS:
                return None
        return None

    def _read(self, name: str, table: Table, after: int | None) -> Fed:
        code = self._feeds[name]
        target = _target(code)
        head = table.current_snapshot()
        if head is None or head.snapshot_id == after:
            return Fed(name, target, 0, 0.0, after is None)
        self._progress(name)
        start = time.perf_counter()
        source = clickhouse.mirror(self._engine, self._settings, _FEED, table)
        if after is not None:
            came = table.incremental_append_scan(
                from_snapshot_id_exclusive=after, to_snapshot_id_inclusive=head.snapshot_id
            )
            files = [task.file.file_path for task in came.plan_files()]
            source = clickhouse.files(self._engine, self._settings, source, table, files)
        before = _count(self._engine, target)
        self._note(name, head.snapshot_id, complete=False)
        self._engine.command(code.replace("{source}", source))
        self._note(name, head.snapshot_id, complete=True)
        rows = _count(self._engine, target) - before
        return Fed(name, target, rows, round(time.perf_counter() - start, 3), after is None)

    def _note(self, name: str, snapshot_id: int, *, complete: bool) -> None:
        self._engine.insert(
            f"{ANALYTICS}.progress",
            [[name, snapshot_id, int(complete)]],
            column_names=["source", "snapshot_id", "complete"],
        )


def _target(code: str) -> str:
    """The table that an INSERT is into."""
    return code.split()[2]


def _digest() -> str:
    return hashlib.sha256(FILE.read_bytes()).hexdigest()


def _count(engine: Client, table: str) -> int:
    return int(engine.query(f"SELECT count() FROM {table}").result_rows[0][0])  # noqa: S608 - our own names
