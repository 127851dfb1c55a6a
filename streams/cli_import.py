"""``rift import``: read a source into live-matches, or into a file, and account for every row."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err
from riftstream.errors import SourceError
from streams.cli_target import summary_console

if TYPE_CHECKING:
    from rich.table import Table

    from streams.sources import Source
    from streams.sources.account import Account

Event = dict[str, Any]

_SOURCES = "lol-pro, oracles-elixir, match-v5, live-client, lolesports, events, sample or simulator"


def register(app: typer.Typer) -> None:
    """Add ``rift import``."""
    app.command(
        "import",
        epilog="Example: rift import lol-pro ~/lol-pro-2014-2017 --limit 100 --out events.jsonl",
    )(import_)


def import_(
    source: Annotated[str, typer.Argument(help=f"What to read: {_SOURCES}.")],
    path: Annotated[
        str | None,
        typer.Argument(help="File or folder; kaggle: downloads lol-pro; for simulator what to multiply."),
    ] = None,
    out_file: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write JSON lines here (.gz: gzipped; - : standard output), not to Kafka.",
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Only the first matches, in log order.")] = None,
    match_id: Annotated[str | None, typer.Option("--match", help="Match id where a feed has none.")] = None,
    league: Annotated[str | None, typer.Option(help="League where a feed has none.")] = None,
    start: Annotated[
        datetime | None, typer.Option(help="Start of the match (UTC) where a feed has no date.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulator.")] = 0,
    copies: Annotated[int, typer.Option(min=1, help="How often the simulator plays each real match.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Read a source into live-matches, accounting for every row.

    The same input gives the same events, byte for byte, with the same ids: importing twice changes nothing
    downstream. With --out nothing needs to run.

    oracles-elixir has real dates. lol-pro has none: its matches are put on a synthetic calendar, one each two
    hours of their split.
    """
    from streams.sources import Options, open_source

    start_ms = None if start is None else int(start.replace(tzinfo=UTC).timestamp() * 1000)
    with err.status(f"reading {source}"):
        opened = open_source(
            source, path, Options(limit, match_id, league, start_ms, seed=seed, copies=copies)
        )
    target = _to_kafka(opened) if out_file is None else _to_file(opened, out_file)
    account = opened.account
    if not account.balanced:
        raise SourceError(
            f"The account of {source} does not balance; this is a defect of the reader.",
            "Please report it with the input.",
        )
    console = summary_console({**account.as_dict(), **target}, as_json, out_file)
    if console is None:
        return
    console.print(table(account))
    for line in sentences(account, target):
        console.print(line, highlight=False, markup=False)


def _to_file(source: Source, out_file: str) -> dict[str, Any]:
    from streams.sources.json_lines import write

    file = None if out_file == "-" else Path(out_file).expanduser()
    write(_with_progress(source), file)
    return {"out": out_file}


def _to_kafka(source: Source) -> dict[str, Any]:
    from streams.client import Producer

    with Producer(linger_ms=20) as producer:
        for event in _with_progress(source):
            producer.send(event)
        report = producer.flush()
    return {"topic": producer.topic, "delivered": report.delivered}


def _with_progress(source: Source) -> Iterator[Event]:
    """The events of all matches, with a bar on standard error."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("matches"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("matches", total=len(source))
        for match in source.matches():
            yield from match
            progress.advance(task)


def table(account: Account) -> Table:
    """The account as a table: a line a file, and a line a reason under it."""
    from rich.table import Table

    shown = Table(title=f"{account.source}: what became of every row", title_justify="left")
    shown.add_column("file")
    for name in ("rows read", "used", "left out", "rejected", "events made"):
        shown.add_column(name, justify="right")
    for name, file in account.files.items():
        counts = (file.read, file.used, file.left_out, file.rejected.total(), file.events)
        shown.add_row(name, *(f"{count:,}" for count in counts))
        for reason, count in file.rejected.most_common():
            shown.add_row(f"  {reason}", "", "", "", f"{count:,}", "", style="dim")
    files = account.files.values()
    totals = (
        sum(file.read for file in files),
        sum(file.used for file in files),
        sum(file.left_out for file in files),
        sum(file.rejected.total() for file in files),
        sum(file.events for file in files),
    )
    shown.add_section()
    shown.add_row("all", *(f"{count:,}" for count in totals), style="bold")
    return shown


def sentences(account: Account, target: dict[str, Any]) -> list[str]:
    """What the table does not say: events by type, what is unknown in them, where they went."""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(account.kinds.items()))
    lines = [f"{account.matches:,} matches, {account.kinds.total():,} events: {kinds or 'none'}."]
    if account.notes:
        noted = ", ".join(f"{what} {count:,}" for what, count in sorted(account.notes.items()))
        lines.append(f"Kept although something is unknown: {noted}.")
    lines.append("Rows read = used + left out + rejected, in every file; events made = events handed out.")
    if "topic" in target:
        lines.append(f"{target['delivered']:,} delivered to {target['topic']}.")
    elif target["out"] != "-":
        lines.append(f"Written to {target['out']}.")
    return lines
