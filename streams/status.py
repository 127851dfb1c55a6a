"""How full the topics are, how far behind their readers, and how old their newest record is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from riftstream.errors import StackError
from riftstream.settings import Settings
from streams.clock import now_ms
from streams.schemas import all_schemas

_TIMEOUT = 10.0


@dataclass(frozen=True)
class TopicStatus:
    """State of one topic.

    Attributes:
        name: Topic.
        partitions: Number of partitions; 0 where the topic does not exist.
        records: Records that are kept.
        newest_age_ms: Time since the broker appended the newest record, ms; None where there is none.
        lag: Records that each consumer group has not read yet.
    """

    name: str
    partitions: int
    records: int
    newest_age_ms: int | None
    lag: dict[str, int] = field(default_factory=dict)


def topic_status(settings: Settings) -> list[TopicStatus]:
    """State of all our topics, in the order of their names.

    Raises:
        StackError: Kafka does not answer.
    """
    try:
        return _topic_status(settings)
    except KafkaException as cause:
        raise StackError(
            f"Kafka at {settings.kafka_bootstrap} does not answer: {cause.args[0].str()}.",
            "Start it with 'rift up', or set RIFT_KAFKA_BOOTSTRAP.",
        ) from cause


def _topic_status(settings: Settings) -> list[TopicStatus]:
    admin = AdminClient({"bootstrap.servers": settings.kafka_bootstrap, "log_level": 0})
    found = admin.list_topics(timeout=_TIMEOUT).topics
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka_bootstrap,
            "group.id": "rift-status",
            "enable.auto.commit": False,
            "log_level": 0,
        }
    )
    try:
        bounds = {
            (name, partition): consumer.get_watermark_offsets(
                TopicPartition(name, partition), timeout=_TIMEOUT
            )
            for name in all_schemas()
            if name in found
            for partition in found[name].partitions
        }
        newest = _newest_times(consumer, bounds)
    finally:
        consumer.close()
    lags = _lags(admin, bounds)
    now = now_ms()
    statuses = []
    for name in sorted(all_schemas()):
        mine = {key: value for key, value in bounds.items() if key[0] == name}
        times = [newest[key] for key in mine if key in newest]
        statuses.append(
            TopicStatus(
                name=name,
                partitions=len(mine),
                records=sum(high - low for low, high in mine.values()),
                newest_age_ms=max(0, now - max(times)) if times else None,
                lag=lags.get(name, {}),
            )
        )
    return statuses


def _newest_times(
    consumer: Consumer, bounds: dict[tuple[str, int], tuple[int, int]]
) -> dict[tuple[str, int], int]:
    """Append time (ms) of the last record of each partition that has one."""
    wanted = {key: high for key, (low, high) in bounds.items() if high > low}
    consumer.assign([TopicPartition(name, part, high - 1) for (name, part), high in wanted.items()])
    times: dict[tuple[str, int], int] = {}
    deadline = time.monotonic() + _TIMEOUT
    while len(times) < len(wanted) and time.monotonic() < deadline:
        for message in consumer.consume(100, 0.2):
            if message.error() is None:
                times[message.topic() or "", message.partition() or 0] = message.timestamp()[1]
    return times


def _lags(admin: AdminClient, bounds: dict[tuple[str, int], tuple[int, int]]) -> dict[str, dict[str, int]]:
    """Records not read yet, by topic and consumer group; only groups that committed something."""
    groups = [group.group_id for group in admin.list_consumer_groups().result(_TIMEOUT).valid]
    lags: dict[str, dict[str, int]] = {}
    for group in groups:
        answer = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        for place in answer[group].result(_TIMEOUT).topic_partitions:
            key = (place.topic, place.partition)
            if key in bounds and place.offset >= 0:
                behind = max(0, bounds[key][1] - max(place.offset, bounds[key][0]))
                by_group = lags.setdefault(place.topic, {})
                by_group[group] = by_group.get(group, 0) + behind
    return lags
