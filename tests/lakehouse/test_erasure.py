"""A person who is erased is in no file of the lake any more, and nobody else is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import Table

from lakehouse import erasure, person, snapshots, tables
from lakehouse.tables import TABLES

NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)
GONE, STAYS = "TSM Bjergsen", "SKT Faker"
SPECS = {spec.name: spec for spec in TABLES}
EVENTS, FORMS = "raw.match_events", "features.player_form"
LETTERS = "raw.kept_letters"
LETTER = pa.schema(
    [
        ("dead_letter_id", pa.string()),
        ("detail", pa.string()),
        ("record_value", pa.binary()),
        ("n", pa.int64()),
    ]
)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A lake in which two players are in everything that can name one, in several files and snapshots."""
    found = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    specs = [SPECS[EVENTS], SPECS[FORMS]]
    tables.apply_in(found, tables.plan_in(found, specs), specs)
    events = found.load_table(EVENTS)
    put(events, [event(1, player_id=GONE, victim_id=STAYS), event(2, player_id=STAYS, victim_id=GONE)])
    put(events, [event(3, player_id=STAYS, victim_id="x", assist_ids=[STAYS, GONE]), event(4)])
    put(
        events,
        [
            event(5, event_type="MATCH_START", blue_players=["", GONE], red_players=[STAYS, "x"]),
            event(6, event_type="PLAYER_STATS", player_id=GONE),
            event(7, event_type="PLAYER_STATS", player_id=STAYS),
        ],
    )
    forms = found.load_table(FORMS)
    for n, player in enumerate((GONE, STAYS, GONE, STAYS)):
        put(forms, [{"player_id": player, "event_time": NOON + timedelta(days=n), "games": n}])
    letters = found.create_table(LETTERS, LETTER)
    put(
        letters,
        [
            {"n": 1, "record_value": b"\x18" + GONE.encode() + b"\x02"},
            {"n": 2, "detail": json.dumps({"player": GONE, "by": STAYS})},
            {"n": 3, "detail": "no player", "record_value": b"\x00"},
        ],
    )
    return found


def event(offset: int, **more: Any) -> dict[str, Any]:
    base = {"event_id": f"e{offset}", "match_id": "LEC/1", "event_time": NOON, "league": "LEC"}
    return base | {"event_type": "CHAMPION_KILL", "source_partition": 0, "source_offset": offset} | more


def put(table: Table, rows: list[dict[str, Any]], branch: str = "main") -> None:
    table.append(pa.Table.from_pylist(rows, schema=table.schema().as_arrow()), branch=branch)


def everything(folder: Path) -> bytes:
    """All rows of all Parquet files of a lake, as text, and all its manifests."""
    texts = [json.dumps(pq.read_table(file).to_pylist(), default=repr) for file in folder.rglob("*.parquet")]
    return "\n".join(texts).encode()


def rows(catalog: Catalog, name: str, *columns: str, order: str = "source_offset") -> list[dict[str, Any]]:
    found = catalog.load_table(name).scan().to_arrow().sort_by(order)
    return list(found.select(columns).to_pylist())


def test_nothing_of_the_person_is_left_and_everyone_else_is(catalog: Catalog, tmp_path: Path) -> None:
    assert GONE.encode() in everything(tmp_path)
    done = {one.table: one for one in erasure.erase(catalog, GONE)}
    assert all(one.named and one.files_read for one in done.values())
    assert GONE.encode() not in everything(tmp_path)
    assert {name: (one.rows_removed, one.rows_altered) for name, one in done.items()} == {
        EVENTS: (1, 4),
        FORMS: (2, 0),
        LETTERS: (1, 1),
    }
    assert not any(one.left for one in done.values())
    kept = rows(catalog, EVENTS, "player_id", "victim_id", "assist_ids", "blue_players", "red_players")
    assert [tuple(one.values()) for one in kept] == [
        (None, STAYS, None, None, None),
        (STAYS, None, None, None, None),
        (STAYS, "x", [STAYS, ""], None, None),
        (None, None, None, None, None),
        (None, None, None, ["", ""], [STAYS, "x"]),
        (STAYS, None, None, None, None),
    ]
    assert rows(catalog, FORMS, "player_id", order="games") == [{"player_id": STAYS}] * 2
    assert json.loads(rows(catalog, LETTERS, "detail", order="n")[0]["detail"]) == {"player": "", "by": STAYS}


def test_snapshots_that_held_the_person_are_gone_with_their_manifests(catalog: Catalog) -> None:
    table = catalog.load_table(EVENTS)
    old = table.snapshots()[0].snapshot_id
    table.manage_snapshots().create_tag(old, "report").commit()
    before = {snapshot.snapshot_id for snapshot in table.snapshots()}
    [done] = [one for one in erasure.erase(catalog, GONE) if one.table == EVENTS]
    assert done.tags == ("report",)
    table.refresh()
    assert not before & {snapshot.snapshot_id for snapshot in table.snapshots()}
    bounds = [
        bound
        for snapshot in table.snapshots()
        for manifest in snapshot.manifests(table.io)
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
        for bound in [*entry.data_file.lower_bounds.values(), *entry.data_file.upper_bounds.values()]
    ]
    assert STAYS.encode() in bounds and GONE.encode() not in bounds
    left = {file.location for file in snapshots.stored(table) if not file.location.endswith(".json")}
    assert left == snapshots.references(table, table.snapshots())


