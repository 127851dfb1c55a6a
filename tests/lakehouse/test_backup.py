"""A lake that was destroyed comes back as it was, row by row and snapshot by snapshot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.types import LongType
from typer.testing import CliRunner

from infra import stack
from lakehouse import backup, snapshots, tables
from lakehouse.catalog import connect
from lakehouse.maintenance import Policy, compact
from lakehouse.tables import TABLES
from riftstream.cli import gather
from riftstream.errors import RiftError
from tests.lakehouse.lake import own_home, put

EVENTS, FORMS = "raw.match_events", "features.player_form"
SPECS = {spec.name: spec for spec in TABLES if spec.name in (EVENTS, FORMS)}
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """An object store and catalog of this test alone, since it is destroyed."""
    with own_home(tmp_path / "home"):
        yield tmp_path


def rift(*arguments: str) -> Any:
    done = CliRunner().invoke(gather(), [*arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def fill(catalog: Catalog, *numbers: int) -> None:
    for number in numbers:
        put(catalog, EVENTS, [{"event_id": f"e{number}", "event_time": NOON, "league": "A,B 100%"}])
        put(catalog, FORMS, [{"player_id": f"p{number}", "event_time": NOON, "games": number}])


def state(catalog: Catalog) -> dict[str, Any]:
    """Rows of every snapshot of every table."""
    found: dict[str, Any] = {}
    for name in (EVENTS, FORMS):
        table = catalog.load_table(name)
        for snapshot in table.snapshots():
            rows = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow().to_pylist()
            found[f"{name} {snapshot.snapshot_id}"] = sorted(map(repr, rows))
        times = [snapshots.committed_ms(snapshot) for snapshot in snapshots.history(table)]
        found[name] = (
            times,
            table.refs(),
            table.schema(),
            table.spec(),
            table.sort_order(),
            table.properties,
        )
    return found


@pytest.mark.stack
def test_a_destroyed_object_store_comes_back_with_every_snapshot(home: Path) -> None:
    folder = home / "backup"
    catalog = connect()
    tables.apply_in(catalog, tables.plan_in(catalog, SPECS.values()), SPECS.values())
    fill(catalog, 1)
    with catalog.load_table(FORMS).update_schema() as update:
        update.add_column("later", LongType())
        update.move_first("later")
    with catalog.load_table(FORMS).update_schema() as update:
        update.delete_column("later")
    fill(catalog, 2)
    first = rift("lake", "backup", str(folder), "--json")
    fill(catalog, 3)
    compact(catalog.load_table(EVENTS), Policy(min_files=2))
    second = rift("lake", "backup", str(folder), "--json")
    assert 0 < second["copied"] < len({file for kept in second["tables"] for file in kept["files"]})
    before = state(catalog)
    second_snapshot = catalog.load_table(FORMS).snapshots()[1]

    stack.down(wipe=True)
    stack.up(["objectstore"])
    catalog = connect()
    # As `rift up` does: tables that are empty give way.
    tables.apply_in(catalog, tables.plan_in(catalog, SPECS.values()), SPECS.values())
    restored = {one["name"]: one for one in rift("lake", "restore", str(folder), "--json")}
    assert set(restored) == set(SPECS)
    assert (restored[EVENTS]["rows"], restored[FORMS]["rows"]) == (3, 3)
    assert state(catalog) == before
    assert tables.plan_in(catalog, SPECS.values()) == []

    # Life goes on, and nothing that holds rows gives way unasked.
    fill(catalog, 4)
    assert catalog.load_table(FORMS).scan().count() == 4
    left = rift("lake", "restore", str(folder), "--table", FORMS, "--json")
    assert left[0]["skipped"] == "it holds rows"
    [back] = rift("lake", "restore", str(folder), "--table", FORMS, "--replace", "--json")
    assert (back["rows"], catalog.load_table(FORMS).scan().count()) == (3, 3)

    # Point in time: of an older snapshot, and of an older backup.
    moment = datetime.fromtimestamp(second_snapshot.timestamp_ms / 1000, UTC) + timedelta(milliseconds=1)
    done = backup.restore(catalog, folder, [FORMS], as_of=moment, replace=True)
    assert [one.snapshot_id for one in done] == [second_snapshot.snapshot_id]
    assert sorted(catalog.load_table(FORMS).scan().to_arrow()["games"].to_pylist()) == [1, 2]
    made_at = datetime.fromisoformat(first["made_at"])
    [old] = backup.restore(catalog, folder, [EVENTS], made_at=made_at, replace=True)
    assert old.rows == 2
    [empty] = backup.restore(catalog, folder, [FORMS], as_of=NOON, replace=True)
    assert (empty.rows, catalog.load_table(FORMS).scan().count()) == (0, 0)

    some = max((folder / "objects").rglob("*.parquet"))
    some.write_bytes(some.read_bytes()[:-1])
    with pytest.raises(RiftError, match="missing or not"):
        backup.restore(catalog, folder, replace=True)


def test_a_folder_without_a_backup_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(RiftError, match="no backup"):
        backup.read(tmp_path)
