"""kill -9 of one part in mid-stream: nothing is lost, nothing is doubled, every event has its prediction."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from infra import stack as local
from lakehouse.catalog import connect
from riftstream.cli import platform
from riftstream.settings import Settings
from streams.client import Producer
from tests.integration.tools import event, kill, new_match, until, wait_for

pytestmark = pytest.mark.stack

MATCHES = 20
EVENTS = 60
SECONDS = 12.0


def _send_slowly(settings: Settings, matches: list[str]) -> None:
    """``EVENTS`` events of each match, spread over ``SECONDS``."""
    with Producer(settings) as producer:
        for ordinal in range(EVENTS):
            for match in matches:
                producer.send(event(match, ordinal, game_time_ms=ordinal * 20_000))
            time.sleep(SECONDS / EVENTS)


@pytest.fixture
def healed() -> Iterator[None]:
    """Whatever a test did, the next one finds a whole platform."""
    yield
    platform.start()


def _survives(settings: Settings, name: str, disturb: Callable[[], None]) -> None:
    matches = [new_match(f"{name}-{number}") for number in range(MATCHES)]
    sender = threading.Thread(target=_send_slowly, args=(settings, matches))
    sender.start()
    time.sleep(SECONDS / 3)
    disturb()
    sender.join()

    total = MATCHES * EVENTS
    names = set(matches)
    features = wait_for(
        settings, "match-features", lambda row: row["match_id"] in names, total, 120, identity="event_id"
    )
    assert Counter(row["match_id"] for row in features) == dict.fromkeys(matches, EVENTS)
    for match in matches:
        kills = sorted((r["source_offset"], r["kills_blue"]) for r in features if r["match_id"] == match)
        assert [count for _, count in kills] == list(range(1, EVENTS + 1))

    predictions = wait_for(
        settings, "predictions", lambda row: row["match_id"] in names, total, 120, identity="prediction_id"
    )
    assert {p["event_id"] for p in predictions} == {row["event_id"] for row in features}
    assert len(predictions) == total, "two predictions of one event must have the same prediction_id"

    def in_the_lake() -> Counter[str]:
        from lakehouse.tables import events

        return Counter(row for match in matches for row in events(match)["event_id"].to_pylist())

    expected = Counter(row["event_id"] for row in features)
    until(lambda: in_the_lake().total() >= total, "all events in raw.match_events", 60)
    assert in_the_lake() == expected, "each accepted event is in Iceberg exactly once"
    _features_are_in_the_lake_once(settings, matches, expected)


def _features_are_in_the_lake_once(settings: Settings, matches: list[str], expected: Counter[str]) -> None:
    """``history_to_lake`` wrote the features of each event as one row, though the topic may repeat them."""
    table = connect(settings).load_table("features.match_state")
    listed = ", ".join(f"'{match}'" for match in matches)

    def kept() -> Counter[str]:
        table.refresh()
        rows = table.scan(f"match_id IN ({listed})", selected_fields=("event_id",)).to_arrow()
        return Counter(rows["event_id"].to_pylist())

    until(
        lambda: kept().total() >= expected.total(), "the features of all events in features.match_state", 90
    )
    assert kept() == expected


@pytest.mark.usefixtures("healed")
def test_a_killed_task_manager_loses_and_doubles_nothing(stack: Settings) -> None:
    def disturb() -> None:
        # The job finds what it has committed although its own snapshots are gone.
        _keep_in_shape(stack)
        kill("taskmanager")
        local.up(["taskmanager"])
        _keep_in_shape(stack)

    _survives(stack, "taskmanager", disturb)


def _keep_in_shape(settings: Settings) -> None:
    """Put the small files of the events together, and forget all old snapshots."""
    from lakehouse import maintenance, snapshots
    from lakehouse.catalog import connect

    table = connect(settings).load_table("raw.match_events")
    maintenance.compact(table, maintenance.Policy(min_files=2))
    snapshots.expire(table, [snapshot.snapshot_id for snapshot in table.snapshots()])


@pytest.mark.usefixtures("healed")
def test_a_killed_prediction_loop_skips_no_event(stack: Settings) -> None:
    def disturb() -> None:
        kill("predictor")
        time.sleep(1)
        platform.start_applications()

    _survives(stack, "predictor", disturb)


@pytest.mark.usefixtures("healed")
def test_a_killed_triton_is_waited_for_and_no_event_is_skipped(stack: Settings) -> None:
    def disturb() -> None:
        kill("triton")
        time.sleep(2)
        local.up(["triton"])
        platform.start_applications()

    _survives(stack, "triton", disturb)


@pytest.mark.usefixtures("healed")
def test_a_second_start_of_a_whole_platform_changes_nothing(stack: Settings) -> None:
    before = {status.name: status.pid for status in local.health()}
    assert platform.start() == []
    assert {status.name: status.pid for status in local.health()} == before
