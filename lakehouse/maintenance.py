"""Upkeep of the tables: few large files, few manifests, no snapshots older than they shall be, no orphans.

Everything is an optimistic commit beside running writers: an append in between costs an attempt, never a row.
How long rows and snapshots are kept stands in the properties of each table, under Iceberg's own names where
it has one (``history.expire.*``); rows go by ``riftstream.keep-days``, counted from when they came.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pyiceberg.catalog import Catalog
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.snapshots import ancestors_of

from lakehouse import rewrite, snapshots
from lakehouse.commits import CONFLICTS, committed
from lakehouse.sql import dataset_of, table_names
from lakehouse.tables import ARRIVED, KEEP_DAYS, load
from riftstream.errors import RiftError

_ATTEMPTS = 5
_SMALL = 0.75
_AUDIT_LASTS = timedelta(hours=1)


@dataclass(frozen=True)
class Policy:
    """When something is worth the work.

    Attributes:
        target_bytes: Size that files are brought near to, as they lie in the object store.
        min_files: Small files of one partition from which on they are put together.
        max_manifests: Manifests of the newest snapshot from which on they are merged.
        snapshot_age: Age from which on snapshots go; None for what the table says.
        orphan_age: Age from which on objects that no version of the table knows go. Longer than any writer
            takes from a file to its commit.
    """

    target_bytes: int = 128 * 2**20
    min_files: int = 5
    max_manifests: int = 20
    snapshot_age: timedelta | None = None
    orphan_age: timedelta = timedelta(days=3)


@dataclass(frozen=True)
class Shape:
    """What a reader of the newest snapshot meets.

    Attributes:
        rows: Rows.
        files: Data files.
        bytes: Their bytes.
        manifests: Manifests.
        snapshots: Snapshots that are kept.
        plan_ms: Time to find the files, ms.
        scan_ms: Time to find and read them all, ms; None where it was not measured.
    """

    rows: int
    files: int
    bytes: int
    manifests: int
    snapshots: int
    plan_ms: float
    scan_ms: float | None = None


@dataclass(frozen=True)
class Maintained:
    """What was done to a table, or would be.

    Attributes:
        table: Its name.
        before: Its shape before.
        after: Its shape after; the same where nothing was done.
        compacted: Small files that were put together.
        written: Files that they became.
        rows_past_keeping: Rows that were removed because their time was over.
        expired: Snapshots that were forgotten.
        deleted: Files that were deleted with them.
        orphans: Objects that no version of the table knew and that were deleted.
        skipped: Why something was left alone; empty where nothing was.
    """

    table: str
    before: Shape
    after: Shape
    compacted: int = 0
    written: int = 0
    rows_past_keeping: int = 0
    expired: int = 0
    deleted: int = 0
    orphans: int = 0
    skipped: str = ""


def maintain(
    catalog: Catalog,
    names: Sequence[str] = (),
    policy: Policy | None = None,
    *,
    dry_run: bool = False,
    measure: bool = False,
    now: datetime | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[Maintained]:
    """Keep tables in shape.

    Args:
        catalog: The catalog.
        names: Tables as ``namespace.table``; none for all that the catalog has.
        policy: When something is worth the work.
        dry_run: Only count what would be done.
        measure: Read each table whole before and after, to time it.
        now: What counts as now.
        progress: Told the name of each table.

    Raises:
        StackError: There is no table of a name, or the object store does not answer.
    """
    done = []
    for name in names or table_names(catalog):
        if progress is not None:
            progress(name)
        table = load(catalog, name)
        done.append(_maintain(table, name, policy or Policy(), dry_run, measure, now or datetime.now(UTC)))
    return done


def shape(table: Table, measure: bool = False) -> Shape:
    """What a reader of a table's newest snapshot meets."""
    start = time.perf_counter()
    tasks = list(table.scan().plan_files())
    planned = time.perf_counter()
    if measure:
        for _ in dataset_of(table, tasks).to_batches():
            pass
    read = time.perf_counter()
    current = table.current_snapshot()
    return Shape(
        rows=sum(task.file.record_count for task in tasks),
        files=len(tasks),
        bytes=sum(task.file.file_size_in_bytes for task in tasks),
        manifests=len(current.manifests(table.io)) if current else 0,
        snapshots=len(table.snapshots()),
        plan_ms=round((planned - start) * 1000, 1),
        scan_ms=round((read - start) * 1000, 1) if measure else None,
    )


def compact(table: Table, policy: Policy) -> tuple[int, int]:
    """Put the small files of each partition together, in the table's sort order.

    Each group of files is a commit of its own. A group that someone else changed meanwhile is left for the
    next time.

    Returns:
        How many files were put together, and how many they became.
    """
    gone = made = 0
    for tasks in _groups(table, policy):
        new = rewrite.write(table, rewrite.read(table, tasks))
        try:
            rewrite.exchange(table, [task.file for task in tasks], new)
        except CONFLICTS:
            table.refresh()
            continue
        gone += len(tasks)
        made += len(new)
    return gone, made


