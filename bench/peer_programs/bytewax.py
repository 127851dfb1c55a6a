"""The job as a Bytewax dataflow: stateful map and folded windows by match, recovery snapshots every 5 s.

The windows are those of a match, each holding its players: one window to keep instead of one a player.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators.windowing import EventClock, TumblingWindower, fold_window
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from bench.peer_programs.shared import (
    LATENESS_MS,
    PRODUCER,
    SNAPSHOT_SECONDS,
    WINDOW_MS,
    Event,
    Job,
    Part,
    State,
    Window,
    advance,
    fold,
    parts,
    read_job,
)

BATCH = 5_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
WAIT = timedelta(milliseconds=LATENESS_MS)
LENGTH = timedelta(milliseconds=WINDOW_MS)

Taken = tuple[int, list[Part]]


def flow(job: Job) -> Dataflow:
    """The dataflow."""
    decode, encode_state, encode_window = job.decoder(), job.state_encoder(), job.window_encoder()
    brokers = [job.bootstrap]

    def keyed(message: Any) -> tuple[str, Event]:
        event = decode(message.value)
        return event["match_id"], event

    def step(state: State | None, event: Event) -> tuple[State, bytes]:
        state = advance(state, event)
        return state, encode_state(state)

    def taken(item: tuple[str, Event]) -> tuple[str, Taken] | None:
        match_id, event = item
        found = parts(event)
        return (match_id, (event["event_time"], found)) if found else None

    def closed(item: tuple[str, tuple[int, Window]]) -> list[KafkaSinkMessage[bytes, bytes]]:
        match_id, (number, window) = item
        return [KafkaSinkMessage(*record) for record in encode_window(match_id, number * WINDOW_MS, window)]

    # The clock of a match goes on with the machine's when no event comes, which closes its last windows. The
    # runtime has to be told when to look: event time is in the past, and it would look all the time.
    clock: EventClock[Taken] = EventClock(
        ts_getter=lambda item: EPOCH + item[0] * MILLISECOND,
        wait_for_system_duration=WAIT,
        to_system_utc=lambda _: datetime.now(UTC) + WAIT + LENGTH,
    )
    dataflow = Dataflow("peers")
    source = KafkaSource(brokers, [job.events], batch_size=BATCH)
    events = op.map("decode", op.input("events", dataflow, source), keyed)
    states = op.stateful_map("state", events, step)
    messages = op.map("to_kafka", states, lambda item: KafkaSinkMessage(item[0].encode(), item[1]))
    op.output("states", messages, KafkaSink(brokers, job.states, add_config=PRODUCER))
    windows = fold_window(
        "windows",
        op.filter_map("parts", events, taken),
        clock,
        TumblingWindower(length=LENGTH, align_to=EPOCH),
        builder=dict,
        folder=lambda window, item: fold(window, item[1]),
        merger=lambda one, _: one,
        ordered=False,
    )
    op.output(
        "out_windows",
        op.flat_map("players", windows.down, closed),
        KafkaSink(brokers, job.windows, add_config=PRODUCER),
    )
    return dataflow


def main() -> None:
    """Run this process of the cluster."""
    job = read_job()
    folder = Path(job.folder) / "recovery"
    if job.index == 0:
        folder.mkdir()
        init_db_dir(folder, job.processes)
    job.wait_for_all()
    alone = job.processes == 1
    cli_main(
        flow(job),
        process_id=None if alone else job.index,
        addresses=None if alone else job.addresses,
        epoch_interval=timedelta(seconds=SNAPSHOT_SECONDS),
        recovery_config=RecoveryConfig(folder),
    )


if __name__ == "__main__":
    main()