def test_snapshots_from_before_the_person_came_stay(catalog: Catalog) -> None:
    table = catalog.load_table(FORMS)
    table.delete("player_id = 'TSM Bjergsen'")
    put(table, [{"player_id": STAYS, "event_time": NOON, "games": 9}])
    erasure.erase(catalog, GONE)
    put(table, [{"player_id": GONE, "event_time": NOON, "games": 10}])
    table.refresh()
    clean = table.snapshots()[-2].snapshot_id
    erasure.erase(catalog, GONE)
    table.refresh()
    assert clean in {snapshot.snapshot_id for snapshot in table.snapshots()}
    assert sorted(table.scan(snapshot_id=clean).to_arrow()["games"].to_pylist()) == [1, 3, 9]
    assert clean in {snapshot.snapshot_id for snapshot in snapshots.history(table)}


def test_branches_and_lost_files_are_cleaned_too(catalog: Catalog, tmp_path: Path) -> None:
    table = catalog.load_table(FORMS)
    current = table.current_snapshot()
    assert current is not None
    table.manage_snapshots().create_branch(current.snapshot_id, "audit").commit()
    put(table, [{"player_id": GONE, "event_time": NOON, "games": 20}], branch="audit")
    put(table, [{"player_id": STAYS, "event_time": NOON, "games": 21}], branch="audit")
    lost = tmp_path / "lost.parquet"
    pq.write_table(pa.table({"who": [GONE]}), lost)
    with table.io.new_output(f"{table.location()}/data/lost.parquet").create() as stream:
        stream.write(lost.read_bytes())
    lost.unlink()
    [done] = [one for one in erasure.erase(catalog, GONE) if one.table == FORMS]
    assert [Path(left).name for left in done.left] == ["lost.parquet"], "a writer may commit it yet"
    again = erasure.erase(catalog, GONE, now=datetime.now(UTC) + timedelta(hours=2))
    assert not any(one.left for one in again)
    assert GONE.encode() not in everything(tmp_path)
    table.refresh()
    assert sorted(table.scan().use_ref("audit").to_arrow()["games"].to_pylist()) == [1, 3, 21]


def test_a_second_erasure_finds_nothing_to_do(catalog: Catalog) -> None:
    erasure.erase(catalog, GONE)
    versions = [catalog.load_table(name).metadata_location for name in (EVENTS, FORMS, LETTERS)]
    assert not any(one.named for one in erasure.erase(catalog, GONE))
    assert [catalog.load_table(name).metadata_location for name in (EVENTS, FORMS, LETTERS)] == versions


def test_rows_of_a_person_are_found_in_every_table(catalog: Catalog) -> None:
    found = erasure.find(catalog, GONE)
    assert {name: rows.num_rows for name, rows in found.items()} == {EVENTS: 5, FORMS: 2, LETTERS: 2}
    assert erasure.find(catalog, "TSM") == {}, "a part of a name is another name"


def test_the_record_tells_what_was_done_and_no_name(catalog: Catalog) -> None:
    begun = erasure.begin(GONE, timedelta(days=7), NOON)
    begun.tables.extend(erasure.erase(catalog, GONE))
    erasure.record(catalog, begun)
    [row] = catalog.load_table(tables.ERASURES).scan().to_arrow().to_pylist()
    assert (row["complete"], row["rows_removed"], row["rows_altered"]) == (True, 4, 5)
    assert row["topics_clear_at"] == NOON + timedelta(days=7)
    assert GONE not in json.dumps(row, default=str)


PEOPLE = st.sampled_from(["", "a", "ab", 'a"', None])
LISTS = st.none() | st.lists(PEOPLE, max_size=4)


@given(st.lists(st.tuples(PEOPLE, PEOPLE, LISTS), max_size=8))
def test_rows_without_a_person_do_not_name_them_and_keep_everyone_else(given_rows: list[Any]) -> None:
    schema = pa.schema(
        [("player_id", pa.string()), ("note", pa.string()), ("assist_ids", pa.list_(pa.string()))]
    )
    rows = pa.Table.from_pylist(
        [dict(zip(schema.names, one, strict=True)) for one in given_rows], schema=schema
    )
    kept, gone, altered = person.without(rows, "a")
    assert (kept.num_rows, gone, kept.schema) == (rows.num_rows, 0, schema)
    assert not any(person.naming(kept, "a").to_pylist())
    assert altered == sum(person.naming(rows, "a").to_pylist())
    for before, after in zip(rows.to_pylist(), kept.to_pylist(), strict=True):
        for column in ("player_id", "note"):
            assert after[column] == (None if before[column] == "a" else before[column])
        assert after["assist_ids"] == (
            before["assist_ids"] and ["" if one == "a" else one for one in before["assist_ids"]]
        )
