"""Upkeep makes tables quick and small, and no row is lost or doubled by it, whoever writes meanwhile."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import ValidationException
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation, ancestors_of
from pyiceberg.types import LongType

from lakehouse import rewrite, snapshots, tables
from lakehouse.catalog import connect
from lakehouse.maintenance import Policy, compact, maintain, merge_manifests
from lakehouse.scan import overwrite
from lakehouse.tables import KEEP_DAYS, TABLES, TableSpec
from riftstream.errors import RiftError
from riftstream.settings import Settings

EVENTS = TABLES[0]
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(days=30)
AT_ONCE = Policy(min_files=2, snapshot_age=timedelta(0), orphan_age=timedelta(0))
LEAGUES = ("LEC", "LCK", None)


def local(folder: Path, *specs: TableSpec) -> Catalog:
    """A lake in a folder, with tables."""
    catalog = SqlCatalog("test", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}")
    tables.apply_in(catalog, tables.plan_in(catalog, specs), specs)
    return catalog


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Events in six commits: three partitions of a day, two small files each."""
    found = local(tmp_path, EVENTS).load_table(EVENTS.name)
    for offset, league in zip(range(6), itertools.cycle(LEAGUES), strict=False):
        append(found, [row(offset, league=league), row(offset + 100, league=league)])
    return found


def row(offset: int, **more: Any) -> dict[str, Any]:
    base = {"event_id": f"e{offset}", "match_id": f"m{offset % 5}", "event_time": NOON, "league": "LEC"}
    return base | {"source_partition": 0, "source_offset": offset, "assist_ids": ["p1", "p2"]} | more


def append(table: Table, rows: list[dict[str, Any]]) -> None:
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()))


def offsets(table: Table, **scan: Any) -> list[int]:
    table.refresh()
    found = table.scan(selected_fields=("source_offset",), **scan).to_arrow()
    return sorted(found["source_offset"].to_pylist())


def catalog_of(table: Table) -> Catalog:
    return table.catalog


ALL = sorted([*range(6), *range(100, 106)])


def test_small_files_become_one_a_partition_in_the_sort_order(table: Table) -> None:
    assert compact(table, AT_ONCE) == (6, 3)
    assert offsets(table) == ALL
    for task in table.scan().plan_files():
        found = rewrite.read(table, [task]).select(["match_id", "source_partition", "source_offset"])
        assert found.num_rows == 4
        assert found.to_pylist() == sorted(found.to_pylist(), key=lambda one: tuple(one.values()))
    newest = table.current_snapshot()
    assert newest is not None and newest.summary is not None
    assert newest.summary.operation == Operation.REPLACE
    assert newest.summary["total-records"] == "12"
    assert newest.summary["total-data-files"] == "3"
    assert compact(table, AT_ONCE) == (0, 0)


def test_rows_before_compaction_can_still_be_read(table: Table) -> None:
    before = table.snapshots()[3].snapshot_id
    compact(table, AT_ONCE)
    assert offsets(table, snapshot_id=before) == sorted([*range(4), *range(100, 104)])


def test_columns_that_came_later_survive_compaction(table: Table) -> None:
    with table.update_schema() as update:
        update.add_column("brand_new", LongType())
    append(table, [row(12) | {"brand_new": 7}])
    compact(table, AT_ONCE)
    found = table.scan(row_filter="brand_new = 7").to_arrow()
    assert found["source_offset"].to_pylist() == [12]
    assert offsets(table) == sorted([*ALL, 12])


def test_rows_that_were_appended_during_compaction_stay(table: Table) -> None:
    other = catalog_of(table).load_table(EVENTS.name)
    tasks = list(table.scan().plan_files())
    new = rewrite.write(table, rewrite.read(table, tasks))
    append(other, [row(50)])
    rewrite.exchange(table, [task.file for task in tasks], new)
    assert offsets(table) == sorted([*ALL, 50])


def test_a_file_that_someone_else_replaced_is_not_replaced_twice(table: Table) -> None:
    other = catalog_of(table).load_table(EVENTS.name)
    tasks = list(table.scan().plan_files())
    new = rewrite.write(table, rewrite.read(table, tasks))
    compact(other, AT_ONCE)
    with pytest.raises(ValidationException):
        rewrite.exchange(table, [task.file for task in tasks], new)
    assert offsets(table) == ALL
    left = {file.location for file in snapshots.stored(table)}
    assert not left & {file.file_path for file in new}, "files of a commit that failed are deleted"


