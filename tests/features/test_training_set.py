"""Training sets hold what was known at the time and nothing later, and read no more than they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.training_set import Part, Report, parts_of, training_set
from riftstream.errors import RiftError

START = datetime(2017, 6, 1, tzinfo=UTC)
TABLE = "features.player_form"
PART = Part(TABLE, ("player_id",), {"kills_mean": "kills"}, ttl=timedelta(hours=24), order=("games",))

Row = dict[str, Any]


def at(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def told(player: str, ms: int, value: float, games: int = 1) -> Row:
    return {"player_id": player, "event_time": at(ms), "kills_mean": value, "games": games}


def asked(player: str, ms: int) -> Row:
    return {"player_id": player, "event_time": at(ms), "label": ms % 2}


@dataclass
class Taken:
    """Rows of a range of a table in memory."""

    rows: pa.RecordBatchReader
    files: int = 1
    files_in_table: int = 1
    bytes: int = 1
    bytes_in_table: int = 2


class Memory:
    """Tables in memory that remember what was asked of them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        schema = pa.schema(
            [
                ("player_id", pa.string()),
                ("event_time", pa.timestamp("us", "UTC")),
                ("kills_mean", pa.float64()),
                ("games", pa.int64()),
            ]
        )
        self.table = pa.Table.from_pylist(list(rows), schema=schema)
        self.asked: list[tuple[str, tuple[str, ...], datetime | None, datetime | None]] = []

    def __call__(
        self, name: str, columns: Sequence[str], since: datetime | None, until: datetime | None
    ) -> Taken:
        self.asked.append((name, tuple(columns), since, until))
        chosen = self.table
        if since is not None:
            chosen = chosen.filter(pc.greater_equal(chosen["event_time"], since))
        if until is not None:
            chosen = chosen.filter(pc.less(chosen["event_time"], until))
        return Taken(chosen.select(list(columns)).to_reader())


def values(rows: Sequence[Row], spine: Sequence[Row], folder: Path, **more: Any) -> list[Any]:
    """The value that each row of the spine gets."""
    out = folder / "set.parquet"
    training_set([PART], pa.Table.from_pylist(list(spine)), Memory(rows), out, **more)
    found: list[Any] = pq.read_table(out)["kills"].to_pylist()
    return found


def test_a_value_shows_from_its_own_time_on_and_not_a_millisecond_before(tmp_path: Path) -> None:
    rows = [told("a", 1000, 1.0), told("a", 5000, 2.0)]
    spine = [asked("a", ms) for ms in (999, 1000, 4999, 5000, 5001)]
    assert values(rows, spine, tmp_path) == [None, 1.0, 1.0, 2.0, 2.0]


def test_a_value_changed_one_millisecond_after_the_spines_time_does_not_show(tmp_path: Path) -> None:
    rows = [told("a", 1000, 1.0)]
    spine = [asked("a", 4000)]
    before = values(rows, spine, tmp_path)
    assert values([*rows, told("a", 4001, 99.0, games=2)], spine, tmp_path) == before == [1.0]


def test_planted_rows_of_the_future_change_nothing(tmp_path: Path) -> None:
    rows = [told(player, ms, ms / 1000) for player in "abc" for ms in range(0, 50_000, 700)]
    spine = [asked(player, ms) for player in "abcd" for ms in range(0, 25_000, 900)]
    future = [told(player, ms, -1.0) for player in "abcd" for ms in range(24_301, 90_000, 500)]
    assert max(row["event_time"] for row in spine) < min(row["event_time"] for row in future)
    kept = [row for row in rows if row["event_time"] < at(24_301)]
    assert values([*kept, *future], spine, tmp_path) == values(rows, spine, tmp_path)


def test_a_value_older_than_the_time_to_live_is_none(tmp_path: Path) -> None:
    day = 86_400_000
    spine = [asked("a", day), asked("a", day + 1)]
    assert values([told("a", 0, 1.0)], spine, tmp_path) == [1.0, None]


def test_of_rows_with_the_same_time_the_order_decides(tmp_path: Path) -> None:
    rows = [told("a", 0, 2.0, games=3), told("a", 0, 1.0, games=2), told("a", 0, 3.0, games=1)]
    assert values(rows, [asked("a", 5)], tmp_path) == [2.0]


def test_of_others_nothing_is_told(tmp_path: Path) -> None:
    assert values([told("a", 0, 1.0)], [asked("b", 5)], tmp_path) == [None]


