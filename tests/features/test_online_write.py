"""What is written to Redis: Feast reads the same, the newest event is there at the end, nothing is lost."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from feast import FeatureStore
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features import layout, repo
from features.online_write import RedisAway, RedisWriter
from features.repo import definitions
from features.transcode import Transcoder, check
from features.views import ENTITIES, VIEWS, View, find_view
from riftstream.errors import SchemaError
from streams.avro import Codec
from tests.features.conftest import RedisServer
from tests.features.every import CODEC, EVERY, SCHEMA, newest, records

ROW = Transcoder(EVERY, CODEC).row


@pytest.fixture(scope="module")
def feast(online_store: RedisServer) -> FeatureStore:
    """Stock Feast that knows the view of every type."""
    made = repo.store(online_store.settings)
    made.apply([definitions.project, definitions.entity_of(ENTITIES["player"]), definitions.view_of(EVERY)])
    return made


@pytest.fixture
def writer(redis_server: RedisServer) -> Iterator[RedisWriter]:
    made = RedisWriter(redis_server.settings)
    yield made
    made.close()


def write(writer: RedisWriter, rows: list[dict[str, Any]], view: View = EVERY, codec: Codec = CODEC) -> int:
    """Write records in one go; gives how many were the newest."""
    row = ROW if view is EVERY else Transcoder(view, codec).row
    packed = writer.pack(
        (view, (record["event_time"], *(record[name] for name in view.order)), row(codec.encode(record)))
        for record in rows
    )
    writer.send(packed)
    return writer.settle()


def as_feast_gives(field: Any, value: Any) -> Any:
    if value is None or not field.logical:
        return value
    return datetime.fromtimestamp(value // 1000, UTC)


def read(feast: FeatureStore, players: list[str]) -> list[dict[str, Any]]:
    """What stock Feast gives for some players."""
    names = [field.name for field in EVERY.features]
    found = feast.get_online_features(
        [f"every:{name}" for name in names], [{"player_id": player} for player in players]
    ).to_dict()
    return [{name: found[name][place] for name in names} for place in range(len(players))]


def normal(value: Any) -> Any:
    """Feast gives times without a zone, and lists as it likes."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return value


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(records(), min_size=1, max_size=8))
def test_stock_feast_reads_back_what_was_written_for_every_type(
    feast: FeatureStore, online_store: RedisServer, rows: list[dict[str, Any]]
) -> None:
    online_store.client().flushall()
    writer = RedisWriter(online_store.settings)
    write(writer, rows)
    writer.close()
    expected = newest(rows)
    for player, found in zip(expected, read(feast, list(expected)), strict=True):
        for field in EVERY.features:
            assert normal(found[field.name]) == as_feast_gives(field, expected[player][field.name]), field


def simple(time_ms: int, offset: int, kills: int, player: str = "Faker") -> dict[str, Any]:
    required = {"string": "", "int": 0, "long": 0, "double": 0.0, "boolean": False, "bytes": b""}
    record = {field.name: required.get(field.type, []) for field in SCHEMA.fields if not field.nullable}
    return record | {"player_id": player, "event_time": time_ms, "source_offset": offset, "plain_2": kills}


def kills(redis_server: RedisServer, player: str = "Faker") -> Any:
    key = layout.KeyMaker(["player_id"]).key(player.encode())
    held: Any = redis_server.client().execute_command("HGET", key, layout.feature_field("every", "plain_2"))
    return None if held is None else layout.value_of(held)


def test_the_newest_event_is_there_in_whatever_order_they_came(
    writer: RedisWriter, redis_server: RedisServer
) -> None:
    rows = [simple(1_000, 5, 1), simple(2_000, 3, 2), simple(2_000, 4, 3)]
    for order in itertools.permutations([*rows, rows[0]]):
        redis_server.client().flushall()
        for row in order:
            write(writer, [row])
        assert kills(redis_server) == 3
        redis_server.client().flushall()
        write(writer, list(order))
        assert kills(redis_server) == 3


def test_a_row_that_is_written_twice_changes_nothing(writer: RedisWriter, redis_server: RedisServer) -> None:
    write(writer, [simple(1_000, 1, 1)])
    key = layout.KeyMaker(["player_id"]).key(b"Faker")
    before = redis_server.client().hgetall(key)
    write(writer, [simple(1_000, 1, 1)] * 3)
    assert redis_server.client().hgetall(key) == before


def test_an_older_row_is_told_apart_from_a_newer_one(writer: RedisWriter) -> None:
    assert write(writer, [simple(2_000, 1, 1), simple(1_000, 2, 2), simple(3_000, 0, 3)]) == 2


def test_a_row_that_feast_wrote_is_kept_only_while_it_is_the_newer_one(
    feast: FeatureStore, writer: RedisWriter, redis_server: RedisServer
) -> None:
    import pandas as pd

    row = simple(0, 0, 7)
    frame = pd.DataFrame([{name: row.get(name) for name in ("player_id", *(f.name for f in EVERY.features))}])
    frame["event_time"] = pd.Timestamp(5_000, unit="ms", tz="UTC")
    for name in ("time_0", "time_1"):
        frame[name] = pd.Timestamp(5_000, unit="ms", tz="UTC")
    feast.write_to_online_store("every", frame)
    assert kills(redis_server) == 7
    write(writer, [simple(4_999, 9, 1)])
    assert kills(redis_server) == 7
    write(writer, [simple(5_001, 0, 2)])
    assert kills(redis_server) == 2


