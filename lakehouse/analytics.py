"""Tables and materialised views for dashboards in ClickHouse, made anew from the lake (``analytics.sql``)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from pyiceberg.catalog import Catalog

from lakehouse import clickhouse
from lakehouse.catalog import connect
from lakehouse.clickhouse import ANALYTICS
from lakehouse.sql import table_names
from riftstream.errors import StackError
from riftstream.settings import Settings, get_settings

FILE = Path(__file__).with_name("analytics.sql")
_FEED = "lake_feed"
_SOURCE = re.compile(r"^-- source: (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Fed:
    """What one table of the lake gave.

    Attributes:
        source: The table in the lake.
        target: The table in ClickHouse that it feeds.
        rows: Rows that were written there; None where the lake has no such table.
        seconds: How long it took.
    """

    source: str
    target: str
    rows: int | None
    seconds: float


def rebuild(settings: Settings | None = None, progress: Callable[[str], None] | None = None) -> list[Fed]:
    """Drop the database ``analytics`` and make it anew from the newest snapshots of the lake.

    Args:
        settings: Where lake and ClickHouse are; the process's settings by default.
        progress: Told the name of each table that is read.

    Raises:
        StackError: Catalog or ClickHouse do not answer, or ClickHouse cannot read the lake.
    """
    settings = settings or get_settings()
    catalog = connect(settings)
    with clickhouse.client(settings, persistent=True) as engine:
        try:
            return _rebuild(catalog, engine, settings, progress or (lambda name: None))
        except ClickHouseError as cause:
            raise StackError(
                f"ClickHouse did not make its tables: {clickhouse.first_line(cause)}.",
                "It reads the lake itself: see that it reaches the object store.",
            ) from cause
        finally:
            engine.command(f"DROP DATABASE IF EXISTS {_FEED}")


def statements() -> Iterator[tuple[str, str]]:
    """The statements of ``analytics.sql`` in order, each with the table of the lake that it reads, if any."""
    for text in re.split(r";\s*$", FILE.read_text(), flags=re.MULTILINE):
        code = "\n".join(line for line in text.splitlines() if not line.startswith("--")).strip()
        source = _SOURCE.search(text)
        if code:
            yield code, source.group(1) if source else ""


def _rebuild(
    catalog: Catalog, engine: Client, settings: Settings, progress: Callable[[str], None]
) -> list[Fed]:
    engine.command(f"DROP DATABASE IF EXISTS {ANALYTICS} SYNC")
    engine.command(f"CREATE DATABASE {ANALYTICS}")
    clickhouse.create_database(engine, _FEED)
    there = table_names(catalog)
    fed = []
    for code, source in statements():
        if not source:
            engine.command(code)
            continue
        target = code.split()[2]
        if source not in there:
            fed.append(Fed(source, target, None, 0.0))
            continue
        progress(source)
        start = time.perf_counter()
        table = clickhouse.mirror(engine, settings, _FEED, catalog.load_table(source))
        before = _count(engine, target)
        engine.command(code.replace("{source}", table))
        fed.append(
            Fed(source, target, _count(engine, target) - before, round(time.perf_counter() - start, 3))
        )
    return fed


def _count(engine: Client, table: str) -> int:
    return int(engine.query(f"SELECT count() FROM {table}").result_rows[0][0])  # noqa: S608 - our own names
