"""Reading vectors: the values that are there, in the model's order, with their age."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features import online_write, views
from features.online import OnlineReader, State
from features.online_write import RedisWriter
from features.transcode import Transcoder
from features.views import Service, find_view
from models import vector
from riftstream.errors import FeatureError, StackError
from streams.avro import Codec
from streams.clock import now_ms
from tests.features.conftest import RedisServer

STATE, FORM, WINDOW = (find_view(name) for name in ("match_state", "player_form", "player_window"))
SERVICE = "win_probability_v1"


def record(view: views.View, key: str, event_time: int, **values: Any) -> dict[str, Any]:
    """A record of a view with ones where nothing else is said and a value is needed."""
    plain = {"string": "x", "long": 1, "int": 1, "double": 1.0, "boolean": True}
    made = {field.name: plain[field.type] for field in view.schema.fields if not field.nullable}
    return made | {view.keys[0]: key, "event_time": event_time} | values


def write(settings: Any, *rows: tuple[views.View, dict[str, Any]]) -> None:
    writer = RedisWriter(settings)
    views_of = {view.name: view for view, _ in rows}
    codecs = {name: Codec(view.schema, 1) for name, view in views_of.items()}
    transcoders = {name: Transcoder(view, codecs[name]) for name, view in views_of.items()}
    packed = writer.pack(
        (
            view,
            (row["event_time"], *(row[name] for name in view.order)),
            transcoders[view.name].row(codecs[view.name].encode(row)),
        )
        for view, row in rows
    )
    writer.send(packed)
    writer.settle()
    writer.close()


@pytest.fixture
def reader(redis_server: RedisServer) -> Iterator[OnlineReader]:
    made = OnlineReader(redis_server.settings)
    yield made
    made.close()


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service over three views and two entities."""
    names = ("match_state:gold_diff", "player_form:form", "player_window:kills", "player_form:kills")
    made = Service("both", "none", names, "For these tests.")
    monkeypatch.setattr(views, "SERVICES", (*views.SERVICES, made))
    views.find_service.cache_clear()
    return made


def test_a_vector_is_the_one_that_the_model_makes_from_the_record(
    reader: OnlineReader, redis_server: RedisServer
) -> None:
    rows = [
        record(
            STATE, f"LCK/{n}", now_ms(), gold_blue=1000 * n, gold_red=None, kills_diff=-n, clock_ms=60_000 * n
        )
        for n in range(200)
    ]
    write(redis_server.settings, *((STATE, row) for row in rows))
    found = reader.get(SERVICE, [row["match_id"] for row in rows])
    filled = [{field.name: row.get(field.name) for field in STATE.schema.fields} for row in rows]
    np.testing.assert_array_equal(found.matrix, vector.from_records(filled, found.service.names))
    assert found.matrix.dtype == np.float32
    assert found.rows[3]["gold_blue"] == 3000
    assert found.rows[3]["gold_red"] is None
    assert (found.state == State.PRESENT).all()


def test_what_is_missing_is_missing_and_what_is_old_says_how_old(
    reader: OnlineReader, redis_server: RedisServer
) -> None:
    day_ms = 24 * 3_600_000
    now = now_ms()
    write(
        redis_server.settings,
        (STATE, record(STATE, "new", now - 5_000)),
        (STATE, record(STATE, "old", now - day_ms - 60_000)),
    )
    found = reader.get(SERVICE, ["new", "old", "unknown"])
    assert found.state[:, 0].tolist() == [State.PRESENT, State.STALE, State.MISSING]
    new, old, unknown = found.age_ms[:, 0].tolist()
    assert 5_000 <= new < 60_000
    assert day_ms + 60_000 <= old < day_ms + 120_000
    assert unknown == -1
    assert np.isnan(found.matrix[2]).all()
    assert not np.isnan(found.matrix[1, 0])


