"""Write, audit, publish in the real catalog: branches, writers side by side, schemas that change."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, In
from pyiceberg.io.pyarrow import _dataframe_to_data_files

from lakehouse import audit, commits, increment, tables
from lakehouse.catalog import connect
from lakehouse.catalogue import describe, entries
from lakehouse.publish import MAIN, Moved, branches, discard, land, publish
from lakehouse.tables import TABLES
from riftstream.errors import RiftError, StackError
from riftstream.settings import Settings
from streams import schemas

NAME = "processed.team_games"
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)
WRITERS = 4

Row = dict[str, Any]


@pytest.fixture
def lake(new_lake: Callable[[], Settings]) -> Settings:
    return new_lake()


@pytest.fixture
def catalog(lake: Settings) -> Catalog:
    return connect(lake)


def games(*matches: str, **more: Any) -> pa.Table:
    rows = [
        {
            "match_id": match,
            "side": side,
            "team": side,
            "opponent": "red" if side == "blue" else "blue",
            "started": NOON,
            "event_time": NOON + timedelta(minutes=30),
            "league": "LCK",
            "won": side == "blue",
            "kills": 3,
            "deaths": 3,
        }
        | more
        for match in matches
        for side in ("blue", "red")
    ]
    return pa.Table.from_pylist(rows)


def told(catalog: Catalog, name: str = NAME, ref: str = MAIN) -> Counter[str]:
    table = catalog.load_table(name)
    scan = table.scan(selected_fields=("match_id",))
    return Counter((scan.use_ref(ref) if ref in table.refs() else scan).to_arrow()["match_id"].to_pylist())


def by(*matches: str) -> In:
    return In("match_id", set(matches))  # type: ignore[call-arg]


@pytest.mark.stack
def test_main_changes_when_a_branch_is_published_and_not_before(catalog: Catalog) -> None:
    land(catalog, NAME, games("a", "b"), by("a", "b"), "audit-1")
    assert told(catalog) == {}
    assert told(catalog, ref="audit-1") == {"a": 2, "b": 2}
    assert [(one.table, one.name) for one in branches(catalog)] == [(NAME, "audit-1")]
    publish(catalog, NAME, "audit-1", {"riftstream.test": "7"})
    assert told(catalog) == {"a": 2, "b": 2}
    assert catalog.load_table(NAME).properties["riftstream.test"] == "7"
    assert branches(catalog) == []

    land(catalog, NAME, games("b", "c", kills=9), by("b", "c"), "audit-2")
    land(catalog, NAME, games("d"), by("d"), "audit-3")
    publish(catalog, NAME, "audit-2")
    kills = catalog.load_table(NAME).scan(row_filter="match_id = 'b'").to_arrow()["kills"].to_pylist()
    assert (told(catalog), kills) == ({"a": 2, "b": 2, "c": 2}, [9, 9])
    with pytest.raises(Moved, match="changed by others"):
        publish(catalog, NAME, "audit-3")
    discard(catalog, NAME, "audit-3")
    assert told(catalog) == {"a": 2, "b": 2, "c": 2}
    with pytest.raises(StackError, match="no branch audit-3"):
        publish(catalog, NAME, "audit-3")


@pytest.mark.stack
def test_an_audit_names_the_rows_that_failed_and_is_kept(catalog: Catalog, lake: Settings) -> None:
    spoilt = pa.concat_tables([games("a", "b"), games("c", kills=-1)])
    land(catalog, NAME, spoilt, AlwaysTrue(), "audit-1")
    [done] = audit.audit(catalog, lake, "run", {NAME: AlwaysTrue()}, branch="audit-1")
    audit.record(catalog, [done], published=False)
    assert not done.passed
    # There are no matches that these could be parts of.
    [orphans] = [text for text in done.failures if "match_id (no part without" in text]
    [kills] = [text for text in done.failures if "on kills" in text]
    assert "6 of 6 rows" in orphans
    assert "between on kills: 2 of 6 rows: kills=-1, match_id=c, side=blue" in kills
    assert "match_id=a" not in kills
    last = audit.last(catalog)[NAME]
    assert (last["run_id"], last["passed"], last["failures"]) == ("run", False, list(done.failures))

    publish(catalog, NAME, "audit-1")
    [entry] = [one for one in entries(catalog) if one.name == NAME]
    assert (entry.rows, entry.passed) == (6, False)
    assert (entry.age_s or 0) > 0
    described = describe(catalog, NAME)
    assert described.keys == ("match_id", "side")
    assert {column.name: column.unit for column in described.columns}["duration_ms"] == "ms"


@pytest.mark.stack
def test_four_writers_at_once_lose_and_double_nothing(catalog: Catalog, lake: Settings) -> None:
    """Two append to the table as streams do, two land and publish; all meet in every commit."""
    batches, wrong = 4, []

    def append(number: int) -> None:
        own = connect(lake)
        for batch in range(batches):
            commits.append(own, NAME, games(f"{number}/{batch}"))

    def replace(number: int) -> None:
        own = connect(lake)
        for batch in range(batches):
            # Each time the one before is replaced by itself too: to lose or double it would be seen.
            mine = [f"{number}/{one}" for one in range(batch + 1)]
            until = time.monotonic() + 120
            attempt = 0
            while True:
                attempt += 1
                branch = f"audit-{number}-{batch}-{attempt}"
                try:
                    land(own, NAME, games(*mine), by(*mine), branch)
                    publish(own, NAME, branch)
                    break
                except Moved:
                    assert time.monotonic() < until

    def run(work: Callable[[int], None], number: int) -> None:
        try:
            work(number)
        except BaseException as cause:
            wrong.append(cause)

    catalog.load_table(NAME).append(catalog.load_table(NAME).schema().as_arrow().empty_table())
    works = (append, append, replace, replace)
    threads = [threading.Thread(target=run, args=(work, n)) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert told(catalog) == {f"{n}/{batch}": 2 for n in range(WRITERS) for batch in range(batches)}


@pytest.mark.stack
def test_what_came_since_a_snapshot_is_told_and_put_together_files_are_not(catalog: Catalog) -> None:
    table = catalog.load_table("raw.match_events")
    schema = table.schema().as_arrow()

    def append(match: str, day: int) -> int:
        rows = [{"match_id": match, "event_time": NOON + timedelta(days=day), "league": "LCK"}]
        table.append(pa.Table.from_pylist(rows, schema=schema))
        head = table.current_snapshot()
        assert head is not None
        return head.snapshot_id

    assert increment.since_snapshot(catalog, None).empty
    first = append("a", 0)
    assert increment.since_snapshot(catalog, None).matches is None
    assert increment.since_snapshot(catalog, first).empty
    append("b", 1)
    newest = append("c", 2)
    came = increment.since_snapshot(catalog, first)
    assert (came.matches, came.snapshot_id) == (frozenset(("b", "c")), newest)
    assert (came.since, came.until) == (NOON + timedelta(days=1), NOON + timedelta(days=2))
    # As maintenance does: the same rows in another file, by a commit that appends nothing.
    with table.transaction() as change, change.update_snapshot().overwrite() as rewrite:
        for file in _dataframe_to_data_files(change.table_metadata, table.scan().to_arrow(), table.io):
            rewrite.append_data_file(file)
        for task in table.scan().plan_files():
            rewrite.delete_data_file(task.file)
    assert increment.since_snapshot(catalog, newest).matches == frozenset()
    # A snapshot that is not known: everything is to be done.
    assert increment.since_snapshot(catalog, 1).matches is None
    ranged = increment.in_range(catalog, NOON + timedelta(hours=1), NOON + timedelta(days=1, hours=1))
    assert ranged.matches == frozenset("b")


@pytest.mark.stack
def test_a_change_of_the_avsc_file_comes_to_the_table_and_old_snapshots_stay_readable(
    lake: Settings, catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = tables.spec(NAME)
    land(catalog, NAME, games("a"), AlwaysTrue(), "audit-1")
    before = publish(catalog, NAME, "audit-1")
    for file in schemas.LAKE.glob("*.avsc"):
        raw = json.loads(file.read_text())
        if raw["table"] == NAME:
            new = {
                "name": "surrendered",
                "type": ["null", "boolean"],
                "unit": "none",
                "doc": "Whether it did.",
            }
            raw["fields"].insert(5, new)
        (tmp_path / file.name).write_text(json.dumps(raw))
    monkeypatch.setattr(schemas, "LAKE", tmp_path)
    schemas.lake_records.cache_clear()
    try:
        [change] = tables.plan(lake, [spec])
        assert change.detail == "add surrendered boolean; place surrendered after started"
        tables.apply(lake, [change], [spec])
        assert tables.plan(lake, [spec]) == []
        land(catalog, NAME, games("b", surrendered=True), by("b"), "audit-2")
        publish(catalog, NAME, "audit-2")
    finally:
        monkeypatch.undo()
        schemas.lake_records.cache_clear()
    table = catalog.load_table(NAME)
    now = table.scan().to_arrow().sort_by("match_id")
    assert now.column_names[5] == "surrendered"
    assert now["surrendered"].to_pylist() == [None, None, True, True]
    then = table.scan(snapshot_id=before).to_arrow()
    assert "surrendered" not in then.column_names
    assert then["match_id"].to_pylist() == ["a", "a"]
    # The file as it was would drop the column: that is refused, not done.
    assert [change.action for change in tables.plan(lake, [spec])] == ["refuse"]


def test_every_table_has_a_suite_of_its_own_columns() -> None:
    assert set(audit.suites()) == {spec.name for spec in TABLES}
    for spec in TABLES:
        suite = audit.suite(spec.name)
        assert suite.name == spec.name
        assert set(suite.columns) <= {field.name for field in spec.fields}
        assert len(suite.expectations) >= 5
        used = {
            one["$PARAMETER"]
            for expectation in suite.expectations
            for one in expectation["kwargs"].values()
            if isinstance(one, dict)
        }
        assert used == set(suite.parameters)


@pytest.mark.parametrize("name", ["features.match_state", "processed.matches"])
def test_a_first_suite_asks_for_what_the_record_must_have(name: str) -> None:
    first = json.loads(audit.draft(name))
    kept = audit.suite(name)
    assert (first["name"], tuple(first["meta"]["keys"])) == (name, kept.keys)
    nulls = {one["kwargs"]["column"] for one in first["expectations"] if "not_be_null" in one["type"]}
    assert nulls == {one["kwargs"]["column"] for one in kept.expectations if "not_be_null" in one["type"]}


def test_a_table_without_a_suite_is_told() -> None:
    with pytest.raises(RiftError, match=r"no audit of raw\.nothing"):
        audit.suite("raw.nothing")
