"""The job as a Quix Streams application: RocksDB state with changelog topics, commits every 5 s.

The windows are those of a match, each holding its players, so that no repartition topic is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from quixstreams import Application, State
from quixstreams.models import Deserializer, Serializer

from bench.peer_programs.shared import (
    LATENESS_MS,
    PRODUCER,
    SNAPSHOT_SECONDS,
    WINDOW_MS,
    Event,
    Part,
    Window,
    advance,
    fold,
    parts,
    read_job,
)


class _Frames(Deserializer):  # type: ignore[misc]
    """Frames to events, with the function that all programs share."""

    def __init__(self, decode: Callable[[bytes], Event]) -> None:
        super().__init__()
        self._decode = decode

    def __call__(self, value: bytes, ctx: Any) -> Event:
        return self._decode(value)


class _ValueOfPair(Serializer):  # type: ignore[misc]
    """Of a key and a value, the value, which is bytes already."""

    def __call__(self, value: tuple[bytes, bytes], ctx: Any) -> bytes:
        return value[1]


def main() -> None:
    """Run until stopped."""
    job = read_job()
    decode, encode_state, encode_window = job.decoder(), job.state_encoder(), job.window_encoder()
    app = Application(
        broker_address=job.bootstrap,
        consumer_group=job.group,
        auto_offset_reset="earliest",
        commit_interval=SNAPSHOT_SECONDS,
        state_dir=f"{job.folder}/{job.index}",
        producer_extra_config=PRODUCER,
        consumer_extra_config={"fetch.min.bytes": 65_536},
        loglevel="WARNING",
    )
    states = app.topic(job.states, key_serializer="bytes", value_serializer="bytes")
    windows = app.topic(job.windows, key_serializer="bytes", value_serializer=_ValueOfPair())

    def event_time(value: Any, headers: Any, timestamp: float, kind: Any) -> int:
        """Windows run on the time in the event; the message is decoded here, once."""
        return int(value["event_time"])

    source = app.topic(
        job.events,
        key_deserializer="bytes",
        value_deserializer=_Frames(decode),
        timestamp_extractor=event_time,
    )

    def step(event: Event, state: State) -> bytes:
        advanced = advance(state.get("state"), event)
        state.set("state", advanced)
        return encode_state(advanced)

    def first(taken: list[Part]) -> Window:
        return fold({}, taken)

    def closed(window: dict[str, Any], key: bytes, *_: Any) -> list[tuple[bytes, bytes]]:
        return encode_window(key.decode(), window["start"], window["value"])

    events = app.dataframe(source)
    events.apply(step, stateful=True).to_topic(states)
    (
        events.apply(parts)
        .filter(bool)
        .tumbling_window(WINDOW_MS, grace_ms=LATENESS_MS)
        .reduce(fold, first)
        .final(closing_strategy="partition")
        .apply(closed, expand=True, metadata=True)
        .to_topic(windows, key=lambda record: record[0])
    )
    job.wait_for_all()
    app.run()


if __name__ == "__main__":
    main()
