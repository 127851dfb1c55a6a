"""The job as a Faust application: tables in memory with changelog topics, commits every 5 s.

A windowed table tells a window again with each event that falls into it: Faust closes windows by the time of
the machine and never by event time, so there is nothing else to wait for.
"""

from __future__ import annotations

from typing import Any

import mode.loop

from bench.peer_programs.shared import SNAPSHOT_SECONDS, WINDOW_MS, Event, Job, Window, advance, fold, parts
from bench.peer_programs.shared import read_job as read

# Before Faust is imported, or the loop is made without it.
mode.loop.use("uvloop")

import faust  # noqa: E402
from faust.serializers import codecs  # noqa: E402


class _Frames(codecs.Codec):
    """Frames to events, with the function that all programs share."""

    def __init__(self, job: Job | None = None, **more: Any) -> None:
        super().__init__(job=job, **more)
        self._decode = job.decoder() if job else None

    def _loads(self, frame: bytes) -> Event:
        assert self._decode is not None
        return self._decode(frame)


def application(job: Job) -> faust.App:
    """The application."""
    encode_state, encode_window = job.state_encoder(), job.window_encoder()
    codecs.register("match_event", _Frames(job))
    app = faust.App(
        job.group,
        broker=f"kafka://{job.bootstrap}",
        store="memory://",
        datadir=f"{job.folder}/{job.index}",
        topic_partitions=4,
        topic_disable_leader=True,
        broker_commit_interval=SNAPSHOT_SECONDS,
        broker_max_poll_records=1_000,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        # Whoever begins before the others have joined does work that is done again when they have.
        stream_recovery_delay=3.0,
        producer_linger=0.02,
        producer_max_batch_size=262_144,
        producer_compression_type="lz4",
        web_enabled=False,
    )
    source = app.topic(job.events, key_serializer="raw", value_serializer="match_event")
    raw: dict[str, Any] = {"key_serializer": "raw", "value_serializer": "raw"}
    states_out, windows_out = app.topic(job.states, **raw), app.topic(job.windows, **raw)
    states = app.Table("states", partitions=4)
    tumbling: Any = app.Table("windows", default=dict, partitions=4).tumbling(WINDOW_MS / 1000)
    windows = tumbling.relative_to(lambda event: event.value["event_time"] / 1000)

    async def count(stream: Any) -> None:
        async for message in stream.events():
            event = message.value
            match_id, at = event["match_id"], event["event_time"]
            state = states[match_id] = advance(states.get(match_id), event)
            await states_out.send(key=message.key, value=encode_state(state))
            taken = parts(event)
            if not taken:
                continue
            start = at // WINDOW_MS * WINDOW_MS
            window: Window = windows[match_id].apply(fold, taken).value()
            for key, value in encode_window(match_id, start, window):
                await windows_out.send(key=key, value=value)

    app.agent(source)(count)
    return app


def main() -> None:
    """Run until stopped."""
    job = read()
    worker = faust.Worker(application(job), loglevel="warning")
    job.wait_for_all()
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()
