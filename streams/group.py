"""Reading topics as a member of a consumer group: what was dealt with is committed, not what was read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import confluent_kafka as kafka
import structlog

from riftstream.errors import DeliveryError, SchemaError, StackError
from riftstream.settings import Settings, get_settings
from streams.client import Producer, take
from streams.clock import now_ms

log = structlog.get_logger()

_LOST_PLACE = (
    kafka.KafkaError.ILLEGAL_GENERATION,
    kafka.KafkaError.UNKNOWN_MEMBER_ID,
    kafka.KafkaError.REBALANCE_IN_PROGRESS,
    kafka.KafkaError._ASSIGNMENT_LOST,
)


class GroupReader:
    """One member of a consumer group.

    After a crash what was not committed is read again, so whoever uses it must be able to do a thing twice.

    Args:
        group: Name of the consumer group.
        topics: Topics to read.
        settings: Where Kafka and the registry are; the process's settings by default.
        commit_seconds: How often offsets are committed.
        before_commit: Finishes what was handed on, so that it may be committed; called before each commit and
            when a partition is taken away.
    """

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        settings: Settings | None = None,
        *,
        commit_seconds: float = 1.0,
        before_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings = settings or get_settings()
        self._group = group
        self._topics = list(topics)
        self._commit_seconds = commit_seconds
        self._committed_at = time.monotonic()
        self._before_commit = before_commit
        self._done: dict[tuple[str, int], int] = {}
        self._dead_letters: Producer | None = None
        self._consumer = kafka.Consumer(
            {
                "bootstrap.servers": self._settings.kafka_bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                # Few large fetches: a batch for each record would cost more than the record.
                "fetch.min.bytes": 65_536,
                "fetch.wait.max.ms": 5,
                # A member that was killed holds its partitions for this long.
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 2000,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )

    def join(self) -> None:
        """Become a member of the group."""
        self._consumer.subscribe(self._topics, on_revoke=lambda *_: self.commit())

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def take(self, most: int, seconds: float) -> list[kafka.Message]:
        """What is there now, at most ``most``: the first message is waited for, the others are not.

        Raises:
            StackError: Kafka can't be read.
        """
        messages = take(self._consumer, most, seconds)
        for message in messages:
            error = message.error()
            if error is not None:
                raise StackError(
                    f"{' and '.join(self._topics)} cannot be read: {error.str()}.", "See 'rift status'."
                )
        return messages

    def done(self, messages: Iterable[kafka.Message]) -> None:
        """These messages were dealt with; the next commit holds them."""
        for message in messages:
            self._done[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1

    def hold(self, seconds: float, unless: Callable[[], bool]) -> None:
        """Wait without losing the place in the group: polling a paused partition gives nothing."""
        self._consumer.pause(self._consumer.assignment())
        deadline = time.monotonic() + seconds
        while not unless() and (left := deadline - time.monotonic()) > 0:
            self._consumer.poll(min(left, 0.1))
        self._consumer.resume(self._consumer.assignment())

    def bury(self, message: kafka.Message, broken: SchemaError) -> None:
        """Keep a record that can't be read as a dead letter; it must not stop those behind it."""
        if self._dead_letters is None:
            self._dead_letters = Producer(self._settings, topic="dead-letters")
        topic, partition, offset = message.topic() or "", message.partition() or 0, message.offset() or 0
        self._dead_letters.send(
            {
                "dead_letter_id": f"{topic}:{partition}:{offset}",
                "source_topic": topic,
                "source_partition": partition,
                "source_offset": offset,
                "source_time": message.timestamp()[1],
                "stage": "serving",
                "reason": "undecodable",
                "detail": broken.message,
                "record_key": message.key(),
                "record_value": message.value(),
                "first_seen": now_ms(),
            }
        )
        log.warning("dead_letter", group=self._group, topic=topic, partition=partition, offset=offset)

    def commit_when_due(self) -> None:
        """Commit if the last commit is long enough ago."""
        if self._done and time.monotonic() - self._committed_at >= self._commit_seconds:
            self.commit()

    def commit(self) -> None:
        """Commit what is done, after whatever it led to is safe.

        Raises:
            DeliveryError: Kafka did not take a dead letter or the offsets.
        """
        self._committed_at = time.monotonic()
        self._before_commit()
        if not self._done:
            return
        if self._dead_letters is not None:
            self._dead_letters.flush()
        places = [
            kafka.TopicPartition(topic, partition, offset)
            for (topic, partition), offset in self._done.items()
        ]
        self._done = {}
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except kafka.KafkaException as cause:
            if cause.args[0].code() in _LOST_PLACE:
                log.warning("place_lost", group=self._group, error=cause.args[0].str())
                return
            raise DeliveryError(
                f"Offsets of {' and '.join(self._topics)} could not be committed: {cause.args[0].str()}."
            ) from cause