def test_rows_that_were_deleted_during_compaction_do_not_come_back(table: Table) -> None:
    other = catalog_of(table).load_table(EVENTS.name)
    tasks = list(table.scan().plan_files())
    new = rewrite.write(table, rewrite.read(table, tasks))
    other.delete("source_offset = 3")
    with pytest.raises(ValidationException):
        rewrite.exchange(table, [task.file for task in tasks], new)
    assert offsets(table) == [offset for offset in ALL if offset != 3]


def test_a_backfill_that_meets_a_compaction_begins_anew(tmp_path: Path) -> None:
    spec = next(spec for spec in TABLES if spec.name == "features.player_form")
    catalog = local(tmp_path, spec)
    table = catalog.load_table(spec.name)
    rows = [{"player_id": f"p{n}", "event_time": NOON + timedelta(minutes=n), "games": 1} for n in range(4)]
    for one in rows:
        append(table, [one])
    real, met = catalog.load_table, []

    def load_and_compact(name: str) -> Table:
        found = real(name)
        catalog.load_table = real  # type: ignore[method-assign]
        met.append(compact(real(name), AT_ONCE))
        return found

    catalog.load_table = load_and_compact  # type: ignore[assignment, method-assign]
    new = pa.Table.from_pylist([one | {"games": 2} for one in rows[:2]])
    overwrite(catalog, spec.name, new, NOON, NOON + timedelta(minutes=2))
    assert met == [(4, 1)]
    found = real(spec.name).scan().to_arrow().sort_by("player_id")
    assert found["games"].to_pylist() == [2, 2, 1, 1]


def test_manifests_are_merged_without_touching_a_row(table: Table) -> None:
    current = table.current_snapshot()
    assert current is not None and len(current.manifests(table.io)) == 6
    files = {task.file.file_path for task in table.scan().plan_files()}
    merge_manifests(table)
    current = table.current_snapshot()
    assert current is not None and len(current.manifests(table.io)) == 1
    assert {task.file.file_path for task in table.scan().plan_files()} == files
    assert offsets(table) == ALL


def test_old_snapshots_go_with_their_files_and_the_newest_stay(table: Table) -> None:
    compact(table, AT_ONCE)
    before = {file.location for file in snapshots.stored(table)}
    old = snapshots.expirable(table, LATER, 2)
    assert len(old) == len(table.snapshots()) - 2
    deleted = snapshots.expire(table, old)
    after = {file.location for file in snapshots.stored(table)}
    assert before - after == set(deleted) > set()
    assert len(table.snapshots()) == 2
    assert offsets(table) == ALL
    assert offsets(table, snapshot_id=table.snapshots()[0].snapshot_id) == ALL


def test_a_tagged_snapshot_keeps_its_files(table: Table) -> None:
    first = table.snapshots()[0].snapshot_id
    table.manage_snapshots().create_tag(first, "report").commit()
    compact(table, AT_ONCE)
    snapshots.expire(table, [snapshot.snapshot_id for snapshot in table.snapshots()])
    assert offsets(table, snapshot_id=first) == [0, 100]
    assert {snapshot.snapshot_id for snapshot in table.snapshots()} == {
        ref.snapshot_id for ref in table.refs().values()
    }


def test_what_a_job_committed_is_still_told_when_its_snapshots_are_gone(table: Table) -> None:
    def job_commits(checkpoint: int) -> None:
        told = dict(zip(snapshots.FLINK, ("job", "operator", str(checkpoint)), strict=True))
        rows = pa.Table.from_pylist([row(checkpoint)], schema=table.schema().as_arrow())
        catalog_of(table).load_table(EVENTS.name).append(rows, snapshot_properties=told)

    def last_checkpoint() -> str | None:
        """As Flink looks for it: from the newest snapshot to its parent, as far as they are kept."""
        table.refresh()
        for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
            if snapshot.summary is not None and snapshot.summary["flink.job-id"] == "job":
                return str(snapshot.summary[snapshots.FLINK_CHECKPOINT])
        return None

    job_commits(7)
    table.refresh()
    append(table, [row(200)])
    snapshots.expire(table, [snapshot.snapshot_id for snapshot in table.snapshots()])
    assert last_checkpoint() == "7", "a commit of somebody else stands before it"
    tasks = list(table.scan().plan_files())
    new = rewrite.write(table, rewrite.read(table, tasks))
    job_commits(8)
    rewrite.exchange(table, [task.file for task in tasks], new)
    snapshots.expire(table, [snapshot.snapshot_id for snapshot in table.snapshots()])
    assert len(table.snapshots()) == 1
    assert last_checkpoint() == "8", "not what it was when the files were read"
    assert offsets(table) == sorted([*ALL, 7, 8, 200])


