"""The job as a loop over confluent-kafka: state in dicts, lost with the process."""

from __future__ import annotations

import time
from collections import defaultdict

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.peer_programs.shared import (
    LATENESS_MS,
    PRODUCER,
    SNAPSHOT_SECONDS,
    WINDOW_MS,
    State,
    Window,
    advance,
    fold,
    parts,
    read_job,
)

BATCH = 10_000


class Windows:
    """Open windows of one partition by start; they close as the partition's event time goes on."""

    def __init__(self) -> None:
        self.newest = 0
        self._open: dict[int, dict[str, Window]] = {}

    def add(self, event_time: int, match_id: str, taken: list[tuple[str, int, int, int]]) -> None:
        """Put an event's parts into their window."""
        matches = self._open.setdefault(event_time // WINDOW_MS * WINDOW_MS, {})
        fold(matches.setdefault(match_id, {}), taken)

    def close(self) -> list[tuple[int, dict[str, Window]]]:
        """Windows that the watermark has passed."""
        passed = self.newest - LATENESS_MS - WINDOW_MS
        return [(start, self._open.pop(start)) for start in sorted(self._open) if start <= passed]


def main() -> None:
    """Read, count, write, for ever."""
    job = read_job()
    decode, encode_state, encode_window = job.decoder(), job.state_encoder(), job.window_encoder()
    producer = Producer({"bootstrap.servers": job.bootstrap, **PRODUCER})
    consumer = Consumer(
        {
            "bootstrap.servers": job.bootstrap,
            "group.id": job.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.min.bytes": 65_536,
        }
    )
    topic = consumer.list_topics(job.events, timeout=10).topics[job.events]
    if topic.error is not None:
        raise SystemExit(f"{job.events}: {topic.error}")
    partitions = sorted(topic.partitions)
    mine = partitions[job.index :: job.processes]
    consumer.assign([TopicPartition(job.events, partition) for partition in mine])

    states: dict[str, State] = {}
    windows: dict[int, Windows] = defaultdict(Windows)
    job.wait_for_all()
    committed = time.monotonic()

    def send(topic: str, key: bytes | None, value: bytes) -> None:
        while True:
            try:
                producer.produce(topic, value, key)
                return
            except BufferError:
                producer.poll(0.1)

    while True:
        messages = consumer.consume(BATCH, 0.1)
        for message in messages:
            event = decode(message.value() or b"")
            match_id = event["match_id"]
            state = states[match_id] = advance(states.get(match_id), event)
            send(job.states, message.key(), encode_state(state))
            of_partition = windows[message.partition() or 0]
            of_partition.newest = max(of_partition.newest, event["event_time"])
            taken = parts(event)
            if taken:
                of_partition.add(event["event_time"], match_id, taken)
        for of_partition in windows.values():
            for start, matches in of_partition.close():
                for match_id, window in matches.items():
                    for key, value in encode_window(match_id, start, window):
                        send(job.windows, key, value)
        producer.poll(0)
        if messages and time.monotonic() - committed > SNAPSHOT_SECONDS:
            producer.flush()
            consumer.commit(asynchronous=False)
            committed = time.monotonic()


if __name__ == "__main__":
    main()
