"""Events by HTTP: taken as a whole or refused with index and field, and never half taken in silence."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from riftstream.errors import DeliveryError
from riftstream.settings import get_settings
from streams import ingest, topics
from streams.avro import Codec
from streams.client import Producer
from streams.identity import identify
from streams.schemas import for_topic
from streams.topics import TopicSpec

URL = "/ingest/events"
JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/x-ndjson"}
AVRO = {"Content-Type": "application/vnd.riftstream.avro"}
SEQUENCE = {"Content-Type": "application/vnd.riftstream.avro-sequence"}
CODEC = Codec(for_topic("live-matches"), 7)


def event(**more: Any) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    base = {"event_id": uuid.uuid4().hex, "match_id": "LEC/1", "event_type": "PAUSE_START"}
    return base | {"event_time": now, "game_time_ms": 61_000} | more


class Log:
    """A log in memory that can run out of room, or leave records unconfirmed or failed, on purpose."""

    def __init__(
        self, room: int | None = None, confirm: bool = True, error: KafkaError | None = None
    ) -> None:
        self.codec = CODEC
        self.records: list[tuple[bytes | None, bytes | None]] = []
        self._room = room
        self._confirm = confirm
        self._error = error
        self._lock = threading.Lock()

    def send_bytes(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        on_delivery: Callable[[KafkaError | None], None] | None = None,
        patience: float | None = None,
    ) -> None:
        with self._lock:
            if self._room is not None and len(self.records) >= self._room:
                raise DeliveryError("Kafka took no more records.")
            self.records.append((value, key))
        if self._confirm and on_delivery is not None:
            on_delivery(self._error)

    def poll(self, timeout: float) -> None:
        time.sleep(min(timeout, 0.001))

    @property
    def events(self) -> list[dict[str, Any]]:
        return [set_fields(CODEC.decode(value or b"")) for value, _ in self.records]


def set_fields(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def app(log: Log) -> Starlette:
    return ingest.app(log)


def post(app: Starlette, body: Any, headers: dict[str, str] = JSON, query: str = "") -> httpx.Response:
    content = body if isinstance(body, bytes | AsyncIterator) else json.dumps(body).encode()

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.post(URL + query, content=content, headers=headers)

    return asyncio.run(call())


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The answer's problem, which must have what RFC 9457 asks for."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"].startswith("urn:riftstream:problem:")
    assert body["title"] and body["detail"]
    return body


def test_one_event_is_taken_with_its_match_as_key(app: Starlette, log: Log) -> None:
    sent = event()
    answer = post(app, sent)
    assert (answer.status_code, answer.json()) == (202, {"received": 1, "accepted": 1})
    assert log.events == [sent]
    assert [key for _, key in log.records] == [b"LEC/1"]


def test_many_events_are_taken_in_their_order(app: Starlette, log: Log) -> None:
    sent = [event(ordinal=n) for n in range(50)]
    assert post(app, sent).json() == {"received": 50, "accepted": 50}
    assert log.events == sent


def test_json_lines_are_taken_blank_ones_aside(app: Starlette, log: Log) -> None:
    sent = [event(), event()]
    body = "\n\n".join(map(json.dumps, sent)).encode() + b"\n"
    assert post(app, body, LINES).json() == {"received": 2, "accepted": 2}
    assert log.events == sent


def test_an_avro_frame_is_passed_on_byte_for_byte(app: Starlette, log: Log) -> None:
    frame = CODEC.encode(event(assist_ids=["a", "b"]))
    assert post(app, frame, AVRO).json() == {"received": 1, "accepted": 1}
    assert [value for value, _ in log.records] == [frame]


def test_a_sequence_of_avro_frames_is_taken(app: Starlette, log: Log) -> None:
    frames = CODEC.encode_batch([event(), event(), event()])
    body = b"".join(struct.pack(">I", len(frame)) + frame for frame in frames)
    assert post(app, body, SEQUENCE).json() == {"received": 3, "accepted": 3}
    assert [value for value, _ in log.records] == frames


def test_an_event_without_id_gets_the_same_one_each_time(app: Starlette, log: Log) -> None:
    sent = event(source="test", ordinal=3, player_id="p1")
    del sent["event_id"]
    post(app, sent)
    post(app, sent)
    post(app, CODEC.encode(sent), AVRO)
    assert log.events == 3 * [sent | {"event_id": identify(sent)}]


BAD = [
    ("unknown field", {"colour": "blue"}, "colour", "unknown_field"),
    ("wrong type", {"x": "left"}, "x", "wrong_type"),
    ("missing", {"match_id": None}, "match_id", "missing_match_id"),
    ("unknown type", {"event_type": "DANCE"}, "event_type", "unknown_event_type"),
    ("clock of days", {"game_time_ms": 10**8}, "game_time_ms", "clock_too_large"),
    ("in the future", {"event_time": 10**14}, "event_time", "event_time_in_future"),
    ("in seconds", {"event_time": 1_488_000_000}, "event_time", "event_time_too_old"),
    ("no id", {"event_id": None}, "event_id", "missing_event_id"),
    ("too large", {"blue_team": "x" * 300_000}, None, "too_large"),
]


@pytest.mark.parametrize(("change", "field", "reason"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_one_bad_event_is_named_with_its_field_and_nothing_is_taken(
    app: Starlette, log: Log, change: dict[str, Any], field: str | None, reason: str
) -> None:
    body = problem(post(app, [event(), event(), event(**change)]), 422)
    assert (body["received"], body["accepted"], body["errors_total"]) == (3, 0, 1)
    assert [(e["index"], e["field"], e["reason"]) for e in body["errors"]] == [(2, field, reason)]
    assert body["detail"].startswith("1 of 3 events cannot be accepted, and none was. Event 2: ")
    assert log.records == []


def test_what_is_taken_is_not_too_large_for_the_jobs() -> None:
    java = Path(__file__).parents[2] / "jobs" / "java" / "riftstream" / "RiftAvroFormat.java"
    found = re.search(r'key\("max-bytes"\)\s*\.intType\(\)\s*\.defaultValue\(([0-9_]+)\)', java.read_text())
    assert found and int(found[1]) == ingest.MAX_EVENT


def test_what_is_no_event_at_all_is_named_too(app: Starlette, log: Log) -> None:
    body = problem(post(app, [event(), 7, None]), 422)
    assert [(e["index"], e["reason"]) for e in body["errors"]] == [(1, "not_an_object"), (2, "not_an_object")]
    body = problem(post(app, b'{"x": 1}\n{"x": \n', LINES), 422)
    assert body["errors"][-1]["detail"].startswith("Line 2 is not JSON")
    assert log.records == []


def test_bytes_that_are_no_frame_are_named(app: Starlette, log: Log) -> None:
    frame = CODEC.encode(event())
    for bad in (b"garbage", frame[:-3], b"\x00\x00\x00\x00\x08" + frame[5:], frame + b"\x00"):
        body = problem(post(app, bad, AVRO), 422)
        assert [e["reason"] for e in body["errors"]] == ["malformed"]
    assert log.records == []


def test_in_partial_mode_the_good_are_taken_and_the_others_named(app: Starlette, log: Log) -> None:
    sent = [event(), event(team="green"), event(), event(x="left", y="up")]
    answer = post(app, sent, query="?partial=true")
    body = answer.json()
    assert answer.status_code == 202
    assert (body["received"], body["accepted"], body["rejected"]) == (4, 2, 2)
    assert [(e["index"], e["field"]) for e in body["errors"]] == [(1, "team"), (3, "x"), (3, "y")]
    assert log.events == [sent[0], sent[2]]


def test_in_partial_mode_nothing_good_is_still_refused(app: Starlette, log: Log) -> None:
    problem(post(app, [event(team="green")], query="?partial=true"), 422)
    assert log.records == []


def test_many_errors_are_counted_and_the_first_hundred_listed(app: Starlette) -> None:
    body = problem(post(app, [event(team="green") for _ in range(150)]), 422)
    assert (len(body["errors"]), body["errors_total"]) == (100, 150)


@pytest.mark.parametrize(
    ("body", "headers", "query"),
    [
        (b"", JSON, ""),
        (b"{", JSON, ""),
        (b"\xff\xfe", JSON, ""),
        (b"\x00\x00\x01", SEQUENCE, ""),
        (b"\x00\x00\x00\x09abc", SEQUENCE, ""),
        (b"{}", JSON, "?partial=maybe"),
    ],
    ids=["empty", "cut off", "not text", "short length", "short record", "bad flag"],
)
def test_a_request_that_cannot_be_read_is_400(
    app: Starlette, log: Log, body: bytes, headers: dict[str, str], query: str
) -> None:
    problem(post(app, body, headers, query), 400)
    assert log.records == []


@pytest.mark.parametrize(
    "headers",
    [{"Content-Type": "text/csv"}, {}, JSON | {"Content-Encoding": "gzip"}],
    ids=["csv", "none", "compressed"],
)
def test_another_media_type_is_415_and_told_what_is_understood(
    app: Starlette, headers: dict[str, str]
) -> None:
    answer = post(app, event(), headers)
    problem(answer, 415)
    assert "application/json" in answer.headers["accept-post"]


def test_a_media_type_may_carry_parameters(app: Starlette) -> None:
    assert post(app, event(), {"Content-Type": "Application/JSON; charset=utf-8"}).status_code == 202


def test_a_body_over_the_limit_is_413_announced_or_not(app: Starlette, log: Log) -> None:
    large = b" " * (ingest.MAX_BODY + 1)
    problem(post(app, large), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(large), 65_536):
            yield large[at : at + 65_536]

    problem(post(app, chunks()), 413)
    assert log.records == []


def test_other_methods_are_not_allowed(app: Starlette) -> None:
    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.get(URL)

    assert asyncio.run(call()).status_code == 405


@pytest.mark.parametrize(
    ("log", "accepted"),
    [
        (Log(room=2), 2),
        (Log(confirm=False), 0),
        (Log(error=KafkaError(KafkaError._MSG_TIMED_OUT)), 0),
    ],
    ids=["no room", "unconfirmed", "failed"],
)
def test_when_kafka_pushes_back_the_answer_is_503_and_says_how_much_it_took(log: Log, accepted: int) -> None:
    app = Starlette(routes=ingest.routes(log, patience=0.2))
    answer = post(app, [event() for _ in range(5)])
    body = problem(answer, 503)
    assert (body["received"], body["accepted"]) == (5, accepted)
    assert int(answer.headers["retry-after"]) > 0


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from([field.name for field in CODEC.schema.fields])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(names, json_values, max_size=6), max_size=4), st.booleans())
def test_whatever_json_comes_the_counts_add_up_and_taken_events_can_be_read(
    changes: list[dict[str, Any]], partial: bool
) -> None:
    log = Log()
    app = ingest.app(log)
    answer = post(app, [event() | change for change in changes], query=f"?partial={str(partial).lower()}")
    body = answer.json()
    assert answer.status_code in (202, 422)
    assert body["received"] == len(changes)
    assert body["accepted"] == len(log.events)
    bad = {error["index"] for error in body.get("errors", [])}
    if answer.status_code == 422:
        assert (log.records, body["accepted"]) == ([], 0) and bad
    else:
        assert body["accepted"] == len(changes) - len(bad)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([JSON, LINES, AVRO, SEQUENCE]))
def test_whatever_bytes_come_the_answer_is_a_problem_or_counts(body: bytes, headers: dict[str, str]) -> None:
    log = Log()
    answer = post(ingest.app(log), body, headers)
    assert answer.status_code in (202, 400, 422)
    assert len(log.records) == answer.json().get("accepted", 0)


@pytest.fixture
def own_topic(stack: object) -> Iterator[str]:
    """A topic of one partition that no job reads."""
    found = get_settings()
    spec = TopicSpec(f"ingest-test-{uuid.uuid4().hex}", 1, {})
    topics.apply(found, topics.plan(found, [spec]), [spec])
    yield spec.name
    for deleted in (
        AdminClient({"bootstrap.servers": found.kafka_bootstrap}).delete_topics([spec.name]).values()
    ):
        deleted.exception(30)


@pytest.mark.stack
def test_accepted_events_are_in_kafka_when_the_answer_comes(own_topic: str) -> None:
    producer = Producer(get_settings())
    producer.topic = own_topic
    sent = [event(ordinal=n) for n in range(500)]
    answer = post(ingest.app(producer), sent)
    assert answer.json() == {"received": 500, "accepted": 500}
    consumer = Consumer({"bootstrap.servers": get_settings().kafka_bootstrap, "group.id": "test"})
    place = TopicPartition(own_topic, 0, 0)
    assert consumer.get_watermark_offsets(place, timeout=10) == (0, 500)
    consumer.assign([place])
    values = [message.value() or b"" for message in consumer.consume(500, 30)]
    consumer.close()
    assert [set_fields(producer.codec.decode(value)) for value in values] == sent


@pytest.mark.stack
def test_when_the_broker_is_away_the_answer_is_503_within_the_patience(own_topic: str) -> None:
    producer = Producer(get_settings().model_copy(update={"kafka_bootstrap": "127.0.0.1:9"}))
    producer.topic = own_topic
    app = Starlette(routes=ingest.routes(producer, patience=0.5))
    body = problem(post(app, [event(), event()]), 503)
    assert (body["received"], body["accepted"]) == (2, 0)
