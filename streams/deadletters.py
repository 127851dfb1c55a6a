"""Dead letters: find them, look into them, and send them again.

A redriven record goes to its source topic with the header ``redrive``, which holds the dead letter's id. This
header is also the memory of what has been redriven: before anything is sent, the source topic is read from
the time at which the oldest chosen letter was first seen, and ids that are found there are skipped. So there
is no second record that could disagree with the topic, and nothing is lost when a redrive is interrupted; the
price is that one reading of the source topic.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, cast

import confluent_kafka as kafka

from riftstream.errors import RiftError, SchemaError, StackError
from riftstream.settings import Settings
from streams import offsets, rules
from streams.avro import Codec, Record
from streams.client import Producer, codec_for
from streams.clock import now_ms
from streams.identity import identify
from streams.schemas import RecordSchema

TOPIC = "dead-letters"
HEADER = "redrive"
DUPLICATE = "deduplicate"

_EVENTS = "live-matches"
_TIMEOUT = 10.0
_BATCH = 10_000
# The job's clock and the broker's may differ by this much.
_CLOCK_SKEW_MS = 60_000


def of_serving(
    place: tuple[str, int, int],
    source_time: int,
    key: bytes | None,
    value: bytes | None,
    reason: str,
    detail: str,
) -> Record:
    """The dead letter of a record that an application of the serving layer could not deal with.

    Args:
        place: Topic, partition and offset of the record.
        source_time: When the broker appended it, ms since the Unix epoch.
        key: Its key.
        value: Its bytes.
        reason: Why, as one word.
        detail: Why, as a sentence.
    """
    topic, partition, offset = place
    return {
        "dead_letter_id": f"{topic}:{partition}:{offset}",
        "source_topic": topic,
        "source_partition": partition,
        "source_offset": offset,
        "source_time": source_time,
        "stage": "serving",
        "reason": reason,
        "detail": detail,
        "record_key": key,
        "record_value": value,
        "first_seen": now_ms(),
    }


@dataclass(frozen=True)
class Choice:
    """Which dead letters are meant; all where nothing is said.

    Attributes:
        ids: Only these.
        reason: Only with this reason.
        stage: Only from this stage.
        since_ms: Only first seen at or after this time, ms since the Unix epoch.
    """

    ids: frozenset[str] = frozenset()
    reason: str | None = None
    stage: str | None = None
    since_ms: int | None = None

    def takes(self, letter: Record) -> bool:
        """Whether a letter is meant."""
        return (
            (not self.ids or letter["dead_letter_id"] in self.ids)
            and self.reason in (None, letter["reason"])
            and self.stage in (None, letter["stage"])
            and (self.since_ms is None or letter["first_seen"] >= self.since_ms)
        )


@dataclass
class Listing:
    """Dead letters that were found.

    Attributes:
        letters: The newest ones, newest first.
        total: Number of all that were meant.
        reasons: Number by reason, most first.
        unreadable: Records of the topic that are no dead letters.
    """

    letters: list[Record]
    total: int
    reasons: dict[str, int]
    unreadable: int


@dataclass(frozen=True)
class Original:
    """The record behind a dead letter.

    Attributes:
        value: Its bytes; None for a tombstone, or where nothing keeps them any more.
        key: Its key.
        headers: Its headers, where the source topic still has it.
        at: Where the bytes come from: ``dead letter``, ``source``, or ``gone``.
    """

    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    at: str


@dataclass
class Redrive:
    """What a redrive did.

    Attributes:
        chosen: Dead letters that were meant.
        sent: Ids whose records were sent again (or would be, in a dry run).
        already: Ids that had been redriven before.
        duplicates: Ids of duplicates, which would only be dropped again.
        gone: Ids without any bytes left to send: tombstones, and what retention took.
        refused: Ids that cannot be sent as asked, each with the reason.
        dry_run: Whether nothing was sent.
    """

    dry_run: bool
    chosen: int = 0
    sent: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


class DeadLetters:
    """Reads dead letters, each once although the job may write it twice.

    Args:
        settings: Where Kafka and the registry are.
        topic: Topic that holds them.
    """

    def __init__(self, settings: Settings, topic: str = TOPIC) -> None:
        self._settings = settings
        self._topic = topic
        self._codec = codec_for(TOPIC, settings)
        self.unreadable = 0

    def chosen(self, choice: Choice) -> Iterator[Record]:
        """The letters that are meant, in the order of the log.

        Raises:
            StackError: Kafka does not answer.
        """
        seen: set[str] = set()
        self.unreadable = 0
        for message in messages(self._settings, self._topic, choice.since_ms):
            try:
                letter = self._codec.decode(message.value() or b"")
            except SchemaError:
                self.unreadable += 1
                continue
            if choice.takes(letter) and letter["dead_letter_id"] not in seen:
                seen.add(letter["dead_letter_id"])
                yield letter

    def listing(self, choice: Choice, limit: int) -> Listing:
        """The newest letters that are meant, and how many there are by reason."""
        reasons: Counter[str] = Counter()

        def counted() -> Iterator[Record]:
            for letter in self.chosen(choice):
                reasons[letter["reason"]] += 1
                yield letter

        newest = heapq.nlargest(limit, counted(), key=lambda letter: letter["first_seen"])
        return Listing(newest, reasons.total(), dict(reasons.most_common()), self.unreadable)

    def letter(self, dead_letter_id: str) -> Record:
        """One letter.

        Raises:
            RiftError: There is none with this id.
        """
        found = next(self.chosen(Choice(ids=frozenset([dead_letter_id]))), None)
        if found is None:
            raise RiftError(
                f"There is no dead letter {dead_letter_id}.", "See `rift dlq list` for their ids."
            )
        return found


class Source:
    """Reads single records by their place in a topic."""

    def __init__(self, settings: Settings) -> None:
        self._consumer = _consumer(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def original(self, letter: Record) -> Original:
        """The record behind a letter: bytes from the letter where it has them, else from the source topic."""
        value, key = letter["record_value"], letter["record_key"]
        message = self._at(letter["source_topic"], letter["source_partition"], letter["source_offset"])
        if message is None:
            return Original(value, key, (), "gone" if value is None else "dead letter")
        headers = tuple(_headers(message))
        if value is not None:
            return Original(value, key, headers, "dead letter")
        return Original(message.value(), message.key(), headers, "source")

    def _at(self, topic: str, partition: int, offset: int) -> kafka.Message | None:
        """The record at one place; None where it is not kept any more."""
        place = kafka.TopicPartition(topic, partition, offset)
        try:
            low, high = self._consumer.get_watermark_offsets(place, timeout=_TIMEOUT)
            if not low <= offset < high:
                return None
            self._consumer.assign([place])
            message = self._consumer.poll(_TIMEOUT)
        except kafka.KafkaException as cause:
            raise _away(topic, cause) from cause
        if message is None or message.error() or message.offset() != offset:
            return None
        return message


def decoded(settings: Settings, letter: Record, value: bytes) -> Record:
    """The fields of a record's bytes, read with the schema that wrote them.

    Raises:
        SchemaError: They cannot be decoded.
    """
    return codec_for(letter["source_topic"], settings).decode(value)


def redrive(
    settings: Settings,
    choice: Choice,
    *,
    fixes: Mapping[str, str] | None = None,
    again: bool = False,
    dry_run: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    topic: str = TOPIC,
) -> Redrive:
    """Send the records behind dead letters to their source topics again.

    Bytes and key stay as they were, unless ``fixes`` are given: then the record is decoded, changed and
    encoded anew with the newest schema. What has been redriven before is skipped. Duplicates are skipped too,
    unless they are asked for by id, reason or stage.

    Args:
        settings: Where Kafka and the registry are.
        choice: Which letters.
        fixes: New values of fields, as text (JSON for lists, ``null`` for null).
        again: Send also what has been redriven before.
        dry_run: Say what would be done, and send nothing.
        progress: Told of each letter that was dealt with.
        topic: Topic that holds the letters.

    Raises:
        DeliveryError: Kafka did not take a record; what was sent before stays sent, and is skipped next time.
        RiftError: An id is unknown.
    """
    letters = list(DeadLetters(settings, topic).chosen(choice))
    unknown = choice.ids - {letter["dead_letter_id"] for letter in letters}
    if unknown:
        raise RiftError(f"There is no dead letter {min(unknown)}.", "See `rift dlq list` for their ids.")
    report = Redrive(dry_run, chosen=len(letters))
    keep_duplicates = bool(choice.ids or choice.reason or choice.stage)
    for source_topic, group in _by_topic(letters).items():
        done = set() if again else redriven(settings, source_topic, group)
        with Producer(settings, topic=source_topic) as producer, Source(settings) as source:
            for letter in group:
                name = letter["dead_letter_id"]
                if name in done:
                    report.already.append(name)
                elif letter["stage"] == DUPLICATE and not keep_duplicates:
                    report.duplicates.append(name)
                else:
                    _send_again(letter, source, producer, fixes or {}, report)
                progress(1)
    return report


def redriven(settings: Settings, topic: str, letters: Collection[Record]) -> set[str]:
    """Ids among these letters of one topic whose records are in it again already."""
    wanted = {letter["dead_letter_id"] for letter in letters}
    since = min(letter["first_seen"] for letter in letters) - _CLOCK_SKEW_MS
    found = set()
    for message in messages(settings, topic, since):
        for name, value in _headers(message):
            if name == HEADER:
                found.add(value.decode(errors="replace"))
    return found & wanted


def fixed(codec: Codec, value: bytes, fixes: Mapping[str, str]) -> tuple[bytes, bytes | None]:
    """A record with some fields changed: its new bytes and its new key.

    An event whose id was made of its fields (``streams.identity``), or is missing, gets its id anew.

    Args:
        codec: Of the record's topic.
        value: The record as it was.
        fixes: New values of fields, as text (JSON for lists, ``null`` for null).

    Raises:
        SchemaError: It cannot be decoded, a value does not fit, or it would be rejected again.
    """
    before = codec.decode(value)
    record = before | {name: _value(codec.schema, name, text) for name, text in fixes.items()}
    if codec.schema.topic == _EVENTS:
        if "event_id" not in fixes and before["event_id"] == identify(before):
            record["event_id"] = None
        faults = rules.faults(record, codec.schema)
        if faults:
            raise SchemaError(f"It would be rejected again: {faults[0].detail}")
        record = rules.identified(record)
    key = record[codec.schema.key]
    return codec.encode(record), None if key is None else str(key).encode()


def _send_again(
    letter: Record, source: Source, producer: Producer, fixes: Mapping[str, str], report: Redrive
) -> None:
    name = letter["dead_letter_id"]
    value, key = letter["record_value"], letter["record_key"]
    if value is None:
        record = source.original(letter)
        value, key = record.value, record.key
    if value is None:
        report.gone.append(name)
        return
    if fixes:
        try:
            value, key = fixed(producer.codec, value, fixes)
        except SchemaError as cause:
            report.refused[name] = cause.message
            return
    if not report.dry_run:
        producer.send_bytes(value, key, [(HEADER, name.encode())])
    report.sent.append(name)


def _value(schema: RecordSchema, name: str, text: str) -> Any:
    """A field's value from the text that a person typed."""
    kinds = {field.name: field.type for field in schema.fields}
    if name not in kinds:
        raise SchemaError(f"{schema.name} has no field {name}.")
    if text == "null":
        return None
    try:
        return _PARSERS[kinds[name]](text)
    except ValueError as cause:
        raise SchemaError(f"{schema.name}.{name} must be {kinds[name]}, not {text!r}.") from cause