moments = st.integers(0, 400)
players = st.sampled_from("abc")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(players, moments, st.integers(1, 3)), unique=True),
    st.lists(st.tuples(players, moments), min_size=1),
    st.integers(1, 7),
)
def test_a_set_equals_plain_python_whatever_its_slices(
    tmp_path_factory: pytest.TempPathFactory,
    given_rows: list[tuple[str, int, int]],
    given_spine: list[tuple[str, int]],
    slice_rows: int,
) -> None:
    rows = [told(player, ms, float(n), games) for n, (player, ms, games) in enumerate(given_rows)]
    spine = sorted((asked(player, ms) for player, ms in given_spine), key=lambda row: row["event_time"])
    expected = []
    for row in spine:
        known = [r for r in rows if r["player_id"] == row["player_id"]]
        known = [r for r in known if r["event_time"] <= row["event_time"]]
        newest = max(known, key=lambda r: (r["event_time"], r["games"]), default=None)
        expected.append((row["player_id"], row["event_time"], newest and newest["kills_mean"]))
    out = tmp_path_factory.mktemp("set") / "set.parquet"
    report = training_set([PART], pa.Table.from_pylist(spine), Memory(rows), out, slice_rows=slice_rows)
    table = pq.read_table(out)
    found = list(
        zip(
            table["player_id"].to_pylist(),
            table["event_time"].to_pylist(),
            table["kills"].to_pylist(),
            strict=True,
        )
    )

    def by_row(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (row[1], row[0])

    assert sorted(found, key=by_row) == sorted(expected, key=by_row)
    assert report.rows == len(spine)
    assert report.missing[TABLE] == sum(value is None for _, _, value in expected)


def test_only_the_range_and_the_columns_that_are_needed_are_asked_for(tmp_path: Path) -> None:
    memory = Memory([told("a", 0, 1.0)])
    spine = pa.Table.from_pylist([asked("a", ms) for ms in (7_000, 90_000)])
    report = training_set([PART], spine, memory, tmp_path / "set.parquet")
    day = timedelta(hours=24)
    assert memory.asked == [
        (
            TABLE,
            ("player_id", "event_time", "games", "kills_mean"),
            at(7_000) - day,
            at(90_000) + timedelta(microseconds=1),
        )
    ]
    assert report == Report(2, {TABLE: 0}, {TABLE: 1}, {TABLE: 2}, {TABLE: 1}, {TABLE: 1})


def test_a_spine_may_be_a_file_with_milliseconds_and_other_names_of_keys(tmp_path: Path) -> None:
    spine = tmp_path / "spine.parquet"
    when = [int(at(ms).timestamp() * 1000) for ms in (2_000, 1_000)]
    pq.write_table(pa.table({"started": when, "blue_top": ["a", "a"], "won": [True, False]}), spine)
    part = Part(
        TABLE, ("player_id",), {"kills_mean": "blue_top_kills"}, order=("games",), spine_keys=("blue_top",)
    )
    rows = [told("a", 1_500, 2.0), told("a", 500, 1.0)]
    out = tmp_path / "set.parquet"
    training_set([part], spine, Memory(rows), out, time="started")
    assert pq.read_table(out).to_pylist() == [
        {"started": when[1], "blue_top": "a", "won": False, "blue_top_kills": 1.0},
        {"started": when[0], "blue_top": "a", "won": True, "blue_top_kills": 2.0},
    ]


def test_a_name_that_the_spine_has_is_told_apart(tmp_path: Path) -> None:
    part = Part(TABLE, ("player_id",), {"games": "games"}, order=("games",))
    spine = pa.Table.from_pylist([asked("a", 5) | {"games": 70}])
    out = tmp_path / "set.parquet"
    training_set([part], spine, Memory([told("a", 0, 1.0, games=3)]), out)
    [row] = pq.read_table(out).to_pylist()
    assert (row["games"], row["player_form__games"]) == (70, 3)


def test_a_spine_without_a_key_is_told_what_it_lacks(tmp_path: Path) -> None:
    spine = pa.table({"event_time": [1]})
    with pytest.raises(RiftError, match=r"no column player_id\. It has: event_time"):
        training_set([PART], spine, Memory([]), tmp_path / "set.parquet")


@dataclass(frozen=True)
class View:
    """A view as declared."""

    table: str
    keys: tuple[str, ...] = ("player_id",)
    ttl: timedelta = timedelta(days=60)
    order: tuple[str, ...] = ("games",)


@dataclass(frozen=True)
class Feature:
    """A feature as declared."""

    name: str


class Service:
    """A service of two views."""

    parts = (
        (View("features.a"), Feature("games")),
        (View("features.b", ("team",)), Feature("games")),
        (View("features.a"), Feature("form")),
    )
    names = ("a__games", "b__games", "form")


def test_a_service_takes_each_table_once_under_the_names_of_its_features() -> None:
    days = timedelta(days=60)
    assert parts_of(Service()) == [
        Part("features.a", ("player_id",), {"games": "a__games", "form": "form"}, days, ("games",)),
        Part("features.b", ("team",), {"games": "b__games"}, days, ("games",)),
    ]
