"""``rift features backfill`` and ``rift features training-set``: history of features, made and read.

A backfill runs the jobs' SQL in batch over ``raw.match_events`` and puts what comes out in the place of the
days that are asked for. A training set joins such history to a spine. Both need several rooms, so they live
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    from features.training_set import Scan
    from lakehouse.scan import Scanned

DAY_MS = 86_400_000


@dataclass(frozen=True)
class History:
    """A table that can be made anew from the events of matches.

    Attributes:
        table: Iceberg table.
        job: Job whose SQL makes its rows.
        view: The job's view, or the table of the topic that it writes.
        days: Days before the range whose matches its rows can hold. One day more is read, so that no match of
            them is cut; what ends before them is in no row.
    """

    table: str
    job: str
    view: str
    days: int = 0


HISTORIES = (
    History("raw.match_results", "match_pipeline", "match_results"),
    History("raw.match_summaries", "match_summary", "match_summaries"),
    History("raw.player_games", "match_summary", "player_games"),
    History("features.match_state", "match_pipeline", "features"),
    History("features.player_window", "match_pipeline", "player_performance"),
    History("features.player_form", "player_form", "player_stats", 30),
    History("features.team_form", "team_form", "team_form", 30),
    History("features.head_to_head", "team_form", "head_to_head", 365),
    # A patch or a season is over within a year.
    History("features.champion_meta", "champion_meta", "champion_meta", 365),
    History("features.match_context", "match_summary", "match_context"),
)


@dataclass(frozen=True)
class Backfilled:
    """What came of making a table's days anew.

    Attributes:
        table: The table.
        rows: Rows that these days have now.
    """

    table: str
    rows: int


def backfill(
    history: History, since: datetime, until: datetime, settings: Settings | None = None
) -> Backfilled:
    """Make a table's rows of some days anew from ``raw.match_events``; doing it twice changes nothing.

    Args:
        history: The table, and how it is made.
        since: First day, UTC midnight.
        until: The day after the last, UTC midnight.
        settings: Where everything is; the process's settings by default.

    Raises:
        JobError: Flink could not run the SQL.
        StackError: The lake does not answer.
    """
    from jobs.runner import run_batch
    from lakehouse.catalog import connect
    from lakehouse.scan import overwrite

    settings = settings or get_settings()
    begin, end = (int(moment.timestamp() * 1000) for moment in (since, until))
    rows = run_batch(
        history.job,
        history.view,
        since_ms=begin - (history.days + 1) * DAY_MS,
        until_ms=end,
        settings=settings,
    )
    return Backfilled(history.table, overwrite(connect(settings), history.table, rows, since, until))


def lake_scan(settings: Settings | None = None) -> Scan:
    """Reads tables of the lake for ``features.training_set``."""
    from lakehouse.catalog import connect
    from lakehouse.scan import scan

    catalog = connect(settings)

    def read(name: str, columns: Sequence[str], since: datetime | None, until: datetime | None) -> Scanned:
        return scan(catalog, name, columns, since, until)

    return read


def register(features: typer.Typer) -> None:
    """Add these commands to ``rift features``."""
    features.command("backfill")(_backfill)
    features.command("training-set")(_training_set)


def day(text: str) -> datetime:
    """Midnight UTC of a day as people write it.

    Raises:
        RiftError: It is no day.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as cause:
        raise RiftError(f"{text} is no day.", "Write it as 2017-06-30.") from cause


def _backfill(
    begin: Annotated[str, typer.Option("--from", help="First day, UTC: 2017-06-01.")],
    to: Annotated[str, typer.Option("--to", help="Last day, UTC.")],
    table: Annotated[
        list[str] | None,
        typer.Option("--table", help="Only this table, with its namespace; may be repeated."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make the history of features anew from raw.match_events, for some days of event time.

    The jobs' own SQL runs in batch, and what it gives replaces these days: twice changes nothing. Matches of
    lol-pro have no real date; their days are those of its synthetic calendar.

    Example: rift features backfill --from 2017-06-01 --to 2017-06-30 --table features.player_form
    """
    since, until = day(begin), day(to) + timedelta(days=1)
    if until <= since:
        raise RiftError(f"{to} is before {begin}.")
    known = {history.table: history for history in HISTORIES}
    unknown = [name for name in table or () if name not in known]
    if unknown:
        raise RiftError(f"{unknown[0]} cannot be backfilled.", f"There are: {', '.join(known)}.")
    done = []
    for history in HISTORIES:
        if not table or history.table in table:
            with err.status(f"making {history.table} anew"):
                done.append(backfill(history, since, until))
    if as_json:
        print_json({"from": begin, "to": to, "tables": done})
        return
    for one in done:
        out.print(f"{one.table:28} {one.rows:>12,} rows", highlight=False)


def _training_set(
    service: Annotated[str, typer.Argument(help="Feature service, or a view for all of its features.")],
    spine: Annotated[Path, typer.Argument(help="Parquet file with the service's keys and a time a row.")],
    file: Annotated[Path, typer.Option("--out", help="Parquet file to write.")],
    time: Annotated[str, typer.Option("--time", help="Column of the spine's time.")] = "event_time",
    as_json: JsonFlag = False,
) -> None:
    """Write what was known of each row of a spine at its time: nothing that came later.

    Times of lol-pro are those of its synthetic calendar.

    Example: rift features training-set player_form spine.parquet --out set.parquet --time started
    """
    from features.training_set import parts_of, training_set
    from features.views import find_service

    if not spine.is_file():
        raise RiftError(
            f"There is no file {spine}.", "A spine is a Parquet file; `rift sql --out` makes one."
        )
    with err.status(f"joining {service}"):
        report = training_set(parts_of(find_service(service)), spine, lake_scan(), file, time=time)
    if as_json:
        print_json(report)
        return
    out.print(f"{report.rows:,} rows written to {file}", highlight=False)
    for table, read in report.bytes_read.items():
        whole, missing = report.bytes_in_tables[table], report.missing[table]
        line = f"{table:28} {read:,} of {whole:,} bytes read; {missing:,} rows without a value"
        out.print(line, highlight=False)
