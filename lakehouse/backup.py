"""The lake as files in a folder, and back: every object that the tables need, and where the catalog stood.

Objects of Iceberg never change, so a second backup into the same folder copies only what is new, and an older
one stays whole beside it. A backup is taken beside running writers: each table as it stood when it was read.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
from pyarrow.fs import FileSystem
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    BadRequestError,
    NoSuchNamespaceError,
    NoSuchTableError,
    ValidationException,
)
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update import (
    AddPartitionSpecUpdate,
    AddSchemaUpdate,
    AddSnapshotUpdate,
    AssertTableUUID,
    SetCurrentSchemaUpdate,
    SetDefaultSpecUpdate,
    SetSnapshotRefUpdate,
    TableUpdate,
)

from lakehouse import snapshots
from lakehouse.commits import committed
from lakehouse.sql import table_names
from lakehouse.tables import load
from riftstream.errors import RiftError, StackError

FORMAT = 1
_ATTEMPTS = 3
_COPIES = 4
_PART = ".part"


@dataclass(frozen=True)
class Kept:
    """A table in a backup.

    Attributes:
        name: Its name.
        uuid: Its identity in the catalog.
        location: Its folder in the object store.
        metadata: Location of the version of its metadata that was newest.
        snapshot_id: Its newest snapshot; None where it holds nothing.
        rows: Rows of that snapshot.
        files: Locations of all objects that it needs, old snapshots included, and their sizes in bytes.
    """

    name: str
    uuid: str
    location: str
    metadata: str
    snapshot_id: int | None
    rows: int
    files: dict[str, int]


@dataclass(frozen=True)
class Backup:
    """A backup.

    Attributes:
        made_at: When it was begun, UTC.
        tables: Its tables.
        copied: Objects that were copied now; the others lay in the folder already.
        bytes: Bytes of those.
    """

    made_at: datetime
    tables: list[Kept]
    copied: int = 0
    bytes: int = 0


@dataclass(frozen=True)
class Restored:
    """A table that was restored.

    Attributes:
        name: Its name.
        rows: Rows of its newest snapshot now.
        snapshot_id: That snapshot; None where it holds nothing.
        files: Objects that were written.
        skipped: Why it was left alone; empty where it was not.
    """

    name: str
    rows: int
    snapshot_id: int | None
    files: int = 0
    skipped: str = ""


def backup(
    catalog: Catalog,
    folder: Path,
    names: Sequence[str] = (),
    progress: Callable[[str], None] | None = None,
) -> Backup:
    """Copy tables into a folder.

    Args:
        catalog: The catalog.
        folder: Where to; made where it is not there. Several backups may lie in it.
        names: Tables as ``namespace.table``; none for all that the catalog has.
        progress: Told the name of each table.

    Raises:
        StackError: There is no table of a name, or the object store does not answer.
    """
    made_at = datetime.now(UTC)
    kept, copied = [], {}
    for name in names or table_names(catalog):
        if progress is not None:
            progress(name)
        table, new = _copy_out(catalog, name, folder)
        kept.append(table)
        copied.update(new)
    done = Backup(made_at, kept, len(copied), sum(copied.values()))
    _listing(folder, made_at).write_bytes(
        orjson.dumps(
            {"format": FORMAT, "made_at": made_at, "tables": [asdict(table) for table in kept]},
            option=orjson.OPT_INDENT_2,
        )
    )
    return done


def restore(
    catalog: Catalog,
    folder: Path,
    names: Sequence[str] = (),
    *,
    made_at: datetime | None = None,
    as_of: datetime | None = None,
    replace: bool = False,
    progress: Callable[[str], None] | None = None,
) -> list[Restored]:
    """Bring tables back from a folder, with their snapshots, under the locations that they had.

    A table of the catalog that holds rows is left alone unless ``replace`` is given; an empty one gives way.

    Args:
        catalog: The catalog.
        folder: Folder of one or several backups.
        names: Tables as ``namespace.table``; none for all of the backup.
        made_at: Which backup: the newest that was begun by then; None for the newest.
        as_of: Bring each table to the snapshot that it had then, of those that the backup holds.
        replace: Whether tables that hold rows give way too.
        progress: Told the name of each table.

    Raises:
        RiftError: There is no such backup or table in it, a file of it is missing or cut short, or it holds
            no snapshot of that time.
        StackError: Catalog or object store do not answer.
    """
    found = read(folder, made_at)
    wanted = [table for table in found.tables if not names or table.name in names]
    missing = sorted(set(names) - {table.name for table in wanted})
    if missing:
        raise RiftError(
            f"The backup has no table {missing[0]}.", f"It has {', '.join(t.name for t in wanted)}."
        )
    for table in wanted:
        _check(folder, table)
    done = []
    for table in wanted:
        if progress is not None:
            progress(table.name)
        done.append(_copy_in(catalog, folder, table, as_of, replace))
    return done


def read(folder: Path, made_at: datetime | None = None) -> Backup:
    """What a backup holds: the newest in a folder, or the newest that was begun by a time.

    Raises:
        RiftError: There is none, or it is of another format.
    """
    listings = sorted(folder.glob("backup-*.json"))
    if made_at is not None:
        listings = [listing for listing in listings if listing.name <= _listing(folder, made_at).name]
    if not listings:
        raise RiftError(f"There is no backup in {folder}.", "Make one with `rift lake backup DIR`.")
    told: dict[str, Any] = orjson.loads(listings[-1].read_bytes())
    if told["format"] != FORMAT:
        raise RiftError(
            f"{listings[-1]} is of format {told['format']}, not {FORMAT}.", "Use its own version."
        )
    return Backup(datetime.fromisoformat(told["made_at"]), [Kept(**table) for table in told["tables"]])


def _listing(folder: Path, made_at: datetime) -> Path:
    return folder / f"backup-{made_at.astimezone(UTC):%Y%m%dT%H%M%S%fZ}.json"


def _copy_out(catalog: Catalog, name: str, folder: Path) -> tuple[Kept, dict[str, int]]:
    """Copy one table; what the upkeep deletes meanwhile makes it begin anew."""
    for _ in range(_ATTEMPTS):
        table = load(catalog, name)
        current = table.current_snapshot()
        try:
            needed = snapshots.references(table, table.snapshots())
            statistics = {one.statistics_path for one in table.metadata.statistics}
            locations = sorted({*needed, *statistics, table.metadata_location})
            sizes, copied = _fetch(table, locations, folder)
        except FileNotFoundError:
            continue
        rows = snapshots.total(current, "total-records") if current is not None else 0
        kept = Kept(
            name,
            str(table.metadata.table_uuid),
            table.location(),
            table.metadata_location,
            current.snapshot_id if current is not None else None,
            rows,
            sizes,
        )
        return kept, copied
    raise StackError(f"Files of {name} went away while they were copied, {_ATTEMPTS} times.", "Try again.")


def _fetch(table: Table, locations: Iterable[str], folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    def fetch(location: str) -> tuple[str, int, bool]:
        files, path = _place(table, location)
        target = _local(folder, location)
        if target.is_file():
            return location, target.stat().st_size, False
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(target.name + _PART)
        with files.open_input_stream(path) as source, part.open("wb") as sink:
            shutil.copyfileobj(source, sink)
        part.replace(target)
        return location, target.stat().st_size, True

    with ThreadPoolExecutor(_COPIES) as pool:
        done = list(pool.map(fetch, locations))
    return (
        {location: size for location, size, _ in done},
        {location: size for location, size, new in done if new},
    )


def _check(folder: Path, table: Kept) -> None:
    for location, size in table.files.items():
        file = _local(folder, location)
        if not file.is_file() or file.stat().st_size != size:
            raise RiftError(
                f"{file} of the backup is missing or not {size} bytes long.", "Nothing was restored."
            )


def _copy_in(catalog: Catalog, folder: Path, kept: Kept, as_of: datetime | None, replace: bool) -> Restored:
    there = _there(catalog, kept.name)
    if there is not None:
        current = there.current_snapshot()
        if current is not None and not replace:
            rows = snapshots.total(current, "total-records")
            return Restored(kept.name, rows, current.snapshot_id, skipped="it holds rows")
        catalog.drop_table(kept.name)
    catalog.create_namespace_if_not_exists(kept.name.rpartition(".")[0])
    table = _make(catalog, folder, kept)
    if as_of is not None:
        _roll_back(table, as_of)
    current = table.current_snapshot()
    return Restored(
        kept.name,
        snapshots.total(current, "total-records") if current is not None else 0,
        current.snapshot_id if current is not None else None,
        len(kept.files),
    )


def _there(catalog: Catalog, name: str) -> Table | None:
    try:
        return catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def _make(catalog: Catalog, folder: Path, kept: Kept) -> Table:
    """Make a table with its schemas, partitioning, snapshots and branches as they were.

    ``register_table`` would be the short way; SeaweedFS 4.48 makes an empty table of it, since it reads only
    metadata that it wrote itself.
    """
    old = TableMetadataUtil.parse_raw(_local(folder, kept.metadata).read_text())
    first = min(old.schemas, key=lambda schema: schema.schema_id)
    table = catalog.create_table(
        kept.name,
        first,
        old.location,
        min(old.partition_specs, key=lambda spec: spec.spec_id),
        next(order for order in old.sort_orders if order.order_id == old.default_sort_order_id),
        old.properties | {"format-version": str(old.format_version)},
    )
    _store(table, folder, [location for location in kept.files if location != kept.metadata])
    shape: list[TableUpdate] = [
        *(AddSchemaUpdate(schema_=schema) for schema in old.schemas if schema is not first),
        SetCurrentSchemaUpdate(schema_id=old.current_schema_id),
        *(AddPartitionSpecUpdate(spec=spec) for spec in old.partition_specs[1:]),
        SetDefaultSpecUpdate(spec_id=old.default_spec_id),
    ]
    same = AssertTableUUID(uuid=table.metadata.table_uuid)
    try:
        catalog.commit_table(table, (same,), (*shape, *_history(old, None)))
    except (BadRequestError, ValidationException) as cause:
        if "timestamp" not in str(cause):
            raise StackError(f"The catalog does not take {kept.name} back: {cause}.") from cause
        # The time of a snapshot may not lie before that of its table.
        now = table.metadata.last_updated_ms
        catalog.commit_table(table, (same,), (*shape, *_history(old, now)))
    table.refresh()
    new = table.metadata
    if (new.schemas, new.partition_specs, new.refs) != (old.schemas, old.partition_specs, old.refs):
        catalog.drop_table(kept.name)
        raise StackError(f"The catalog took {kept.name} back with other columns than it had.")
    return table


def _history(old: TableMetadata, now_ms: int | None) -> Iterator[TableUpdate]:
    """The snapshots in their order, then branches and tags; with ``now_ms`` as their time if it is given."""
    for snapshot in sorted(old.snapshots, key=lambda one: one.sequence_number or 0):
        if now_ms is not None:
            summary = snapshot.summary or Summary(Operation.APPEND)
            told = summary.additional_properties | {
                snapshots.COMMITTED_AT: str(snapshots.committed_ms(snapshot))
            }
            told.pop("operation", None)
            snapshot = snapshot.model_copy(
                update={"timestamp_ms": now_ms, "summary": Summary(summary.operation, **told)}
            )
        yield AddSnapshotUpdate(snapshot=snapshot)
    for name, ref in old.refs.items():
        yield SetSnapshotRefUpdate(
            ref_name=name,
            type=ref.snapshot_ref_type,
            snapshot_id=ref.snapshot_id,
            max_ref_age_ms=ref.max_ref_age_ms,
            max_snapshot_age_ms=ref.max_snapshot_age_ms,
            min_snapshots_to_keep=ref.min_snapshots_to_keep,
        )


def _store(table: Table, folder: Path, locations: Iterable[str]) -> None:
    def store(location: str) -> None:
        with (
            _local(folder, location).open("rb") as source,
            table.io.new_output(location).create(overwrite=True) as sink,
        ):
            while piece := source.read(2**20):
                sink.write(piece)

    with ThreadPoolExecutor(_COPIES) as pool:
        list(pool.map(store, locations))


def _roll_back(table: Table, as_of: datetime) -> None:
    """Make the snapshot of a time the newest; a table that held nothing yet becomes empty."""
    history = snapshots.history(table)
    if history and snapshots.committed_ms(history[-1]) > as_of.timestamp() * 1000:
        # Snapshots are forgotten from the oldest on, so only a whole history tells of the time before it.
        if history[-1].parent_snapshot_id is not None:
            snapshots.at(table, as_of)
        committed(table, lambda: table.delete(AlwaysTrue()))
    elif history:
        wanted = snapshots.at(table, as_of).snapshot_id
        if wanted != history[0].snapshot_id:
            committed(table, partial(_set_current, table, wanted))


def _set_current(table: Table, snapshot_id: int) -> None:
    table.manage_snapshots().set_current_snapshot(snapshot_id=snapshot_id).commit()


def _place(table: Table, location: str) -> tuple[FileSystem, str]:
    if not isinstance(table.io, PyArrowFileIO):
        raise StackError("The object store is not read through Arrow.", "Leave py-io-impl unset.")
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    return table.io.fs_by_scheme(scheme, netloc), path


def _local(folder: Path, location: str) -> Path:
    """Where an object lies in a backup: under its own path."""
    path = PurePosixPath(location.partition("://")[2].lstrip("/"))
    if ".." in path.parts:
        raise RiftError(f"The location {location} leads out of the folder.", "This is no backup of ours.")
    return folder / "objects" / path