def merge_manifests(table: Table) -> None:
    """Write the manifests of the newest snapshot anew as few; no data file changes."""
    committed(table, lambda: rewrite.exchange(table, [], []), _ATTEMPTS)


def _maintain(
    table: Table, name: str, policy: Policy, dry_run: bool, measure: bool, now: datetime
) -> Maintained:
    before = shape(table, measure)
    old = _old_snapshots(table, policy, now)
    if dry_run:
        groups = _groups(table, policy)
        return Maintained(
            name,
            before,
            before,
            compacted=sum(map(len, groups)),
            written=len(groups),
            rows_past_keeping=_past_keeping(table, now, remove=False),
            expired=len(old),
            orphans=len(snapshots.orphans(table, now, policy.orphan_age)),
            skipped=_under_audit(table, now),
        )
    skipped = _under_audit(table, now)
    gone = written = past = 0
    if not skipped:
        past = _past_keeping(table, now, remove=True)
        gone, written = compact(table, policy)
        current = table.current_snapshot()
        if not gone and current and len(current.manifests(table.io)) > policy.max_manifests:
            merge_manifests(table)
    deleted = snapshots.expire(table, old)
    orphans = snapshots.orphans(table, now, policy.orphan_age)
    snapshots.delete(table.io, [file.location for file in orphans])
    return Maintained(
        name,
        before,
        shape(table, measure),
        gone,
        written,
        past,
        len(old),
        len(deleted),
        len(orphans),
        skipped,
    )


def _groups(table: Table, policy: Policy) -> list[list[FileScanTask]]:
    """Files that belong together: of one partition, small or with deleted rows, near the target together."""
    partitions: dict[tuple[int, str], list[FileScanTask]] = defaultdict(list)
    for task in table.scan().plan_files():
        if task.delete_files or task.file.file_size_in_bytes < policy.target_bytes * _SMALL:
            partitions[task.file.spec_id, repr(task.file.partition)].append(task)
    groups = []
    for tasks in partitions.values():
        for group in _filled(tasks, policy.target_bytes):
            if len(group) >= policy.min_files or any(task.delete_files for task in group):
                groups.append(group)
    return groups


def _filled(tasks: Iterable[FileScanTask], target: int) -> list[list[FileScanTask]]:
    groups: list[list[FileScanTask]] = [[]]
    size = 0
    for task in tasks:
        if groups[-1] and size + task.file.file_size_in_bytes > target:
            groups.append([])
            size = 0
        groups[-1].append(task)
        size += task.file.file_size_in_bytes
    return groups


def _old_snapshots(table: Table, policy: Policy, now: datetime) -> list[int]:
    age = policy.snapshot_age
    if age is None:
        default = timedelta(days=5) / timedelta(milliseconds=1)
        age = timedelta(milliseconds=_number(table, "history.expire.max-snapshot-age-ms", default))
    return snapshots.expirable(
        table, now - age, int(_number(table, "history.expire.min-snapshots-to-keep", 1))
    )


def _past_keeping(table: Table, now: datetime, remove: bool) -> int:
    """Remove, or only count, rows that came longer ago than the table keeps them."""
    days = _number(table, KEEP_DAYS, 0)
    columns = [column for column in ARRIVED if column in table.schema().column_names]
    if not days or not columns:
        return 0
    over = f"{columns[0]} < '{(now - timedelta(days=days)).isoformat()}'"
    count = table.scan(row_filter=over).count()
    if count and remove:
        committed(table, lambda: table.delete(over), _ATTEMPTS)
    return count


def _under_audit(table: Table, now: datetime) -> str:
    """Why a table's main branch must not change: rows on a branch wait to be brought forward onto it."""
    main = table.current_snapshot()
    known = {snapshot.snapshot_id for snapshot in ancestors_of(main, table.metadata)}
    for name, ref in table.refs().items():
        head = table.snapshot_by_id(ref.snapshot_id)
        if head is None or head.snapshot_id in known:
            continue
        if datetime.fromtimestamp(head.timestamp_ms / 1000, UTC) > now - _AUDIT_LASTS:
            return f"the branch {name} is under audit"
    return ""


def _number(table: Table, name: str, default: float) -> float:
    """A property of a table as a number.

    Raises:
        RiftError: It is none.
    """
    text = table.properties.get(name, default)
    try:
        return float(text)
    except ValueError as cause:
        raise RiftError(
            f"The property {name} of {'.'.join(table.name())} is no number: {text}.", "Set it anew."
        ) from cause
