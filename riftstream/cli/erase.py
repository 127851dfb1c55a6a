"""``rift lake erase`` and ``rift lake export``: a person's data, out of everything, or given to them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError
from riftstream.settings import get_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakehouse.erasure import Erasure
    from riftstream.settings import Settings

Player = Annotated[str, typer.Option("--player", help="Id of the player, as the tables have it.")]


def register(lake: typer.Typer) -> None:
    """Add ``rift lake erase`` and ``rift lake export``."""
    lake.command("erase")(_erase)
    lake.command("export")(_export)


def _erase(
    player: Player,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Take a person out of every table, the online store and the tables for dashboards, and prove it.

    Rows about the person alone go; facts of matches stay without the name. Snapshots that held the person are
    forgotten and their files deleted. An audit record without the name is written to audits.erasures. Exits
    with 1 where something is left. Topics forget by their retention: erase again after that.

    Example: rift lake erase --player 'TSM Bjergsen'
    """
    from lakehouse import erasure
    from lakehouse.catalog import connect

    settings = get_settings()
    _check(player)
    if not yes:
        with err.status("looking for the person") as status:
            found = erasure.find(connect(settings), player, lambda name: status.update(f"reading {name}"))
        for name, rows in found.items():
            err.print(f"{name}: {rows.num_rows:,} rows", highlight=False)
        typer.confirm(f"Take {player} out of everything, for good?", abort=True, err=True)
    with err.status("erasing") as status:
        done = erase(settings, player, status.update)
    if json:
        print_json({"complete": done.complete, **_plain(done)})
    else:
        _show(done)
    if not done.complete:
        raise typer.Exit(1)


def erase(settings: Settings, player: str, tell: Callable[[str], None]) -> Erasure:
    """Take a person out of everything that this platform keeps, and write the audit record.

    Args:
        settings: Where everything is.
        player: The person's id.
        tell: Told what is being done.

    Raises:
        StackError: The lake or the online store does not answer.
    """
    from dataclasses import replace

    from features.forget import forget
    from lakehouse import erasure
    from lakehouse.catalog import connect

    begun = erasure.begin(player, timedelta(hours=settings.retention_hours))
    catalog = connect(settings)
    # The online store first: what still writes it is seen at the end.
    tell("the online store")
    online = forget(settings, player)
    tables = erasure.erase(catalog, player, progress=lambda name: tell(f"erasing from {name}"))
    tell("the tables for dashboards")
    _renew_dashboards(settings)
    again = forget(settings, player)
    done = replace(
        begun,
        tables=tables,
        online_keys_deleted=online.deleted + again.deleted,
        online_keys_left=again.left,
    )
    erasure.record(catalog, done)
    return done


def _export(
    player: Player,
    folder: Annotated[Path, typer.Option("--out", help="Folder to write to; made where it is not there.")],
    json: JsonFlag = False,
) -> None:
    """Write everything that names a person to a folder: a Parquet file a table, and what is online as JSON.

    Example: rift lake export --player 'TSM Bjergsen' --out bjergsen
    """
    import orjson
    import pyarrow.parquet as pq

    from features.forget import held
    from lakehouse import erasure
    from lakehouse.catalog import connect

    settings = get_settings()
    _check(player)
    with err.status("looking for the person") as status:
        found = erasure.find(connect(settings), player, lambda name: status.update(f"reading {name}"))
        online = held(settings, player)
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in found.items():
        pq.write_table(rows, folder / f"{name}.parquet")
    (folder / "online.json").write_bytes(orjson.dumps(online, default=str, option=orjson.OPT_INDENT_2))
    counts = {name: rows.num_rows for name, rows in found.items()}
    if json:
        print_json({"player": player, "folder": folder, "tables": counts, "online": sorted(online)})
        return
    for name, count in counts.items():
        out.print(f"{name}: {count:,} rows", highlight=False)
    out.print(f"online: {', '.join(online) or 'nothing'}", highlight=False)
    out.print(f"in {folder}", highlight=False)


def _renew_dashboards(settings: Settings) -> None:
    """Make ClickHouse's tables anew where they were made before."""
    from lakehouse import analytics, clickhouse

    if settings.clickhouse_url.get_secret_value() or clickhouse.folder(settings).is_dir():
        analytics.rebuild(settings)


def _check(player: str) -> None:
    if not player.strip():
        raise RiftError(
            "An empty id names nobody.", "Give the id as the tables have it, such as 'TSM Bjergsen'."
        )


def _plain(done: Erasure) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(done)


def _show(done: Erasure) -> None:
    from rich.table import Table

    table = Table("table", "rows removed", "rows altered", "snapshots", "files deleted", "left", box=None)
    for one in filter(lambda one: one.named, done.tables):
        table.add_row(
            one.table,
            f"{one.rows_removed:,}",
            f"{one.rows_altered:,}",
            f"{one.snapshots_expired:,}",
            f"{one.files_deleted:,}",
            str(len(one.left)),
        )
    out.print(table)
    out.print(f"online store: {done.online_keys_deleted} entities deleted", highlight=False)
    out.print(
        f"topics: the last record is past its retention on {done.topics_clear_at:%Y-%m-%d %H:%M} UTC; erase "
        "again then",
        highlight=False,
    )
    out.print(f"record {done.erasure_id} in audits.erasures", highlight=False)
    if done.complete:
        files = sum(one.files_read for one in done.tables)
        out.print(
            f"nothing is left: {files:,} files of {len(done.tables)} tables and the online store were read",
            highlight=False,
        )
        return
    for one in done.tables:
        for location in one.left:
            err.print(f"still names the person: {location}", highlight=False)
    if done.online_keys_left:
        err.print(f"the online store holds {done.online_keys_left} entities again", highlight=False)