def test_a_service_may_read_several_entities_at_once(
    reader: OnlineReader, redis_server: RedisServer, both: Service
) -> None:
    now = now_ms()
    write(
        redis_server.settings,
        (STATE, record(STATE, "LCK/1", now, gold_diff=-70)),
        (FORM, record(FORM, "Faker", now, form=0.75, kills=30)),
        (WINDOW, record(WINDOW, "Faker", now, kills=2)),
        (FORM, record(FORM, "Perkz", now, form=None, kills=4)),
    )
    found = reader.get("both", {"match_id": ["LCK/1", "LCK/1"], "player_id": ["Faker", "Perkz"]})
    assert found.service.names == ("gold_diff", "form", "player_window__kills", "player_form__kills")
    assert [tuple(row.values()) for row in found.rows] == [(-70, 0.75, 2, 30), (-70, None, None, 4)]
    assert found.state.tolist() == [[0, 0, 0], [0, 0, State.MISSING]]
    table = found.table
    assert table.column("form").to_pylist() == [0.75, None]
    assert table.column("player_window__state").to_pylist() == ["PRESENT", "MISSING"]
    assert table.column("player_id").to_pylist() == ["Faker", "Perkz"]


def test_a_view_can_be_read_whole_with_its_types(reader: OnlineReader, redis_server: RedisServer) -> None:
    start = 1_700_000_000_000
    row = record(WINDOW, "Faker", now_ms(), window_start=start, late=False, champion="Ahri", gold=None)
    write(redis_server.settings, (WINDOW, row))
    table = reader.get("player_window", ["Faker"]).table
    assert table.column("window_start").type == pa.timestamp("s", "UTC")
    assert table.column("window_start").to_pylist()[0].timestamp() == start / 1000
    assert table.column("late").to_pylist() == [False]
    assert table.column("champion").to_pylist() == ["Ahri"]
    assert table.column("gold").type == pa.int32()
    with pytest.raises(FeatureError, match="is no number"):
        _ = reader.get("player_window", ["Faker"]).matrix


@pytest.mark.parametrize(
    ("service", "entities", "words"),
    [
        (SERVICE, [], "From 1 to 1,000"),
        (SERVICE, ["x"] * 1001, "From 1 to 1,000"),
        (SERVICE, {"player_id": ["x"]}, "needs match_id"),
        ("both", ["x"], "needs match_id and player_id"),
        ("both", {"match_id": ["x"], "player_id": ["x", "y"]}, "different numbers"),
        ("nonsense", ["x"], "There is no feature service nonsense"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(
    reader: OnlineReader, both: Service, service: str, entities: Any, words: str
) -> None:
    with pytest.raises(FeatureError, match=words):
        reader.get(service, entities)


def test_a_reader_says_when_redis_is_away_and_reads_on_when_it_is_back(
    reader: OnlineReader, redis_server: RedisServer
) -> None:
    write(redis_server.settings, (STATE, record(STATE, "LCK/1", now_ms(), kills_diff=4)))
    assert reader.get(SERVICE, ["LCK/1"]).rows[0]["kills_diff"] == 4
    redis_server.kill()
    with pytest.raises(StackError, match="does not answer"):
        reader.get(SERVICE, ["LCK/1"])
    redis_server.start()
    assert reader.get(SERVICE, ["LCK/1"]).rows[0]["kills_diff"] == 4


def test_redis_forgets_an_entity_after_its_time_to_live(
    reader: OnlineReader, redis_server: RedisServer
) -> None:
    from dataclasses import replace
    from datetime import timedelta

    brief = replace(STATE, ttl=timedelta(milliseconds=300))
    write(redis_server.settings, (brief, record(STATE, "LCK/1", now_ms())))
    assert reader.get(SERVICE, ["LCK/1"]).state[0, 0] == State.PRESENT
    deadline = time.monotonic() + 10
    while reader.get(SERVICE, ["LCK/1"]).state[0, 0] != State.MISSING:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_places_sort_as_text_like_the_places_themselves() -> None:
    places = [(9, 10), (10, 9), (10, 10), (1_700_000_000_000, 0), (1_700_000_000_000, 2**60)]
    texts = [online_write.encode_place(place) for place in places]
    assert texts == sorted(texts)
