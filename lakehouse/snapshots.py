"""Snapshots of a table: which one held at a time, what its files are, and how old ones and their files go."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from pyarrow.fs import FileSelector, FileSystem, FileType
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Snapshot, ancestors_of

from lakehouse.commits import committed
from riftstream.errors import RiftError, StackError

COMMITTED_AT = "riftstream.committed-at-ms"
"""In the summary of a restored snapshot: when it was first committed, ms since the Unix epoch."""

FLINK_CHECKPOINT = "flink.max-committed-checkpoint-id"
FLINK = ("flink.job-id", "flink.operator-id", FLINK_CHECKPOINT)
"""In the summary of a snapshot that a Flink job wrote: up to which checkpoint its files are in the table."""

_READERS = 8


@dataclass(frozen=True)
class Stored:
    """An object in the folder of a table.

    Attributes:
        location: Where it lies, as Iceberg writes it.
        size: Its size in bytes.
        changed: When it was written, UTC.
    """

    location: str
    size: int
    changed: datetime


def at(table: Table, moment: datetime) -> Snapshot:
    """The snapshot that readers saw at a time.

    Raises:
        RiftError: There was none yet, or it is no longer kept.
    """
    kept = history(table)
    wanted = moment.timestamp() * 1000
    for snapshot in kept:
        if committed_ms(snapshot) <= wanted:
            return snapshot
    name = ".".join(table.name())
    if not kept:
        raise RiftError(f"{name} has no snapshot.", "It holds nothing yet.")
    oldest = datetime.fromtimestamp(committed_ms(kept[-1]) / 1000, UTC)
    raise RiftError(
        f"{name} has no snapshot from {moment.isoformat()} or before.",
        f"The oldest that is kept is from {oldest.isoformat(timespec='seconds')}.",
    )


def history(table: Table) -> list[Snapshot]:
    """Snapshots of the main branch that are still kept, the newest first."""
    found = list(ancestors_of(table.current_snapshot(), table.metadata))
    if not found:
        return []
    # Erasure takes snapshots out of the middle: older ones than the gap belong to it all the same.
    branches = [ref.snapshot_id for ref in table.refs().values()]
    elsewhere = {
        snapshot.snapshot_id
        for head in branches
        for snapshot in ancestors_of(table.snapshot_by_id(head), table.metadata)
    }
    older = [
        snapshot
        for snapshot in table.snapshots()
        if committed_ms(snapshot) < committed_ms(found[-1]) and snapshot.snapshot_id not in elsewhere
    ]
    return found + sorted(older, key=committed_ms, reverse=True)


def needed_by_jobs(metadata: TableMetadata, head: Snapshot | None) -> list[Snapshot]:
    """The snapshots that a Flink job goes through when it starts again, from the newest to the job's last.

    It looks for its last checkpoint among them, and would commit the files of that one twice without it.
    Empty where no job wrote to the table.
    """
    found = []
    for snapshot in ancestors_of(head, metadata):
        found.append(snapshot)
        if snapshot.summary is not None and FLINK_CHECKPOINT in snapshot.summary.additional_properties:
            return found
    return []


def committed_ms(snapshot: Snapshot) -> int:
    """When a snapshot was committed, ms since the Unix epoch; restoring it later does not change that."""
    return total(snapshot, COMMITTED_AT) or snapshot.timestamp_ms


def by_id(table: Table, snapshot_id: int) -> Snapshot:
    """The snapshot of this id.

    Raises:
        RiftError: The table has none, or keeps it no longer.
    """
    found = table.snapshot_by_id(snapshot_id)
    if found is None:
        raise RiftError(
            f"{'.'.join(table.name())} has no snapshot {snapshot_id}.",
            f"See `rift lake snapshots {'.'.join(table.name())}`.",
        )
    return found


def total(snapshot: Snapshot, name: str) -> int:
    """A number of a snapshot's summary, such as ``total-records``; 0 where it does not tell."""
    return int((snapshot.summary.additional_properties.get(name) if snapshot.summary else None) or 0)


def references(table: Table, snapshots: Iterable[Snapshot]) -> set[str]:
    """Locations of all files that some snapshots need: manifest lists, manifests, data and delete files."""
    snapshots = list(snapshots)
    manifests = _manifests(table.io, snapshots)
    lists = {snapshot.manifest_list for snapshot in snapshots}
    return lists | set(manifests) | _entries(table.io, manifests)


