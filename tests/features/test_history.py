"""What the online store held at a moment is what its writer keeps of the rows that were told until then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.history import History, HistoryReader
from features.online import OnlineReader, State
from features.online_write import RedisWriter
from features.transcode import Transcoder
from features.views import find_view
from riftstream.errors import FeatureError
from streams.avro import Codec
from tests.features.conftest import RedisServer
from tests.features.test_training_set import Taken

FORM, PAIR = find_view("player_form"), find_view("head_to_head")
CODEC = Codec(FORM.schema, 7)
START = 1_700_000_000_000
PLAYERS = ("Faker", "Perkz")

Row = dict[str, Any]


def form(player: str, minute: int, games: int, **values: Any) -> Row:
    """A form as its topic tells it."""
    counts = dict.fromkeys(("wins", "kills", "deaths", "assists"), games)
    return {
        **{field.name: None for field in FORM.schema.fields},
        **counts,
        "player_id": player,
        "as_of": START + minute * 60_000,
        "match_id": f"M{minute}",
        "event_time": START + minute * 60_000 + 7,
        "source_partition": 0,
        "source_offset": minute,
        "games": games,
        "form": games / 8,
    } | values


def table(view: Any, rows: Sequence[Row], told: Sequence[int | None]) -> pa.Table:
    """Rows as the lake has them: times are timestamps, and each says when the broker had it (ms)."""

    def moment(ms: int | None) -> datetime | None:
        return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC)

    times = [field.name for field in view.schema.fields if field.logical]
    found = [
        {
            name: moment(value) if name in times else value
            for name, value in {**row, "log_time": time, "log_offset": offset}.items()
        }
        | {"log_time": moment(time)}
        for offset, (row, time) in enumerate(zip(rows, told, strict=True))
    ]
    kinds = {"string": pa.string(), "int": pa.int32(), "long": pa.int64(), "double": pa.float64()}
    fields = [
        (field.name, pa.timestamp("us", "UTC") if field.logical else kinds[field.type])
        for field in view.schema.fields
    ]
    log = [("log_time", pa.timestamp("us", "UTC")), ("log_offset", pa.int64())]
    return pa.Table.from_pylist(found, pa.schema([*fields, *log]))


def reader(at_ms: int, earlier: dict[str, int] | None = None, **tables: pa.Table) -> HistoryReader:
    def scan(name: str, columns: Sequence[str], since: Any, until: Any) -> Taken:
        assert since is until is None
        return Taken(tables[name.removeprefix("features.")].select(list(columns)).to_reader())

    return HistoryReader({}, scan, at_ms, earlier)


FORMS = st.builds(form, st.sampled_from(PLAYERS), st.integers(0, 4), st.integers(1, 4))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(FORMS, min_size=1, max_size=10), data=st.data())
def test_it_is_what_the_writer_leaves_in_redis_of_the_rows_told_until_then(
    online_store: RedisServer, rows: list[Row], data: st.DataObject
) -> None:
    until = data.draw(st.integers(0, len(rows)))
    online_store.client().flushall()
    writer = RedisWriter(online_store.settings)
    pack = Transcoder(FORM, CODEC).row
    for row in rows[:until]:
        writer.send(writer.pack([(FORM, (row["event_time"], row["games"]), pack(CODEC.encode(row)))]))
        writer.settle()
    writer.close()
    now = OnlineReader(online_store.settings)
    expected = now.get("player_form", PLAYERS)
    now.close()
    told = [START + 1000 * place for place in range(len(rows))]
    found = reader(START + 1000 * (until - 1), player_form=table(FORM, rows, told)).get(
        "player_form", PLAYERS
    )
    assert found.rows == expected.rows
    np.testing.assert_array_equal(found.event_time, expected.event_time)
    np.testing.assert_array_equal(found.state == State.MISSING, expected.state == State.MISSING)


def test_a_row_that_was_told_a_millisecond_later_does_not_show() -> None:
    rows = table(FORM, [form("Faker", 1, 1), form("Faker", 2, 2)], [START, START + 5000])
    games = [
        reader(at, player_form=rows).get("player_form", ["Faker"]).rows[0]["games"]
        for at in (START - 1, START, START + 4999, START + 5000)
    ]
    assert games == [None, 1, 1, 2]


def test_ages_are_those_of_then() -> None:
    at = START + 61 * 86_400_000
    found = reader(at, player_form=table(FORM, [form("Faker", 0, 1)], [START])).get("player_form", ["Faker"])
    assert (found.age_ms[0, 0], found.state[0, 0]) == (at - START - 7, State.STALE)


def test_a_view_can_be_read_as_of_an_earlier_moment_and_says_what_was_read_and_when_it_was_told() -> None:
    rows = table(FORM, [form("Faker", 1, 1), form("Faker", 2, 2)], [START, START + 5000])
    at = reader(START + 6000, {"player_form": START + 4000}, player_form=rows)
    assert at.get("player_form", ["Faker", "Perkz"]).rows[0]["games"] == 1
    assert at.read == {"player_form": {("Faker",), ("Perkz",)}}
    assert at.told("player_form", START - 1) == [START + 5000, START]
    assert at.told("player_form", START) == [START + 5000]


def test_keys_of_several_parts_are_told_apart() -> None:
    pair = {field.name: None for field in PAIR.schema.fields} | {"pair": "", "as_of": START, "match_id": "M"}
    rows = [
        {**pair, "team": team, "opponent": other, "event_time": START, "games": games, "wins": 0}
        for team, other, games in (("A", "B", 1), ("B", "A", 2), ("A", "C", 3))
    ]
    found = reader(START, head_to_head=table(PAIR, rows, [START] * 3)).get(
        "head_to_head", {"team": ["A", "B", "C"], "opponent": ["C", "A", "A"]}
    )
    assert [row["games"] for row in found.rows] == [3, 2, None]


def test_a_history_that_was_made_anew_does_not_guess_when_it_was_told() -> None:
    rows = table(FORM, [form("Faker", 1, 1), form("Perkz", 1, 1)], [None, START])
    assert reader(START, player_form=rows).get("player_form", ["Perkz"]).rows[0]["games"] == 1
    with pytest.raises(FeatureError, match="of Faker was made anew since"):
        reader(START, player_form=rows).get("player_form", ["Faker"])


def test_a_history_is_read_once() -> None:
    rows = table(FORM, [form("Faker", 1, 1)], [START])
    first = reader(START, player_form=rows)
    first.get("player_form", ["Faker"])
    (history,) = first._histories.values()
    assert isinstance(history, History)
    again = HistoryReader(first._histories, lambda *_: pytest.fail("it was read again"), START + 1)
    assert again.get("player_form", ["Faker"]).rows[0]["games"] == 1
