"""What the integration tests share: make events, send bytes, wait for what must come."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from infra import stack as local
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer, Subscriber
from streams.identity import identify

PATIENCE = 60.0

_numbers = itertools.count(time.time_ns() // 1_000_000)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def new_match(name: str = "match") -> str:
    """A match id that no other test has."""
    return f"TEST/{name}-{next(_numbers)}"


def event(match_id: str, ordinal: int, event_type: str = "CHAMPION_KILL", **fields: Any) -> Record:
    """A good event at minute ``ordinal`` of the match clock; ``fields`` replace or add."""
    base: Record = {
        "match_id": match_id,
        "event_type": event_type,
        "event_time": now_ms(),
        "game_time_ms": ordinal * 60_000,
        "ordinal": ordinal,
        "source": "test",
        "league": "TEST",
        "season": "2017 Summer",
    }
    if event_type == "CHAMPION_KILL":
        base |= {"team": "blue", "player_id": "Bjergsen", "victim_id": "Hai", "assist_ids": ["Dyrus"]}
    made = base | fields
    if "event_id" not in made:
        made["event_id"] = identify(base | {key: value for key, value in fields.items() if value is not None})
    return made


def send(settings: Settings, *events: Record) -> None:
    with Producer(settings) as producer:
        producer.send_batch(events)


def read_all(settings: Settings, topic: str) -> list[Record]:
    """All that a topic holds now."""
    with Subscriber(topic, settings, start="earliest", stop_at_end=True, skip_broken=True) as subscriber:
        return [received.record for received in subscriber]


def wait_for(
    settings: Settings,
    topic: str,
    wanted: Callable[[Record], bool],
    count: int = 1,
    patience: float = PATIENCE,
    identity: str | None = None,
) -> list[Record]:
    """Records of a topic, its past included, that are wanted: at least ``count``, else the test fails.

    With ``identity`` records that are equal in that field count once.
    """
    found: dict[Any, Record] = {}
    deadline = time.monotonic() + patience
    with Subscriber(topic, settings, start="earliest", skip_broken=True) as subscriber:
        while len(found) < count and time.monotonic() < deadline:
            for received in subscriber.poll(0.2):
                if wanted(received.record):
                    key = received.record[identity] if identity else (received.partition, received.offset)
                    found[key] = received.record
    assert len(found) >= count, f"{len(found)} of {count} records came on {topic} within {patience:.0f} s"
    return list(found.values())


def of_match(match_id: str) -> Callable[[Record], bool]:
    return lambda record: record["match_id"] == match_id


def until(check: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until a check holds, else the test fails."""
    deadline = time.monotonic() + patience
    while not check():
        assert time.monotonic() < deadline, f"{what}: not within {patience:.0f} s"
        time.sleep(0.5)


def kill(part: str) -> None:
    """End a part as a crash would: at once, without a word."""
    status = next(status for status in local.health() if status.name == part)
    assert status.state == "ready" and status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    until(lambda: _state(part) == "dead", f"{part} is seen to be dead", 20)


def _state(part: str) -> str:
    return next(status.state for status in local.health() if status.name == part)


def newest_windows(rows: list[Record]) -> dict[tuple[str, str, int], Record]:
    """Of each player's window in a match its newest record; records of late events must be none."""
    newest: dict[tuple[str, str, int], Record] = {}
    for row in sorted(rows, key=lambda row: (row["source_offset"], row["events"])):
        assert not row["late"], "these tests send no event ten minutes late"
        newest[row["player_id"], row["match_id"], row["window_start"]] = row
    return newest