def _list(text: str) -> list[Any]:
    value = json.loads(text)
    if not isinstance(value, list):
        raise ValueError("not a list")
    return value


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("not a boolean")
    return text == "true"


_PARSERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "int": int,
    "long": int,
    "double": float,
    "boolean": _boolean,
    "bytes": bytes.fromhex,
    "array<string>": _list,
    "array<double>": _list,
}


def _by_topic(letters: Iterable[Record]) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for letter in letters:
        groups.setdefault(letter["source_topic"], []).append(letter)
    return groups


def _consumer(settings: Settings) -> kafka.Consumer:
    return kafka.Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "rift-dlq",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 20,
            "log_level": 0,
        }
    )


def messages(settings: Settings, topic: str, since_ms: int | None = None) -> Iterator[kafka.Message]:
    """Records of a topic from a broker time (ms) on, or from the start, to the end that it has now."""
    consumer = _consumer(settings)
    try:
        bounds = _bounds(consumer, topic, since_ms)
        consumer.assign([kafka.TopicPartition(topic, part, start) for part, (start, _) in bounds.items()])
        left = set(bounds)
        while left:
            for message in consumer.consume(_BATCH, 0.2):
                partition, offset, error = message.partition() or 0, message.offset() or 0, message.error()
                if error is None and offset < bounds[partition][1]:
                    yield message
                elif error is not None and error.code() != kafka.KafkaError._PARTITION_EOF:
                    raise StackError(f"{topic} cannot be read: {error.str()}.")
                if error is not None or offset + 1 >= bounds[partition][1]:
                    left.discard(partition)
    except kafka.KafkaException as cause:
        raise _away(topic, cause) from cause
    finally:
        consumer.close()


def _bounds(consumer: kafka.Consumer, topic: str, since_ms: int | None) -> dict[int, tuple[int, int]]:
    """Start and end offset of each partition that has something to read."""
    ends = offsets.bounds(consumer, topic)
    starts = {partition: low for partition, (low, _) in ends.items()}
    if since_ms is not None:
        asked = [kafka.TopicPartition(topic, partition, max(0, since_ms)) for partition in ends]
        for place in consumer.offsets_for_times(asked, timeout=_TIMEOUT):
            # Kafka says -1 where nothing is that new.
            starts[place.partition] = place.offset if place.offset >= 0 else ends[place.partition][1]
    return {part: (starts[part], high) for part, (_, high) in ends.items() if starts[part] < high}


def _headers(message: kafka.Message) -> list[tuple[str, bytes]]:
    found = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return [(name, value or b"") for name, value in found]


def _away(topic: str, cause: kafka.KafkaException) -> StackError:
    return StackError(
        f"Kafka does not answer about {topic}: {cause.args[0].str()}.", "Is it up? See `rift status`."
    )