def test_only_objects_that_nobody_knows_are_orphans(table: Table) -> None:
    lost = f"{table.location()}/data/lost.parquet"
    with table.io.new_output(lost).create() as stream:
        stream.write(b"left by a writer that died")
    now = datetime.now(UTC)
    assert snapshots.orphans(table, now, timedelta(hours=1)) == [], "it may be committed yet"
    found = snapshots.orphans(table, now + timedelta(hours=2), timedelta(hours=1))
    assert [file.location for file in found] == [lost]
    [done] = maintain(catalog_of(table), [EVENTS.name], replace(AT_ONCE, min_files=99), now=LATER)
    assert done.orphans == 1
    assert offsets(table) == ALL


def test_rows_go_when_their_time_is_over_and_a_dry_run_only_counts(tmp_path: Path) -> None:
    spec = replace(EVENTS, keep_days=10)
    catalog = local(tmp_path, spec)
    table = catalog.load_table(spec.name)
    assert table.properties[KEEP_DAYS] == "10"
    now = datetime(2026, 11, 24, tzinfo=UTC)
    append(table, [row(days, kafka_time=now - timedelta(days=days)) for days in (1, 9, 11, 400)])
    append(table, [row(5)])
    [dry] = maintain(catalog, [spec.name], AT_ONCE, now=now, dry_run=True)
    assert (dry.rows_past_keeping, dry.compacted, dry.after) == (2, 2, dry.before)
    assert len(offsets(table)) == 5
    [done] = maintain(catalog, [spec.name], AT_ONCE, now=now)
    assert done.rows_past_keeping == 2
    assert offsets(table) == [1, 5, 9], "what came at no known time is kept"


def test_windows_grow_old_and_events_do_not() -> None:
    days = {spec.name: spec.properties.get(KEEP_DAYS) for spec in TABLES}
    assert (days["features.player_window"], days["raw.match_events"]) == ("400", None)


def test_a_branch_under_audit_keeps_the_table_as_it_is(table: Table) -> None:
    current = table.current_snapshot()
    assert current is not None
    table.manage_snapshots().create_branch(current.snapshot_id, "audit").commit()
    table.append(pa.Table.from_pylist([row(70)], schema=table.schema().as_arrow()), branch="audit")
    [done] = maintain(catalog_of(table), [EVENTS.name], AT_ONCE)
    assert (done.skipped, done.compacted) == ("the branch audit is under audit", 0)
    [done] = maintain(catalog_of(table), [EVENTS.name], AT_ONCE, now=LATER)
    assert (done.skipped, done.compacted) == ("", 6)
    table.refresh()
    assert 70 in table.scan().use_ref("audit").to_arrow()["source_offset"].to_pylist()


def test_a_property_that_is_no_number_is_said_so(table: Table) -> None:
    with table.transaction() as change:
        change.set_properties({KEEP_DAYS: "soon"})
    with pytest.raises(RiftError, match="no number: soon"):
        maintain(catalog_of(table), [EVENTS.name])


@pytest.mark.stack
def test_four_writers_and_the_upkeep_at_once_lose_and_double_nothing(
    settings: Settings, spec: TableSpec
) -> None:
    catalog = connect(settings)
    tables.apply_in(catalog, tables.plan_in(catalog, [spec]), [spec])
    writing = threading.Event()
    writing.set()

    def writer(number: int) -> None:
        table = connect(settings).load_table(spec.name)
        for commit in range(8):
            offset = number * 1000 + commit * 10
            append(table, [row(offset + n, league=LEAGUES[number % 3]) for n in range(5)])

    def upkeep() -> list[int]:
        """Rounds of upkeep until the writers are done, and one more."""
        rounds = []
        while writing.is_set():
            [done] = maintain(connect(settings), [spec.name], replace(AT_ONCE, orphan_age=timedelta(hours=1)))
            rounds.append(done.compacted)
        return rounds

    with ThreadPoolExecutor(5) as pool:
        keeper = pool.submit(upkeep)
        for wrote in [pool.submit(writer, number) for number in range(4)]:
            wrote.result()
        writing.clear()
        compacted = keeper.result()
    written = [n * 1000 + c * 10 + k for n in range(4) for c in range(8) for k in range(5)]
    table = catalog.load_table(spec.name)
    assert offsets(table) == sorted(written)
    assert sum(compacted) > 0, "the upkeep met the writers"
    [done] = maintain(catalog, [spec.name], AT_ONCE, now=LATER, measure=True)
    assert offsets(table) == sorted(written)
    assert (done.after.files, done.after.rows) == (3, len(written))
    left = {file.location for file in snapshots.stored(table)}
    known = snapshots.references(table, table.snapshots()) | snapshots.metadata_files(table)
    assert left == known, "nothing lies in the object store that no one needs"
