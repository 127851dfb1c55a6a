"""The public client: push events with ``Producer``, follow predictions with ``PredictionSubscriber``."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import confluent_kafka as kafka

from riftstream.errors import DeliveryError, SchemaError, StackError
from riftstream.settings import Settings, get_settings
from streams.avro import Codec, Record
from streams.offsets import bounds
from streams.registry import Registry
from streams.schemas import for_topic

_KEPT_FAILURES = 20
_QUIET = 2
"""Log level of librdkafka: what goes wrong with a broker comes as an exception, not as a line on stderr."""


def codec_for(topic: str, settings: Settings | None = None) -> Codec:
    """The codec of a topic's record, with its id in the Schema Registry (registered where it is not yet)."""
    registry = Registry((settings or get_settings()).registry_url)
    schema = for_topic(topic)
    return Codec(schema, registry.register(schema), registry.schema_by_id)


def take(consumer: kafka.Consumer, most: int, seconds: float) -> list[kafka.Message]:
    """What there is now, at most ``most`` messages: the first is waited for, the others are not.

    ``Consumer.consume`` alone waits its whole time for the last one.
    """
    first = consumer.poll(seconds)
    return [] if first is None else [first, *consumer.consume(most - 1, 0)]


@dataclass
class DeliveryReport:
    """What became of the records that were handed over.

    Attributes:
        sent: Records handed to the producer.
        delivered: Records that all in-sync replicas have.
        failed: Records that could not be delivered.
        failures: Reasons of the first 20 failures.
    """

    sent: int = 0
    delivered: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """Records whose fate is not known yet."""
        return self.sent - self.delivered - self.failed


