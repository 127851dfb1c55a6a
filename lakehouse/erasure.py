"""A person's rows: found in every table of the catalog, given to them, and taken out for good.

Taking them out is more than deleting rows: snapshots still hold the old files, and manifests the old column
bounds. So the rows are written anew without the person, on every branch; each snapshot that told of an old
file is forgotten; its files are deleted; and then every Parquet object in the folder of every table is read
again, whether a snapshot knows it or not.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import PyArrowFileIO
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Table
from pyiceberg.table.refs import SnapshotRefType

from lakehouse import person, rewrite, snapshots
from lakehouse.commits import CONFLICTS, append, committed
from lakehouse.sql import table_names
from lakehouse.tables import ERASURES, apply_in, load, plan_in, spec
from riftstream.errors import StackError

_ATTEMPTS = 5
_READERS = 4
_UNCOMMITTED = timedelta(hours=1)
"""Objects that no snapshot knows may be a writer's that has not committed; older ones are nobody's."""


@dataclass(frozen=True)
class Erased:
    """What was done to one table.

    Attributes:
        table: Its name.
        rows_removed: Rows of the newest snapshots that went.
        rows_altered: Rows that stay without the person's name.
        files_rewritten: Data files that were written anew.
        snapshots_expired: Snapshots that were forgotten, tagged ones included.
        tags: Tags that were removed with them.
        files_deleted: Files that were deleted.
        files_read: Parquet objects that were read at the end to look for the person.
        left: Locations of objects that still name the person.
    """

    table: str
    rows_removed: int = 0
    rows_altered: int = 0
    files_rewritten: int = 0
    snapshots_expired: int = 0
    tags: tuple[str, ...] = ()
    files_deleted: int = 0
    files_read: int = 0
    left: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        """Whether the table named the person."""
        return bool(self.files_rewritten or self.files_deleted or self.left)


@dataclass(frozen=True)
class Erasure:
    """What was done to erase a person.

    Attributes:
        erasure_id: Id of the audit record.
        subject_sha256: SHA-256 of the person's id (hex).
        requested_at: When it began.
        topics_clear_at: When the newest record of the topics that can name the person is past its retention.
        tables: What was done to each table.
        online_keys_deleted: Entities that were deleted from the online store.
        online_keys_left: Those that are still there.
    """

    erasure_id: str
    subject_sha256: str
    requested_at: datetime
    topics_clear_at: datetime
    tables: list[Erased] = field(default_factory=list)
    online_keys_deleted: int = 0
    online_keys_left: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing of the person was found at the end."""
        return not self.online_keys_left and not any(table.left for table in self.tables)


def find(catalog: Catalog, player: str, progress: Callable[[str], None] | None = None) -> dict[str, pa.Table]:
    """All rows of the newest snapshots that name a person, by table; tables without any are left out.

    Args:
        catalog: The catalog; every table that it has is read.
        player: The person's id.
        progress: Told the name of each table.
    """
    found = {}
    for name in table_names(catalog):
        if progress is not None:
            progress(name)
        table = load(catalog, name)
        tasks = list(table.scan().plan_files())
        dirty = _dirty(table, [task.file.file_path for task in tasks], player)
        pieces = []
        for task in tasks:
            if task.file.file_path in dirty:
                rows = rewrite.read(table, [task])
                pieces.append(rows.filter(person.naming(rows, player)))
        if any(piece.num_rows for piece in pieces):
            found[name] = pa.concat_tables(pieces)
    return found


def erase(
    catalog: Catalog,
    player: str,
    *,
    now: datetime | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Erased]:
    """Take a person out of every table of a catalog, old snapshots included. Doing it twice changes nothing.

    Args:
        catalog: The catalog.
        player: The person's id.
        now: What counts as now.
        progress: Told the name of each table.

    Returns:
        What was done to each table, those that did not name the person included: they were looked at too.

    Raises:
        StackError: The object store does not answer.
    """
    done = []
    for name in table_names(catalog):
        if progress is not None:
            progress(name)
        done.append(_erase(load(catalog, name), name, player, now or datetime.now(UTC)))
    return done


def begin(player: str, retention: timedelta, now: datetime | None = None) -> Erasure:
    """A new erasure, with nothing done yet.

    Args:
        player: The person's id.
        retention: For how long topics keep records.
        now: What counts as now.
    """
    start = now or datetime.now(UTC)
    digest = hashlib.sha256(player.encode()).hexdigest()
    return Erasure(uuid.uuid4().hex, digest, start, start + retention)


def record(catalog: Catalog, erasure: Erasure) -> None:
    """Write the audit record of an erasure; the table is made where it is not there.

    Raises:
        StackError: Others committed at each attempt.
    """
    apply_in(catalog, plan_in(catalog, [spec(ERASURES)]), [spec(ERASURES)])
    parts = erasure.tables
    row: dict[str, Any] = {
        "erasure_id": erasure.erasure_id,
        "subject_sha256": erasure.subject_sha256,
        "requested_at": erasure.requested_at,
        "finished_at": datetime.now(UTC),
        "complete": erasure.complete,
        "rows_removed": sum(part.rows_removed for part in parts),
        "rows_altered": sum(part.rows_altered for part in parts),
        "snapshots_expired": sum(part.snapshots_expired for part in parts),
        "files_deleted": sum(part.files_deleted for part in parts),
        "files_read": sum(part.files_read for part in parts),
        "files_left": sum(len(part.left) for part in parts),
        "online_keys_deleted": erasure.online_keys_deleted,
        "topics_clear_at": erasure.topics_clear_at,
        "detail": json.dumps([asdict(part) for part in parts]),
    }
    append(catalog, ERASURES, pa.Table.from_pylist([row]))


