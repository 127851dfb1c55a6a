"""Commands of this room."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lakehouse import cli_upkeep
from lakehouse.cli_lake import lake
from lakehouse.cli_upkeep import TIMES
from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError
from riftstream.settings import get_settings

if TYPE_CHECKING:
    import pyarrow as pa


def register(app: typer.Typer) -> None:
    """Add this room's commands to ``rift``."""
    app.command("sql")(_sql)
    app.add_typer(lake, name="lake")
    cli_upkeep.register(lake)


def _sql(
    query: Annotated[str, typer.Argument(help="One SELECT in the engine's dialect.")],
    engine: Annotated[
        Literal["duckdb", "clickhouse"], typer.Option("--engine", help="Which engine answers.")
    ] = "duckdb",
    form: Annotated[
        Literal["table", "csv", "json", "parquet"], typer.Option("--format", help="How to give the rows.")
    ] = "table",
    file: Annotated[Path | None, typer.Option("--out", help="File to write csv or parquet to.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Rows of a table to show.")] = 100,
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", formats=TIMES, help="Read all tables as they were then, UTC."),
    ] = None,
    snapshot: Annotated[
        list[str] | None,
        typer.Option("--snapshot", help="NAMESPACE.TABLE=ID: read a table as of a snapshot. Repeatable."),
    ] = None,
    clock: Annotated[
        str | None,
        typer.Option("--clock", help="MM:SS: read only what had happened by this match clock."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask the lake in SQL, read-only; tables are NAMESPACE.TABLE, see `rift lake tables`.

    DuckDB answers; with --engine clickhouse ClickHouse does, which also has what `rift lake analytics` made.

    Example: rift sql "SELECT league, count(DISTINCT match_id) FROM raw.match_events GROUP BY ALL"

    Example: rift sql --clock 15:00 "SELECT count(*) FROM raw.match_events WHERE monster = 'DRAGON'"
    """
    if form == "parquet" and file is None:
        raise RiftError("Parquet needs a file.", "Add --out rows.parquet.")
    from lakehouse import sql

    moment = sql.Moment(as_of and as_of.replace(tzinfo=UTC), _snapshots(snapshot or []), _clock_ms(clock))
    with err.status("asking the lake"):
        if engine == "duckdb":
            rows = sql.query(query, get_settings(), moment)
        else:
            from lakehouse import clickhouse

            rows = clickhouse.query(query, get_settings(), moment)
    if as_json or form == "json":
        print_json(rows.to_pylist())
    elif form == "csv":
        _write_csv(rows, file)
    elif form == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(rows, file)
    else:
        _print_table(rows, limit)


def _snapshots(texts: list[str]) -> dict[str, int]:
    found = {}
    for text in texts:
        name, _, snapshot = text.rpartition("=")
        if not name or not snapshot.isdecimal():
            raise RiftError(
                f"{text} names no snapshot.", "Write raw.match_events=ID, see rift lake snapshots."
            )
        found[name] = int(snapshot)
    return found


def _clock_ms(text: str | None) -> int | None:
    if text is None:
        return None
    minutes, _, seconds = text.partition(":")
    if not minutes.isdecimal() or not (seconds or "0").isdecimal():
        raise RiftError(f"{text} is no match clock.", "Write minutes and seconds, such as 15:00.")
    return (int(minutes) * 60 + int(seconds or 0)) * 1000


def _write_csv(rows: pa.Table, file: Path | None) -> None:
    import csv

    target = sys.stdout if file is None else file.open("w", newline="")
    try:
        writer = csv.writer(target)
        writer.writerow(rows.column_names)
        writer.writerows(_values(rows))
    finally:
        if file is not None:
            target.close()


def _values(rows: pa.Table) -> Iterator[tuple[Any, ...]]:
    for batch in rows.to_batches():
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _print_table(rows: pa.Table, limit: int) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(*map(escape, rows.column_names), box=None, header_style="bold")
    for row in _values(rows.slice(0, limit)):
        table.add_row(*("" if value is None else escape(str(value)) for value in row))
    out.print(table)
    shown = min(limit, rows.num_rows)
    out.print(f"{rows.num_rows} rows{'' if shown == rows.num_rows else f', {shown} shown'}", highlight=False)
