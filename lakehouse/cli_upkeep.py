"""``rift lake``: upkeep of the tables, their snapshots, tables for dashboards, backup and restore."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.settings import get_settings

if TYPE_CHECKING:
    from lakehouse.maintenance import Maintained

TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"]
"""How times are written on the command line."""

Tables = Annotated[
    list[str] | None, typer.Argument(help="Tables as namespace.table; all by default.", show_default=False)
]


def register(lake: typer.Typer) -> None:
    """Add these commands to ``rift lake``."""
    for command in (_maintain, _settle, _snapshots, _analytics, _dashboard, _backup, _restore):
        lake.command(command.__name__.lstrip("_"))(command)


def _maintain(
    tables: Tables = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    measure: Annotated[
        bool, typer.Option("--measure", help="Read each table whole before and after, to time it.")
    ] = False,
    min_files: Annotated[
        int, typer.Option("--min-files", min=2, help="Small files of a partition that are put together.")
    ] = 5,
    snapshot_hours: Annotated[
        float | None,
        typer.Option(
            "--snapshot-hours", min=0, help="Age from which snapshots go; by default what each table says."
        ),
    ] = None,
    orphan_hours: Annotated[
        float,
        typer.Option("--orphan-hours", min=1, help="Age from which objects that no table knows go."),
    ] = 72,
    json: JsonFlag = False,
) -> None:
    """Keep tables in shape, beside running writers: small files, manifests, old snapshots, orphans.

    Small files of a partition are put together and sorted; manifests are merged; snapshots go by each table's
    history.expire.* properties, rows by its riftstream.keep-days; objects that no table knows are deleted.

    Example: rift lake maintain raw.match_events --measure
    """
    from lakehouse import maintenance
    from lakehouse.catalog import connect

    policy = maintenance.Policy(
        min_files=min_files,
        snapshot_age=timedelta(hours=snapshot_hours) if snapshot_hours is not None else None,
        orphan_age=timedelta(hours=orphan_hours),
    )
    with err.status("keeping the tables in shape") as status:
        done = maintenance.maintain(
            connect(get_settings()),
            tables or (),
            policy,
            dry_run=dry_run,
            measure=measure,
            progress=lambda name: status.update(f"keeping {name} in shape"),
        )
    if json:
        print_json(done)
    else:
        _show(done, dry_run)


def _show(done: list[Maintained], dry_run: bool) -> None:
    from rich.table import Table

    table = Table("table", "rows", "files", "MB", "manifests", "snapshots", "plan ms", "scan ms", box=None)
    for one in done:
        before, after = one.before, one.after
        scan = f"{before.scan_ms:,.0f} → {after.scan_ms:,.0f}" if before.scan_ms and after.scan_ms else "-"
        table.add_row(
            one.table,
            f"{after.rows:,}",
            f"{before.files:,} → {after.files:,}",
            f"{before.bytes / 1e6:,.1f} → {after.bytes / 1e6:,.1f}",
            f"{before.manifests:,} → {after.manifests:,}",
            f"{before.snapshots:,} → {after.snapshots:,}",
            f"{before.plan_ms:,.0f} → {after.plan_ms:,.0f}",
            scan,
        )
    out.print(table)
    word = "would be" if dry_run else "were"
    out.print(
        f"{sum(one.compacted for one in done):,} files {word} put together to "
        f"{sum(one.written for one in done):,}; {sum(one.expired for one in done):,} snapshots {word} "
        f"forgotten; {sum(one.orphans for one in done):,} orphans {word} deleted; "
        f"{sum(one.rows_past_keeping for one in done):,} rows past their time {word} removed",
        highlight=False,
    )
    for one in done:
        if one.skipped:
            err.print(f"{one.table} was not compacted: {one.skipped}", highlight=False)


def _settle(json: JsonFlag = False) -> None:
    """Give predictions about players their outcomes from the games that were played since.

    The platform does it by itself. Example: rift lake settle
    """
    from lakehouse.settle import settle

    with err.status("settling"):
        done = settle()
    if json:
        print_json(done)
    else:
        out.print(
            f"{done.outcomes:,} predictions were settled, {done.pushes:,} of them are a push.",
            highlight=False,
        )


def _snapshots(
    table: Annotated[str, typer.Argument(help="Table as namespace.table.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many of the newest to show.")] = 20,
    json: JsonFlag = False,
) -> None:
    """Show the snapshots of a table that can be read, the newest first.

    Example: rift lake snapshots raw.match_events
    """
    from rich.table import Table

    from lakehouse import snapshots
    from lakehouse.catalog import connect
    from lakehouse.tables import load

    found = [
        {
            "snapshot_id": one.snapshot_id,
            "time": datetime.fromtimestamp(snapshots.committed_ms(one) / 1000, UTC),
            "operation": one.summary.operation.value if one.summary else None,
            "rows": snapshots.total(one, "total-records"),
            "files": snapshots.total(one, "total-data-files"),
        }
        for one in snapshots.history(load(connect(get_settings()), table))[:limit]
    ]
    if json:
        print_json(found)
        return
    shown = Table("snapshot", "time (UTC)", "operation", "rows", "files", box=None)
    for row in found:
        shown.add_row(
            str(row["snapshot_id"]),
            f"{row['time']:%Y-%m-%d %H:%M:%S}",
            str(row["operation"]),
            f"{row['rows']:,}",
            f"{row['files']:,}",
        )
    out.print(shown)


def _analytics(
    full: Annotated[bool, typer.Option("--full", help="Drop all of them and make them anew.")] = False,
    json: JsonFlag = False,
) -> None:
    """Feed ClickHouse's tables for dashboards from the lake: accuracy, player trends, pipeline health.

    What came since the last time is added; the platform does so by itself. They are in database analytics,
    embedded here or on the server of RIFT_CLICKHOUSE_URL; ask them by `rift sql --engine clickhouse`, or see
    `rift lake dashboard`.

    Example: rift lake analytics --full
    """
    from rich.table import Table

    from lakehouse import analytics

    feed = analytics.rebuild if full else analytics.update
    with err.status("feeding the tables for dashboards") as status:
        fed = feed(progress=lambda name: status.update(f"reading {name}"))
    if json:
        print_json(fed)
        return
    table = Table("from the lake", "to ClickHouse", "rows", "read", "seconds", box=None)
    for one in fed:
        rows = "no such table yet" if one.rows is None else f"{one.rows:,}"
        table.add_row(
            one.source, one.target, rows, "whole" if one.anew else "new files", f"{one.seconds:.2f}"
        )
    out.print(table)


def _dashboard(
    file: Annotated[Path, typer.Option("--out", help="HTML file to write.")] = Path("lake.html"),
    json: JsonFlag = False,
) -> None:
    """Draw the tables for dashboards as one page of HTML: accuracy, calibration, players, pipeline.

    Example: rift lake dashboard --out lake.html
    """
    from lakehouse import dashboard

    with err.status("drawing"):
        page = dashboard.page()
    file.write_text(page)
    if json:
        print_json({"file": file, "panels": len(dashboard.PANELS)})
    else:
        out.print(f"{file}: {len(dashboard.PANELS)} panels", highlight=False)


def _backup(
    folder: Annotated[Path, typer.Argument(help="Folder to copy to; several backups may lie in it.")],
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Copy the tables, catalog entries and old snapshots included, to a folder; only what is new is copied.

    Example: rift lake backup /backups/lake
    """
    from lakehouse import backup
    from lakehouse.catalog import connect

    with err.status("copying") as status:
        done = backup.backup(
            connect(get_settings()), folder, table or (), lambda name: status.update(f"copying {name}")
        )
    if json:
        print_json(done)
        return
    rows = sum(kept.rows for kept in done.tables)
    out.print(
        f"{len(done.tables)} tables, {rows:,} rows; {done.copied:,} objects "
        f"({done.bytes / 1e6:,.1f} MB) were new in {folder}",
        highlight=False,
    )


def _restore(
    folder: Annotated[Path, typer.Argument(help="Folder of the backup.")],
    table: Annotated[
        list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")
    ] = None,
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", formats=TIMES, help="Bring each table to what it was then, UTC."),
    ] = None,
    made_at: Annotated[
        datetime | None,
        typer.Option("--backup", formats=TIMES, help="The newest backup that was begun by then, UTC."),
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let tables that hold rows give way too.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Bring tables back from a folder, with their old snapshots. Stop the jobs that write them before.

    A table that holds rows is left alone unless --replace is given. Example: rift lake restore /backups/lake
    """
    from lakehouse import backup
    from lakehouse.catalog import connect

    with err.status("restoring") as status:
        done = backup.restore(
            connect(get_settings()),
            folder,
            table or (),
            made_at=made_at and made_at.replace(tzinfo=UTC),
            as_of=as_of and as_of.replace(tzinfo=UTC),
            replace=replace,
            progress=lambda name: status.update(f"restoring {name}"),
        )
    if json:
        print_json(done)
        return
    for one in done:
        what = f"left alone: {one.skipped}" if one.skipped else f"{one.files:,} objects"
        out.print(f"{one.name}: {one.rows:,} rows, {what}", highlight=False)