def metadata_files(table: Table) -> set[str]:
    """Locations of a table's metadata: the newest version, those before it that it names, and statistics."""
    metadata = table.metadata
    return {
        table.metadata_location,
        *(entry.metadata_file for entry in metadata.metadata_log),
        *(entry.statistics_path for entry in metadata.statistics),
        *(entry.statistics_path for entry in metadata.partition_statistics),
    }


def stored(table: Table) -> list[Stored]:
    """All objects in a table's folder, whether the table knows them or not.

    Raises:
        StackError: The object store cannot be listed.
    """
    files, root = _filesystem(table)
    try:
        found = files.get_file_info(FileSelector(root, recursive=True, allow_not_found=True))
    except OSError as cause:
        raise StackError(f"The object store cannot be listed: {cause}.", "See `rift status`.") from cause
    base = table.location().rstrip("/")
    return [
        Stored(base + info.path[len(root) :], info.size, info.mtime.astimezone(UTC))
        for info in found
        if info.type == FileType.File
    ]


def expire(table: Table, snapshot_ids: Iterable[int]) -> list[str]:
    """Forget snapshots, and delete the files that no other snapshot needs.

    The newest snapshot of each branch, those with a tag and those that jobs need stay. The table is as
    committed afterwards.

    Returns:
        Locations of the files that were deleted.
    """
    protected = _protected(table)
    known = {snapshot.snapshot_id: snapshot for snapshot in table.snapshots()}
    wanted = [found for found in set(snapshot_ids) - protected if found in known]
    if not wanted:
        return []
    needed = references(table, [known[snapshot_id] for snapshot_id in wanted])
    committed(table, lambda: table.maintenance.expire_snapshots().by_ids(wanted).commit())
    loose = sorted(needed - references(table, table.snapshots()))
    delete(table.io, loose)
    return loose


def expirable(table: Table, older_than: datetime, least: int) -> list[int]:
    """Ids of snapshots before a time, the newest ``least`` of the main branch not counted."""
    newest = [snapshot.snapshot_id for snapshot in ancestors_of(table.current_snapshot(), table.metadata)]
    kept = {*newest[:least], *_protected(table)}
    limit = older_than.timestamp() * 1000
    return [
        snapshot.snapshot_id
        for snapshot in table.snapshots()
        if committed_ms(snapshot) < limit and snapshot.snapshot_id not in kept
    ]


def _protected(table: Table) -> set[int]:
    jobs = needed_by_jobs(table.metadata, table.current_snapshot())
    return {*(ref.snapshot_id for ref in table.refs().values()), *(one.snapshot_id for one in jobs)}


def orphans(table: Table, now: datetime, age: timedelta) -> list[Stored]:
    """Objects in a table's folder that no version of the table knows and that have lain there for a while.

    What writers have not committed yet looks the same: ``age`` must be longer than any of them takes.
    """
    old = [file for file in stored(table) if file.changed < now - age]
    if not old:
        return []
    table.refresh()
    known = references(table, table.snapshots()) | metadata_files(table)
    return [file for file in old if file.location not in known]


def delete(io: FileIO, locations: Iterable[str]) -> None:
    """Delete files; those that are gone already are no error."""
    with ThreadPoolExecutor(_READERS) as pool:
        list(pool.map(partial(_delete, io), locations))


def _delete(io: FileIO, location: str) -> None:
    try:
        io.delete(location)
    except FileNotFoundError:
        return


def _filesystem(table: Table) -> tuple[FileSystem, str]:
    """The file system of a table and the path of its folder there."""
    if not isinstance(table.io, PyArrowFileIO):
        raise StackError("The object store is not read through Arrow.", "Leave py-io-impl unset.")
    scheme, netloc, path = PyArrowFileIO.parse_location(table.location())
    return table.io.fs_by_scheme(scheme, netloc), path.rstrip("/")


def _manifests(io: FileIO, snapshots: Iterable[Snapshot]) -> dict[str, ManifestFile]:
    with ThreadPoolExecutor(_READERS) as pool:
        lists = pool.map(lambda snapshot: snapshot.manifests(io), snapshots)
        return {manifest.manifest_path: manifest for found in lists for manifest in found}


def _entries(io: FileIO, manifests: dict[str, ManifestFile]) -> set[str]:
    def files(manifest: ManifestFile) -> list[str]:
        return [entry.data_file.file_path for entry in manifest.fetch_manifest_entry(io)]

    with ThreadPoolExecutor(_READERS) as pool:
        return {path for found in pool.map(files, manifests.values()) for path in found}
