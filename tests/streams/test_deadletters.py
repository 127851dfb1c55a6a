"""Dead letters are found once each, shown with their bytes, and sent again once, changed or as they were."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import confluent_kafka as kafka
import pytest
from confluent_kafka.admin import AdminClient
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from riftstream.cli import gather
from riftstream.errors import RiftError, SchemaError
from riftstream.settings import Settings, get_settings
from streams import deadletters, topics
from streams.avro import Codec
from streams.cli_dlq import since_ms
from streams.client import Producer, codec_for
from streams.deadletters import HEADER, Choice, DeadLetters, Source, fixed, redrive
from streams.identity import identify
from streams.schemas import for_topic
from streams.topics import TopicSpec

# A topic that no job reads, so that what is sent here has no other effect.
SOURCE = "model-quality"
CODEC = Codec(for_topic("live-matches"), 7)
NOW = time.time_ns() // 1_000_000


def event(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {field.name: None for field in CODEC.schema.fields}
    base |= {"match_id": "LEC/1", "event_type": "PAUSE_START", "event_time": NOW, "game_time_ms": 5}
    base |= {"source": "test", "ordinal": 1, "event_id": "mine"}
    return base | more


def test_a_fix_changes_only_its_fields() -> None:
    before = event(team="green", assist_ids=["a"])
    value, key = fixed(CODEC, CODEC.encode(before), {"team": "blue", "x": "7", "assist_ids": '["b", "c"]'})
    assert CODEC.decode(value) == before | {"team": "blue", "x": 7, "assist_ids": ["b", "c"]}
    assert key == b"LEC/1"


def test_a_fix_of_the_match_changes_the_key() -> None:
    _, key = fixed(CODEC, CODEC.encode(event(match_id="")), {"match_id": "LEC/2"})
    assert key == b"LEC/2"


def test_an_id_made_of_the_fields_is_made_anew_and_a_foreign_one_is_kept() -> None:
    wrong = event(event_type="DANCE")
    own = wrong | {"event_id": identify(wrong)}
    right = own | {"event_type": "PAUSE_END"}
    value, _ = fixed(CODEC, CODEC.encode(own), {"event_type": "PAUSE_END"})
    assert CODEC.decode(value)["event_id"] == identify(right) != own["event_id"]
    value, _ = fixed(CODEC, CODEC.encode(wrong), {"event_type": "PAUSE_END"})
    assert CODEC.decode(value)["event_id"] == "mine"
    value, _ = fixed(CODEC, CODEC.encode(event(event_id=None)), {"event_type": "PAUSE_END"})
    assert CODEC.decode(value)["event_id"] == identify(event(event_type="PAUSE_END"))


@pytest.mark.parametrize(
    ("fixes", "sentence"),
    [
        ({"colour": "blue"}, "no field colour"),
        ({"x": "left"}, "x must be int, not 'left'"),
        ({"assist_ids": "a,b"}, "assist_ids must be array<string>"),
        ({"team": "red", "match_id": "null"}, "rejected again: match_id is required"),
        ({"x": "5"}, "rejected again: team must be one of blue, red, not 'green'"),
    ],
)
def test_a_fix_that_would_not_help_is_refused(fixes: dict[str, str], sentence: str) -> None:
    with pytest.raises(SchemaError, match=sentence.replace("<", ".").replace(">", ".")):
        fixed(CODEC, CODEC.encode(event(team="green")), fixes)


@given(st.binary(max_size=60))
def test_bytes_that_cannot_be_decoded_are_refused_not_guessed(value: bytes) -> None:
    with pytest.raises(SchemaError):
        fixed(CODEC, value, {"team": "blue"})


def test_since_takes_spans_and_iso_times() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert since_ms("90s", now) == int(now.timestamp() * 1000) - 90_000
    assert since_ms("1.5h", now) == int(now.timestamp() * 1000) - 5_400_000
    assert (
        since_ms("2026-11-24T12:00", now)
        == since_ms("2026-11-24T12:00:00+00:00")
        == int(now.timestamp() * 1000)
    )
    assert since_ms(None) is None
    for bad in ("yesterday", "h", "", "5x"):
        with pytest.raises(RiftError, match="is not a time"):
            since_ms(bad, now)


@pytest.fixture
def settings(stack: object) -> Settings:
    return get_settings()


@pytest.fixture
def letters(settings: Settings, request: pytest.FixtureRequest) -> Iterator[str]:
    """A topic of dead letters: of its own, or the one that the parameter names."""
    if hasattr(request, "param"):
        yield request.param
        return
    spec = TopicSpec(f"letters-test-{uuid.uuid4().hex}", 2, {"message.timestamp.type": "LogAppendTime"})
    topics.apply(settings, topics.plan(settings, [spec]), [spec])
    yield spec.name
    for deleted in (
        AdminClient({"bootstrap.servers": settings.kafka_bootstrap}).delete_topics([spec.name]).values()
    ):
        deleted.exception(30)


Write = Callable[..., dict[str, Any]]


@pytest.fixture
def write(settings: Settings, letters: str) -> Iterator[Write]:
    """Sends a record to the source topic, and a dead letter about it; gives the letter."""
    producer = Producer(settings, topic=deadletters.TOPIC)
    producer.topic = letters

    def make(
        value: bytes | None = b"garbage", key: bytes = b"k", copies: int = 1, **more: Any
    ) -> dict[str, Any]:
        partition, offset = send(settings, value, key)
        letter = {
            "dead_letter_id": f"{SOURCE}:{partition}:{offset}",
            "source_topic": SOURCE,
            "source_partition": partition,
            "source_offset": offset,
            "stage": "decode",
            "reason": "not_avro",
            "record_key": key,
            "record_value": value,
            "first_seen": time.time_ns() // 1_000_000,
        } | more
        for _ in range(copies):
            producer.send(letter)
        producer.flush()
        return {field.name: letter.get(field.name) for field in for_topic(deadletters.TOPIC).fields}

    yield make
    producer.close()


def send(settings: Settings, value: bytes | None, key: bytes) -> tuple[int, int]:
    """Partition and offset of a new record of the source topic."""
    places: list[tuple[int, int]] = []

    def delivered(error: kafka.KafkaError | None, message: kafka.Message) -> None:
        places.append((message.partition() or 0, message.offset() or 0))

    producer = kafka.Producer({"bootstrap.servers": settings.kafka_bootstrap})
    producer.produce(SOURCE, value, key, headers=[("origin", b"test")], on_delivery=delivered)
    producer.flush(30)
    return places[0]


def sent_again(settings: Settings, letter: dict[str, Any]) -> list[tuple[bytes | None, bytes | None]]:
    """Values and keys of the records in the source topic that a letter was sent again as."""
    wanted = (HEADER, letter["dead_letter_id"].encode())
    messages = deadletters.messages(settings, letter["source_topic"])
    return [(message.value(), message.key()) for message in messages if wanted in (message.headers() or [])]


@pytest.mark.stack
def test_each_letter_is_listed_once_newest_first_with_counts(
    settings: Settings, letters: str, write: Write
) -> None:
    first = write(reason="missing_clock", stage="validate", copies=3, first_seen=NOW)
    second = write(copies=2, first_seen=NOW + 1)
    third = write(first_seen=NOW + 2)
    found = DeadLetters(settings, letters).listing(Choice(), limit=2)
    assert found.letters == [third, second]
    assert (found.total, found.reasons, found.unreadable) == (3, {"not_avro": 2, "missing_clock": 1}, 0)
    assert DeadLetters(settings, letters).listing(Choice(stage="validate"), 9).letters == [first]
    assert DeadLetters(settings, letters).listing(Choice(reason="not_avro"), 9).letters == [third, second]
    assert DeadLetters(settings, letters).listing(Choice(since_ms=NOW + 2), 9).letters == [third]
    assert DeadLetters(settings, letters).listing(Choice(since_ms=NOW + 10**8), 9).total == 0


@pytest.mark.stack
def test_a_record_that_is_no_dead_letter_is_counted_and_the_others_are_listed(
    settings: Settings, letters: str, write: Write
) -> None:
    first = write()
    with Producer(settings, topic=deadletters.TOPIC) as producer:
        producer.topic = letters
        producer.send_bytes(b"garbage")
    second = write()
    found = DeadLetters(settings, letters).listing(Choice(), 9)
    assert (found.unreadable, found.total) == (1, 2)
    assert {letter["dead_letter_id"] for letter in found.letters} == {
        first["dead_letter_id"],
        second["dead_letter_id"],
    }


@pytest.mark.stack
def test_the_bytes_come_from_the_letter_or_from_their_offset(settings: Settings, write: Write) -> None:
    kept = write(b"kept")
    referred = write(b"referred", stage="deduplicate", reason="duplicate", record_value=None, record_key=None)
    tombstone = write(None)
    past = write() | {"source_offset": 10**9, "record_value": None}
    with Source(settings) as source:
        found = [source.original(letter) for letter in (kept, referred, tombstone, past)]
    assert [(o.value, o.key, o.at) for o in found] == [
        (b"kept", b"k", "dead letter"),
        (b"referred", b"k", "source"),
        (None, b"k", "source"),
        (None, b"k", "gone"),
    ]
    assert [o.headers for o in found] == 3 * [(("origin", b"test"),)] + [()]


@pytest.mark.stack
def test_a_letter_is_sent_again_as_it_was_and_only_once(
    settings: Settings, letters: str, write: Write
) -> None:
    letter = write(b"as it was", copies=2)
    choice = Choice(ids=frozenset([letter["dead_letter_id"]]))
    assert redrive(settings, choice, topic=letters, dry_run=True).sent == [letter["dead_letter_id"]]
    assert sent_again(settings, letter) == []
    assert redrive(settings, choice, topic=letters).sent == [letter["dead_letter_id"]]
    second = redrive(settings, choice, topic=letters)
    assert (second.sent, second.already) == ([], [letter["dead_letter_id"]])
    assert sent_again(settings, letter) == [(b"as it was", b"k")]
    assert redrive(settings, choice, topic=letters, again=True).sent == [letter["dead_letter_id"]]
    assert sent_again(settings, letter) == 2 * [(b"as it was", b"k")]


@pytest.mark.stack
def test_an_interrupted_redrive_goes_on_with_the_rest(settings: Settings, letters: str, write: Write) -> None:
    done, left = write(), write()
    redrive(settings, Choice(ids=frozenset([done["dead_letter_id"]])), topic=letters)
    report = redrive(settings, Choice(), topic=letters)
    assert (report.chosen, report.already, report.sent) == (
        2,
        [done["dead_letter_id"]],
        [left["dead_letter_id"]],
    )


@pytest.mark.stack
def test_duplicates_and_tombstones_are_left_alone(settings: Settings, letters: str, write: Write) -> None:
    duplicate = write(b"twice", stage="deduplicate", reason="duplicate", record_value=None)
    tombstone = write(None)
    report = redrive(settings, Choice(), topic=letters)
    assert (report.sent, report.duplicates, report.gone) == (
        [],
        [duplicate["dead_letter_id"]],
        [tombstone["dead_letter_id"]],
    )
    report = redrive(settings, Choice(reason="duplicate"), topic=letters)
    assert report.sent == [duplicate["dead_letter_id"]]
    assert sent_again(settings, duplicate) == [(b"twice", b"k")]


@pytest.mark.stack
def test_a_record_is_fixed_on_its_way_and_what_cannot_be_is_refused(
    settings: Settings, letters: str, write: Write
) -> None:
    codec = codec_for(SOURCE, settings)
    required = [field for field in codec.schema.fields if not field.nullable]
    quality = {field.name: "x" if field.type == "string" else 1 for field in required}
    readable, garbage = write(codec.encode(quality)), write()
    report = redrive(
        settings, Choice(), topic=letters, fixes={"model_name": "win_probability", "brier": "0.25"}
    )
    assert report.sent == [readable["dead_letter_id"]]
    assert set(report.refused) == {garbage["dead_letter_id"]}
    [(value, key)] = sent_again(settings, readable)
    assert key == b"win_probability"
    before = codec.decode(codec.encode(quality))
    assert codec.decode(value or b"") == before | {"model_name": "win_probability", "brier": 0.25}


@pytest.mark.stack
def test_an_unknown_id_is_said_so(settings: Settings, letters: str, write: Write) -> None:
    write()
    with pytest.raises(RiftError, match="no dead letter live-matches:9:9"):
        redrive(settings, Choice(ids=frozenset(["live-matches:9:9"])), topic=letters)
    with pytest.raises(RiftError, match="no dead letter live-matches:9:9"):
        DeadLetters(settings, letters).letter("live-matches:9:9")


def rift(*arguments: str) -> Any:
    """Run a command; an error of ours is its exception."""
    return CliRunner().invoke(gather(), [*arguments])


@pytest.mark.stack
@pytest.mark.parametrize("letters", [deadletters.TOPIC], indirect=True)
def test_commands_list_show_and_redrive(settings: Settings, write: Write) -> None:
    reason = f"test-{uuid.uuid4().hex}"
    letter = write(b"\x00garbage", reason=reason, detail="[red]not markup[/red]")
    name = letter["dead_letter_id"]

    listed = json.loads(rift("dlq", "list", "--reason", reason, "--since", "5m", "--json").stdout)
    assert (listed["total"], listed["reasons"]) == (1, {reason: 1})
    assert listed["letters"][0]["dead_letter_id"] == name
    assert "1 dead letter, 1 shown." in rift("dlq", "list", "--reason", reason).stdout

    shown = json.loads(rift("dlq", "show", name, "--json").stdout)
    assert (shown["value_hex"], shown["bytes_from"]) == (b"\x00garbage".hex(), "dead letter")
    assert shown["headers"] == {"origin": "test"}
    assert shown["decoded"] is None and "knows no schema" in shown["decode_error"]
    assert "[red]not markup[/red]" in rift("dlq", "show", name).stdout

    held = rift("dlq", "redrive", "--reason", reason)
    assert isinstance(held.exception, RiftError) and "--yes" in held.exception.hint
    assert isinstance(rift("dlq", "redrive").exception, RiftError)
    assert sent_again(settings, letter) == []
    assert json.loads(rift("dlq", "redrive", name, "--json").stdout)["sent"] == [name]
    again = json.loads(rift("dlq", "redrive", "--reason", reason, "--yes", "--json").stdout)
    assert (again["sent"], again["already"]) == ([], [name])
    assert sent_again(settings, letter) == [(b"\x00garbage", b"k")]