class Producer:
    """Sends records of one topic, idempotently and in order.

    Nothing is sent twice by a retry (``enable.idempotence``), a record counts as delivered when all in-sync
    replicas have it, and ``send`` waits where the broker cannot keep up.

    Args:
        settings: Where Kafka and the registry are; the process's settings by default.
        topic: Topic to send to.
        linger_ms: How long a batch may wait for more records.
        patience: Seconds that ``send`` waits for room, and ``close`` for the last deliveries.

    Example:
        >>> with Producer() as producer:                                    # doctest: +SKIP
        ...     producer.send({"match_id": "LEC/1", "event_type": "MATCH_START", ...})
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        topic: str = "live-matches",
        linger_ms: int = 2,
        patience: float = 60.0,
    ) -> None:
        settings = settings or get_settings()
        self.topic = topic
        self.codec = codec_for(topic, settings)
        self.report = DeliveryReport()
        self._key = self.codec.schema.key
        self._patience = patience
        self._kafka = kafka.Producer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "log_level": _QUIET,
                "enable.idempotence": True,
                "linger.ms": linger_ms,
                "batch.size": 262_144,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 100_000,
                # What is too large is for the topic to say; the client's own limit is below Kafka's 1 MiB.
                "message.max.bytes": 2_097_152,
            }
        )

    def send(self, record: Record) -> None:
        """Hand one record over; it is delivered in the background.

        Raises:
            SchemaError: The record does not fit the schema; the sentence names the field.
            DeliveryError: There was no room for it within the client's patience.
        """
        key = record.get(self._key)
        self.send_bytes(self.codec.encode(record), None if key is None else str(key).encode())

    def send_batch(self, records: Iterable[Record]) -> None:
        """Hand many records over, in order. Raises as ``send`` does, at the first that cannot be sent."""
        for record in records:
            self.send(record)

    def send_bytes(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        on_delivery: Callable[[kafka.KafkaError | None], None] | None = None,
        patience: float | None = None,
    ) -> None:
        """Hand over bytes as they are: a frame that was encoded before, or a dead letter's.

        Args:
            value: The record's value; None for a tombstone.
            key: The record's key.
            headers: Names and values.
            on_delivery: Told what became of this record, from ``poll`` or a later ``send`` in any thread.
            patience: Seconds to wait for room; the client's patience by default.

        Raises:
            DeliveryError: There was no room for it in that time.
        """
        wait = self._patience if patience is None else patience
        deadline = 0.0
        while True:
            try:
                self._kafka.produce(
                    self.topic, value, key, headers=list(headers), on_delivery=self._callback(on_delivery)
                )
                break
            except BufferError as full:
                deadline = deadline or time.monotonic() + wait
                if time.monotonic() > deadline:
                    raise DeliveryError(
                        f"Kafka took no more records of {self.topic} within {wait:.0f} s.",
                        "See 'rift status' for the broker's health.",
                    ) from full
                self._kafka.poll(0.05)
        self.report.sent += 1
        self._kafka.poll(0)

    def poll(self, timeout: float) -> None:
        """Let deliveries be reported, waiting at most ``timeout`` seconds for the first."""
        self._kafka.poll(timeout)

    def flush(self, timeout: float | None = None) -> DeliveryReport:
        """Wait until every record is delivered.

        Args:
            timeout: Seconds to wait; the client's patience by default.

        Raises:
            DeliveryError: A record failed, or is still waiting at the end of the time.
        """
        self._kafka.flush(self._patience if timeout is None else timeout)
        if self.report.failed:
            raise DeliveryError(
                f"{self.report.failed} of {self.report.sent} records were not delivered to {self.topic}: "
                f"{self.report.failures[0]}."
            )
        if self.report.waiting:
            raise DeliveryError(
                f"{self.report.waiting} records of {self.topic} are still waiting for Kafka.",
                "See 'rift status' for the broker's health.",
            )
        return self.report

    def close(self) -> DeliveryReport:
        """Deliver what waits. Raises as ``flush`` does."""
        return self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._kafka.flush(5)

    def _callback(
        self, on_delivery: Callable[[kafka.KafkaError | None], None] | None
    ) -> Callable[[kafka.KafkaError | None, kafka.Message], None]:
        if on_delivery is None:
            return self._delivered

        def both(error: kafka.KafkaError | None, message: kafka.Message) -> None:
            self._delivered(error, message)
            on_delivery(error)

        return both

    def _delivered(self, error: kafka.KafkaError | None, message: kafka.Message) -> None:
        if error is None:
            self.report.delivered += 1
            return
        self.report.failed += 1
        if len(self.report.failures) < _KEPT_FAILURES:
            self.report.failures.append(error.str())


@dataclass(frozen=True)
class Received:
    """A record with where it came from.

    Attributes:
        record: The decoded record.
        partition: Partition of the topic.
        offset: Offset in that partition.
        time: Broker's append time, ms since the Unix epoch.
    """

    record: Record
    partition: int
    offset: int
    time: int


class Subscriber:
    """Reads one topic's records without joining a consumer group: any number may read, none disturbs another.

    Args:
        topic: Topic to read.
        settings: Where Kafka and the registry are; the process's settings by default.
        start: ``latest`` for what comes from now on, ``earliest`` for all that is kept, a number for so many
            of the newest of each partition.
        stop_at_end: Stop at the end that each partition had when the subscriber was made.
        skip_broken: Leave out records that are not of the topic's schema, and count them in ``broken``;
            without it they raise.
        key: Only records with this key, or one of these; others are not even decoded.
        fields: Read only these fields of a record, which takes less time; all by default.
    """

    def __init__(
        self,
        topic: str,
        settings: Settings | None = None,
        *,
        start: str | int = "latest",
        stop_at_end: bool = False,
        skip_broken: bool = False,
        key: str | Collection[str] | None = None,
        fields: Sequence[str] | None = None,
    ) -> None:
        settings = settings or get_settings()
        self.topic = topic
        self.broken = 0
        self._skip_broken = skip_broken
        keys = [key] if isinstance(key, str) else key
        self._keys = None if keys is None else frozenset(one.encode() for one in keys)
        self._places: Mapping[int, Collection[int]] | None = None
        self.codec = codec_for(topic, settings)
        self._read = self.codec.decode if fields is None else self.codec.partly(fields)
        self._kafka = kafka.Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "log_level": _QUIET,
                "group.id": "rift-subscriber",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 20,
                "auto.offset.reset": "earliest",
            }
        )
        self._ends = self._assign(start)
        self._stop_at_end = stop_at_end

    def _assign(self, start: str | int) -> dict[int, int]:
        try:
            found = bounds(self._kafka, self.topic)
        except kafka.KafkaException as cause:
            raise StackError(
                f"Kafka does not answer about {self.topic}.", "Is it up? See 'rift status'."
            ) from cause
        most = start if isinstance(start, int) else 0
        begins = {
            partition: low if start == "earliest" else max(low, high - most)
            for partition, (low, high) in found.items()
        }
        self._kafka.assign(
            [kafka.TopicPartition(self.topic, partition, begin) for partition, begin in begins.items()]
        )
        return {partition: high for partition, (_, high) in found.items() if high > begins[partition]}

    @property
    def at_end(self) -> bool:
        """Whether everything was read that the topic held when the subscriber was made."""
        return not self._ends

    def poll(self, timeout: float = 0.1, most: int = 500) -> list[Received]:
        """Records that arrived, at most ``most``, waiting ``timeout`` seconds for the first."""
        received = []
        for message in take(self._kafka, most, timeout):
            error = message.error()
            if error is not None:
                raise StackError(f"{self.topic} cannot be read: {error.str()}.")
            partition, offset = message.partition() or 0, message.offset() or 0
            if self._ends.get(partition, offset + 2) <= offset + 1:
                del self._ends[partition]
            value = message.value()
            if self._keys is not None and message.key() not in self._keys:
                continue
            if self._places is not None and offset not in self._places.get(partition, ()):
                continue
            if value is not None and (record := self._decode(value)) is not None:
                received.append(Received(record, partition, offset, message.timestamp()[1]))
        return received

    def _decode(self, value: bytes) -> Record | None:
        try:
            return self._read(value)
        except SchemaError:
            if not self._skip_broken:
                raise
            self.broken += 1
            return None

    def __iter__(self) -> Iterator[Received]:
        while not self._stop_at_end or not self.at_end:
            yield from self.poll()

    def at(self, places: Mapping[int, Collection[int]]) -> Iterator[Received]:
        """The records at these offsets by partition; what was given before has no say. See ``records_at``."""
        ends = {part: min(max(places[part]) + 1, end) for part, end in self._ends.items() if places.get(part)}
        self._kafka.assign([kafka.TopicPartition(self.topic, part, min(places[part])) for part in ends])
        self._ends, self._places = ends, places
        while self._ends:
            yield from self.poll()

    def close(self) -> None:
        """Leave the broker."""
        self._kafka.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def records_at(
    topic: str, places: Mapping[int, Collection[int]], settings: Settings | None = None
) -> Iterator[Received]:
    """The records of a topic at some places, in each partition's order; those that are gone are left out.

    Each partition is read from the first wanted offset to the last; only what is wanted is decoded.

    Args:
        topic: Topic to read.
        places: Offsets by partition.
        settings: Where Kafka and the registry are; the process's settings by default.

    Raises:
        StackError: Kafka does not answer.
        SchemaError: A wanted record cannot be decoded.
    """
    with Subscriber(topic, settings, start="earliest", stop_at_end=True) as subscriber:
        yield from subscriber.at(places)


class PredictionSubscriber:
    """Follows predictions.

    Args:
        match: Only predictions of who wins this match; all by default, those about players among them.
        settings: Where Kafka and the registry are; the process's settings by default.
        start: ``latest`` for predictions from now on, ``earliest`` for all that are kept.
        stop_at_end: Stop at the newest prediction that there was at the start.
        max_age_ms: Leave out predictions that were older than this when they were published (ms).
        shadow: Whether predictions of versions that are only tried are given too.

    Example:
        >>> with PredictionSubscriber() as predictions:                     # doctest: +SKIP
        ...     for prediction in predictions:
        ...         print(prediction["match_id"], prediction["probability"])
    """

    def __init__(
        self,
        match: str | None = None,
        settings: Settings | None = None,
        *,
        start: str = "latest",
        stop_at_end: bool = False,
        max_age_ms: int | None = None,
        shadow: bool = False,
    ) -> None:
        self._match = match
        self._max_age_ms = max_age_ms
        self._shadow = shadow
        self._subscriber = Subscriber("predictions", settings, start=start, stop_at_end=stop_at_end)

    def __iter__(self) -> Iterator[Record]:
        for received in self._subscriber:
            if self._wanted(received.record):
                yield received.record

    def _wanted(self, prediction: Record) -> bool:
        if self._match is not None and prediction["subject_id"] != self._match:
            return False
        if prediction["shadow"] and not self._shadow:
            return False
        age = prediction["age_published_ms"]
        return self._max_age_ms is None or (age is not None and age <= self._max_age_ms)

    def close(self) -> None:
        """Leave the broker."""
        self._subscriber.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
