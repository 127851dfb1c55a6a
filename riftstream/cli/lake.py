"""``rift lake``: fill the processed tables, audit tables, look up what there is and where it comes from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from riftstream.cli.etl import Ran
from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError
from riftstream.settings import get_settings

_DAY = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]

_Name = Annotated[str, typer.Argument(help="The table: NAMESPACE.TABLE.")]


@dataclass(frozen=True)
class Link:
    """A step between data on the way to or from a table.

    Attributes:
        source: Topic or table that is read.
        job: Job that reads it.
        target: Topic or table that this writes.
        depth: Steps away from the table that was asked for, from 1.
    """

    source: str
    job: str
    target: str
    depth: int


@dataclass(frozen=True)
class Lineage:
    """Where a table comes from, and what is made of it.

    Attributes:
        table: The table or topic.
        upstream: Steps that lead to it, the nearest first.
        downstream: Steps that lead on, the nearest first.
        runs: Runs that read or wrote it, as OpenLineage events, newest first.
    """

    table: str
    upstream: list[Link]
    downstream: list[Link]
    runs: list[dict[str, Any]]


def register(lake: typer.Typer) -> None:
    """Add these commands to ``rift lake``."""
    lake.command("etl")(_etl)
    lake.command("audit")(_audit)
    lake.command("audits")(_audits)
    lake.command("branches")(_branches)
    lake.command("discard")(_discard)
    lake.command("suite")(_suite)
    lake.command("tables")(_tables)
    lake.command("describe")(_describe)
    lake.command("lineage")(_lineage)


def lineage(name: str) -> Lineage:
    """Where a table or topic comes from and what is made of it, from the jobs' SQL and the events of runs.

    Raises:
        RiftError: No job reads or writes it.
    """
    from jobs.lineage import flows
    from streams.lineage import runs

    links = [
        (source, flow.job, flow.target)
        for flow in flows()
        for source in (*flow.topics, *flow.tables)
        if source != flow.target
    ]
    if not any(name in (source, target) for source, _, target in links):
        known = sorted({target for _, _, target in links})
        raise RiftError(f"No job reads or writes {name}.", f"They write {', '.join(known)}.")
    return Lineage(
        name, _follow(links, name, "up"), _follow(links, name, "down"), runs(get_settings(), name)[::-1]
    )


def _follow(links: list[tuple[str, str, str]], name: str, way: str) -> list[Link]:
    found: list[Link] = []
    edge, seen, depth = {name}, {name}, 0
    while edge:
        depth += 1
        step = [
            Link(source, job, target, depth)
            for source, job, target in links
            if (target if way == "up" else source) in edge
        ]
        found += step
        edge = {link.source if way == "up" else link.target for link in step} - seen
        seen |= edge
    return found


def _log_to_stderr() -> None:
    """Alerts go to standard error, as JSON where nobody looks on: standard output is for results."""
    import structlog

    shown = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            shown,
        ],
        # Asked anew for each line: standard error may be another one by then.
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )


def _etl(
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=_DAY, help="Make matches from this event time on anew, UTC."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--to", formats=_DAY, help="Only those before this event time, UTC.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, help="Make the matches of so many last days anew.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Make all matches anew.")] = False,
    json: JsonFlag = False,
) -> None:
    """Fill the processed tables from raw.match_events: what came since the last run, audited, then published.

    Rows that do not pass their audit stay on a branch, and the exit code is 1. Running it again is safe.

    Example: rift lake etl
    """
    from riftstream.cli.etl import etl

    if full + (days is not None) + bool(since or until) > 1:
        raise RiftError("--full, --days and --from with --to exclude each other.", "Leave out all but one.")
    if days is not None:
        since = datetime.now(UTC) - timedelta(days=days)
    _log_to_stderr()
    with err.status("looking what came") as status:
        ran = etl(since=since, until=until, full=full, tell=status.update)
    _show_run(ran, json)


def _show_run(ran: Ran, json: bool) -> None:
    if json:
        print_json(ran)
        return
    if not ran.run_id:
        out.print("Nothing came since the last run.")
        return
    count = "all" if ran.matches is None else ran.matches
    out.print(f"Done: {count} matches of snapshot {ran.source_snapshot_id}.", highlight=False)
    for audit in ran.audits:
        rows = ran.rows[audit.table_name]
        out.print(
            f"  {audit.table_name:24} {rows:>9,} rows, audited in {audit.seconds:.1f} s", highlight=False
        )
    if not ran.audits:
        out.print("  None of them has ended.")


def _audit(
    name: Annotated[
        str | None, typer.Argument(help="The table: NAMESPACE.TABLE; by default what streams fill.")
    ] = None,
    where: Annotated[
        str, typer.Option("--where", help="Only these rows, for example \"league = 'LCK'\".")
    ] = "",
    branch: Annotated[str, typer.Option("--branch", help="Branch to audit.")] = "main",
    json: JsonFlag = False,
) -> None:
    """Audit a table as it is: its suite of Great Expectations. The exit code is 1 where it does not pass.

    Without a name all tables are audited that no run of `rift lake etl` writes and that changed since their
    last audit, each with the rows that came since; the platform does so once an hour. What must agree with
    the log is audited by `rift lake etl`, which knows what its rows are made of.

    Example: rift lake audit predictions.prediction_outcomes
    """
    from uuid import uuid4

    from pyiceberg.expressions import AlwaysTrue
    from pyiceberg.expressions.parser import parse
    from pyparsing import ParseException

    from lakehouse import audit
    from lakehouse.catalog import connect
    from lakehouse.publish import MAIN

    if name is None and (where or branch != MAIN):
        raise RiftError("--where and --branch are about one table.", "Name it.")
    _log_to_stderr()
    settings = get_settings()
    catalog = connect(settings)
    with err.status(f"auditing {name or 'what came'}"):
        try:
            rows = parse(where) if where else AlwaysTrue()
        except ParseException as cause:
            raise RiftError(f"--where is no condition: {where}.", "Write it as league = 'LCK'.") from cause
        wanted = {name: rows} if name else audit.due(catalog, _streamed())
        done = audit.audit(catalog, settings, str(uuid4()), wanted, branch=branch) if wanted else []
        if done:
            audit.record(catalog, done, published=False)
    if json:
        print_json(done)
    else:
        for one in done:
            held = f"{one.expectations - one.failed} of {one.expectations} expectations hold."
            out.print(f"{one.table_name}: {one.row_count:,} rows, {held}", highlight=False)
        where_to_look = f"See {audit.docs(settings)}" if done else "Nothing came since the last audit."
        out.print(where_to_look, highlight=False, soft_wrap=True)
    failed = [one for one in done if not one.passed]
    if failed:
        names = ", ".join(one.table_name for one in failed)
        told = " ".join(text for one in failed for text in one.failures)
        raise audit.AuditError(f"{names} did not pass the audit: {told}")


def _streamed() -> list[str]:
    """Tables that are written without an audit before: all but those of ``rift lake etl``."""
    from lakehouse.tables import AUDITS, TABLES
    from riftstream.cli import etl

    return [spec.name for spec in TABLES if spec.name not in (*etl.TABLES, AUDITS)]


def _suite(name: _Name, json: JsonFlag = False) -> None:
    """Write a first suite for a table that has none: what its record says must be there, and its keys.

    Example: rift lake suite features.match_state
    """
    from lakehouse import audit

    file = audit.FOLDER / f"{name}.json"
    if file.exists():
        raise RiftError(f"{name} has a suite.", f"Edit {file}.")
    file.write_text(audit.draft(name))
    if json:
        print_json({"file": file})
    else:
        out.print(f"{file}: add ranges, sets and what it must agree with.", highlight=False, soft_wrap=True)


def _audits(
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many, the newest first.")] = 20,
    json: JsonFlag = False,
) -> None:
    """What came of the newest audits. Example: rift lake audits"""
    from lakehouse.catalog import connect
    from lakehouse.tables import AUDITS, load

    rows = load(connect(), AUDITS).scan().to_arrow().sort_by([("event_time", "descending")])
    found = rows.slice(0, limit).to_pylist()
    if json:
        print_json(found)
        return
    table = Table("when (UTC)", "table", "rows", "expectations", "result", "run", box=None)
    for row in found:
        result = "[green]passed[/green]" if row["passed"] else f"[red]{row['failed']} failed[/red]"
        table.add_row(
            f"{row['event_time']:%Y-%m-%d %H:%M:%S}",
            row["table_name"],
            f"{row['row_count']:,}",
            str(row["expectations"]),
            result,
            row["run_id"],
        )
    out.print(table)
    for row in found:
        for failure in row["failures"] or ():
            out.print(f"{row['table_name']}: {escape(failure)}", highlight=False, soft_wrap=True)


def _branches(json: JsonFlag = False) -> None:
    """Branches that hold rows which were not published. Example: rift lake branches"""
    from lakehouse.catalog import connect
    from lakehouse.publish import branches

    found = branches(connect())
    if json:
        print_json(found)
        return
    for one in found:
        out.print(f"{one.written:%Y-%m-%d %H:%M:%S}  {one.table:24} {one.name}", highlight=False)
    if not found:
        out.print("There is no branch: everything that was written is published.")


def _discard(
    branch: Annotated[str, typer.Argument(help="The branch, as `rift lake branches` tells it.")],
    json: JsonFlag = False,
) -> None:
    """End a branch in every table without publishing it. Example: rift lake discard audit-7c0f…"""
    from lakehouse.catalog import connect
    from lakehouse.publish import branches, discard

    catalog = connect()
    tables = [one.table for one in branches(catalog) if one.name == branch]
    if not tables:
        raise RiftError(f"There is no branch {branch}.", "See `rift lake branches`.")
    for table in tables:
        discard(catalog, table, branch)
    if json:
        print_json({"branch": branch, "tables": tables})
    else:
        out.print(f"{branch} is gone from {', '.join(tables)}.", highlight=False)


def _tables(json: JsonFlag = False) -> None:
    """Every table: rows, size, how fresh it is, and its last audit. Example: rift lake tables"""
    from lakehouse.catalog import connect
    from lakehouse.catalogue import entries

    with err.status("asking the catalog"):
        found = entries(connect())
    if json:
        print_json(found)
        return
    table = Table("table", "rows", "size", "files", "changed", "last audit", box=None)
    for one in found:
        table.add_row(
            one.name,
            "not made" if one.rows is None else f"{one.rows:,}",
            "" if one.bytes is None else _size(one.bytes),
            "" if one.files is None else f"{one.files:,}",
            "never" if one.age_s is None else f"{_span(one.age_s)} ago",
            _audit_word(one.passed, len(one.failures)),
        )
    out.print(table)


def _audit_word(passed: bool | None, failures: int) -> str:
    if passed is None:
        return "[dim]none[/dim]"
    return "[green]passed[/green]" if passed else f"[red]{failures} failed[/red]"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _describe(name: _Name, json: JsonFlag = False) -> None:
    """All that is known of a table: columns, partitions, keys, audits.

    Example: rift lake describe processed.matches
    """
    from lakehouse.catalog import connect
    from lakehouse.catalogue import describe

    found = describe(connect(), name)
    if json:
        print_json(found)
        return
    entry = found.entry

    def line(label: str, text: str) -> None:
        out.print(f"[dim]{label:>12}[/dim]  {escape(text)}", highlight=False, soft_wrap=True)

    line("table", f"{name}: {entry.doc}")
    line("rows", f"{entry.rows or 0:,} in {entry.files or 0:,} files, {_size(entry.bytes or 0)}")
    line("changed", "never" if entry.changed is None else f"{entry.changed:%Y-%m-%d %H:%M:%S} UTC")
    line("partitioned", found.partition)
    line("sorted", ", ".join(found.sort))
    line("keys", ", ".join(found.keys))
    audited = "never" if entry.audited is None else f"{entry.audited:%Y-%m-%d %H:%M:%S} UTC"
    held = "" if entry.passed is None else ", passed" if entry.passed else ", did not pass"
    line("audited", f"{audited}{held}; {found.expectations} expectations")
    for failure in entry.failures:
        line("", failure)
    if found.branches:
        line("branches", ", ".join(found.branches))
    table = Table("column", "type", "unit", "meaning", box=None)
    for column in found.columns:
        table.add_row(column.name, column.type, column.unit, escape(column.doc))
    out.print(table)


def _lineage(name: _Name, json: JsonFlag = False) -> None:
    """Where a table comes from, back to the topics, what is made of it, and the newest runs.

    Example: rift lake lineage processed.player_games
    """
    found = lineage(name)
    if json:
        print_json(found)
        return
    out.print(f"[bold]{name}[/bold]", highlight=False)
    for title, links in (("made of", found.upstream), ("part of", found.downstream)):
        for link in links:
            indent = "  " * link.depth
            out.print(
                f"[dim]{title}[/dim] {indent}{link.source} → {link.job} → {link.target}", highlight=False
            )
        if not links:
            out.print(f"[dim]{title}[/dim]   nothing")
    for event in found.runs[:5]:
        run = event["run"]["runId"]
        out.print(
            f"[dim]run    [/dim]   {event['eventTime'][:19]} {event['eventType'].lower():9} "
            f"{event['job']['name']} {run}",
            highlight=False,
        )
