"""Which offsets a topic holds."""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition

from riftstream.errors import StackError

_TIMEOUT = 10.0


def bounds(consumer: Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """First offset and the one after the last, by partition, as the broker has them now.

    Raises:
        StackError: The topic does not exist.
        KafkaException: Kafka does not answer.
    """
    partitions = consumer.list_topics(topic, timeout=_TIMEOUT).topics[topic].partitions
    if not partitions:
        raise StackError(f"The topic {topic} does not exist.", "Make it with 'rift apply'.")
    return {
        partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT)
        for partition in sorted(partitions)
    }