def test_two_views_of_a_player_live_in_one_hash_and_leave_each_other_alone(
    writer: RedisWriter, redis_server: RedisServer
) -> None:
    form = find_view("player_form")
    codec = Codec(form.schema, 1)
    record = {"player_id": "Faker", "as_of": 0, "match_id": "LCK/1", "games": 3, "wins": 2}
    record |= {"kills": 9, "deaths": 1, "assists": 4, "event_time": 10, "source_partition": 0}
    write(writer, [simple(1_000, 1, 5)])
    write(writer, [record | {"source_offset": 1}], form, codec)
    write(writer, [simple(2_000, 2, 6)])
    key = layout.KeyMaker(["player_id"]).key(b"Faker")
    held = redis_server.client().hgetall(key)
    assert redis_server.client().dbsize() == 1
    assert layout.milliseconds(held[b"_ts:every"]) == 2_000
    assert layout.milliseconds(held[b"_ts:player_form"]) == 10
    assert layout.value_of(held[layout.feature_field("player_form", "kills")]) == 9
    # The entity is forgotten when no view may be used any more: the longer time to live counts.
    assert form.ttl.total_seconds() - 60 < redis_server.client().ttl(key) <= form.ttl.total_seconds()


def test_a_writer_goes_on_when_redis_comes_back(writer: RedisWriter, redis_server: RedisServer) -> None:
    write(writer, [simple(1_000, 1, 1)])
    redis_server.kill()
    with pytest.raises(RedisAway):
        write(writer, [simple(2_000, 2, 2)])
    redis_server.start()
    write(writer, [simple(2_000, 2, 2)])
    assert kills(redis_server) == 2


def test_a_flushed_script_is_loaded_again(writer: RedisWriter, redis_server: RedisServer) -> None:
    write(writer, [simple(1_000, 1, 1)])
    redis_server.client().script_flush()
    with pytest.raises(RedisAway):
        write(writer, [simple(2_000, 2, 2)])
    write(writer, [simple(2_000, 2, 2)])
    assert kills(redis_server) == 2


def test_a_reader_never_sees_half_a_row(redis_server: RedisServer) -> None:
    """Every value of a row is the row's number; one writer, one reader that looks as often as it can."""
    key = layout.KeyMaker(["player_id"]).key(b"Faker")
    fields = [layout.feature_field("every", name) for name in ("plain_1", "plain_2", "null_1", "null_2")]
    stop = threading.Event()

    def work() -> None:
        writer = RedisWriter(redis_server.settings)
        for number in itertools.count(1):
            if stop.is_set():
                break
            row = simple(number, number, number) | dict.fromkeys(("plain_1", "null_1", "null_2"), number)
            write(writer, [row])
        writer.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        client, seen = redis_server.client(), set()
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            values = client.hmget(key, fields)
            if values[0] is not None:
                seen.add(len({layout.value_of(value) for value in values}))
        assert seen == {1}
    finally:
        stop.set()
        thread.join()


def test_shuffled_rows_of_many_players_end_the_same(writer: RedisWriter, redis_server: RedisServer) -> None:
    chance = random.Random(5)  # noqa: S311
    rows = [simple(chance.randrange(50), chance.randrange(9), n, f"p{n % 7}") for n in range(400)]
    unique = list({(r["player_id"], r["event_time"], r["source_offset"]): r for r in rows}.values())
    expected = {player: row["plain_2"] for player, row in newest(unique).items()}
    for _ in range(3):
        chance.shuffle(unique)
        redis_server.client().flushall()
        write(writer, unique)
        assert {player: kills(redis_server, player) for player in expected} == expected


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_the_record_of_every_view_can_carry_it(view: View) -> None:
    check(view)


def test_a_frame_of_another_schema_version_is_read_as_what_it_is() -> None:
    older = Codec(SCHEMA, 6)
    row = simple(1_000, 1, 5)
    reader = Codec(SCHEMA, 7, writer_schema=lambda _: SCHEMA.text)
    assert Transcoder(EVERY, reader).row(older.encode(row)) == ROW(CODEC.encode(row))


def test_bytes_that_are_no_record_are_refused() -> None:
    frame = CODEC.encode(simple(1_000, 1, 5))
    for broken in (b"", b"\x00", frame[:-1], frame + b"\x00", b"\x01" + frame[1:], frame[:30]):
        with pytest.raises(SchemaError, match="not a Every"):
            ROW(broken)


def test_text_that_is_not_utf8_is_refused() -> None:
    frame = CODEC.encode(simple(1_000, 1, 5) | {"plain_0": "abc"})
    with pytest.raises(SchemaError, match="not a Every"):
        ROW(frame.replace(b"abc", b"\xffbc"))