def _erase(table: Table, name: str, player: str, now: datetime) -> Erased:
    told, counts = _rewrite(table, player)
    expired, tags, deleted = _forget(table, told) if told else (0, (), [])
    # What a writer wrote meanwhile is looked at too.
    everything = _parquet(table)
    left = _dirty(table, everything, player)
    nobodys = sorted(left & {file.location for file in snapshots.orphans(table, now, _UNCOMMITTED)})
    snapshots.delete(table.io, nobodys)
    return Erased(
        name,
        *counts,
        expired,
        tags,
        len(deleted) + len(nobodys),
        len(everything),
        tuple(sorted(left - set(nobodys))),
    )


def _rewrite(table: Table, player: str) -> tuple[set[str], tuple[int, int, int]]:
    """Write what names the person anew, on every branch, until no head tells of it.

    Returns:
        Locations of all objects that name the person; rows removed, rows altered, files rewritten.
    """
    told: set[str] = set()
    clean: set[str] = set()
    removed = altered = rewritten = 0
    for _ in range(_ATTEMPTS):
        new = set(_parquet(table)) - told - clean
        told |= _dirty(table, new, player)
        clean |= new - told
        table.refresh()
        telling = _telling(table, told)
        branches = [branch for branch in _branches(table) if table.refs()[branch].snapshot_id in telling]
        if not branches:
            break
        for branch in branches:
            try:
                counts = _rewrite_branch(table, branch, told, player)
            except CONFLICTS:
                table.refresh()
                continue
            removed, altered, rewritten = removed + counts[0], altered + counts[1], rewritten + counts[2]
    return told, (removed, altered, rewritten)


def _rewrite_branch(table: Table, branch: str, told: set[str], player: str) -> tuple[int, int, int]:
    """Write the files of a branch that name the person anew; rows removed, rows altered, files."""
    tasks = [task for task in table.scan().use_ref(branch).plan_files() if task.file.file_path in told]
    removed = altered = 0
    new: list[DataFile] = []
    for task in tasks:
        rows, gone, changed = person.without(rewrite.read(table, [task]), player)
        new += rewrite.write(table, rows)
        removed, altered = removed + gone, altered + changed
    # With none to exchange only the manifests are written anew: they tell the bounds of what went away.
    files = [task.file for task in tasks]
    rewrite.exchange(table, files, new, same_rows=not files, branch=branch)
    return removed, altered, len(tasks)


def _forget(table: Table, told: set[str]) -> tuple[int, tuple[str, ...], list[str]]:
    """Forget all snapshots that tell of some files, and delete what only they needed."""
    ids = _telling(table, told)
    tags = tuple(
        name
        for name, ref in table.refs().items()
        if ref.snapshot_ref_type == SnapshotRefType.TAG and ref.snapshot_id in ids
    )
    for tag in tags:
        committed(table, partial(_untag, table, tag))
    before = len(table.snapshots())
    deleted = snapshots.expire(table, ids)
    return before - len(table.snapshots()), tags, deleted


def _untag(table: Table, tag: str) -> None:
    table.manage_snapshots().remove_tag(tag).commit()


def _telling(table: Table, files: set[str]) -> set[int]:
    """Ids of the snapshots whose manifests tell of any of these files, be it that they went away."""
    manifests = {one.snapshot_id: one.manifests(table.io) for one in table.snapshots()}
    told = {manifest.manifest_path: manifest for found in manifests.values() for manifest in found}

    def tells(manifest: ManifestFile) -> bool:
        entries = manifest.fetch_manifest_entry(table.io, discard_deleted=False)
        return any(entry.data_file.file_path in files for entry in entries)

    with ThreadPoolExecutor(_READERS) as pool:
        found = dict(zip(told, pool.map(tells, told.values()), strict=True))
    return {
        snapshot_id
        for snapshot_id, of_it in manifests.items()
        if any(found[manifest.manifest_path] for manifest in of_it)
    }


def _branches(table: Table) -> list[str]:
    return [name for name, ref in table.refs().items() if ref.snapshot_ref_type == SnapshotRefType.BRANCH]


def _parquet(table: Table) -> list[str]:
    return [file.location for file in snapshots.stored(table) if file.location.endswith(".parquet")]


def _dirty(table: Table, locations: Iterable[str], player: str) -> set[str]:
    """Those of some Parquet objects that name a person, as they lie there; missing ones name nobody."""
    locations = list(locations)
    with ThreadPoolExecutor(_READERS) as pool:
        found = pool.map(partial(_file_names, table, player), locations)
        return {location for location, named in zip(locations, found, strict=True) if named}


def _file_names(table: Table, player: str, location: str) -> bool:
    if not isinstance(table.io, PyArrowFileIO):
        raise StackError("The object store is not read through Arrow.", "Leave py-io-impl unset.")
    scheme, netloc, path = PyArrowFileIO.parse_location(location)
    try:
        with table.io.fs_by_scheme(scheme, netloc).open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            columns = [one.name for one in file.schema_arrow if person.searched(one.type)]
            return any(
                pc.any(person.naming(batch, player)).as_py() for batch in file.iter_batches(columns=columns)
            )
    except FileNotFoundError:
        return False
