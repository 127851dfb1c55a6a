"""The online store on the whole platform: what the topics tell is in Redis, whatever happens on the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from features import repo
from features.online import OnlineReader, State
from features.views import View, find_view
from infra import stack as local
from models import vector
from riftstream.cli import platform
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer
from streams.replay import replay
from streams.sources import sample
from tests.integration.tools import kill, new_match, now_ms, read_all, until, wait_for

pytestmark = pytest.mark.stack

FORM = find_view("player_form")
SERVICE = "win_probability_v1"


def forms(run: str, players: int, rows: int, seed: int) -> list[Record]:
    """Forms of some players in no order, a fifth of them twice; ``games`` counts up with the event time."""
    chance = random.Random(seed)  # noqa: S311
    made = [
        {
            "player_id": f"{run}-{player}",
            "as_of": now_ms(),
            "match_id": run,
            "event_time": 1_700_000_000_000 + row,
            "source_partition": 0,
            "source_offset": row,
            "games": row,
            "form": row / rows,
            **dict.fromkeys(("wins", "kills", "deaths", "assists"), player),
        }
        for player in range(players)
        for row in range(rows)
    ]
    made += chance.sample(made, len(made) // 5)
    chance.shuffle(made)
    return made


def send(settings: Settings, records: list[Record], seconds: float = 0) -> None:
    with Producer(settings, topic=FORM.topic) as producer:
        for number, record in enumerate(records):
            producer.send(record)
            if seconds and number % 100 == 0:
                time.sleep(seconds * 100 / len(records))


def games(settings: Settings, players: list[str]) -> list[Any]:
    reader = OnlineReader(settings)
    try:
        return [row["games"] for row in reader.get("player_form", players).rows]
    finally:
        reader.close()


def ends_right(settings: Settings, records: list[Record]) -> None:
    """Wait until every player has the newest of these records, and see that stock Feast says so too."""
    newest: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record["source_offset"]):
        newest[record["player_id"]] = record
    players, expected = list(newest), [record["games"] for record in newest.values()]
    until(lambda: games(settings, players) == expected, "the newest form of every player in Redis", 60)
    feast = repo.store(settings).get_online_features(
        ["player_form:games", "player_form:form"], [{"player_id": player} for player in players]
    )
    assert feast.to_dict()["games"] == expected
    assert feast.to_dict()["form"] == [record["form"] for record in newest.values()]


def test_the_newest_record_is_in_redis_though_they_came_twice_and_in_no_order(stack: Settings) -> None:
    records = forms(new_match("shuffled"), players=20, rows=40, seed=1)
    send(stack, records)
    ends_right(stack, records)


def disturbed(settings: Settings, run: str, disturb: Callable[[], None]) -> None:
    """Send records over some seconds, disturb, and see that all is right at the end."""
    records = forms(new_match(run), players=40, rows=60, seed=2)
    sender = threading.Thread(target=send, args=(settings, records, 5.0))
    sender.start()
    try:
        time.sleep(2)
        disturb()
    finally:
        sender.join()
        platform.start_applications()
    ends_right(settings, records)


def test_a_killed_writer_loses_nothing(stack: Settings) -> None:
    def disturb() -> None:
        kill("online-store")
        time.sleep(1)
        platform.start_applications()

    disturbed(stack, "writer-killed", disturb)


def test_a_killed_redis_is_waited_for_and_nothing_is_lost(stack: Settings) -> None:
    def disturb() -> None:
        kill("redis")
        time.sleep(2)
        local.up(["redis"])

    disturbed(stack, "redis-killed", disturb)


def test_a_record_that_cannot_be_read_is_a_dead_letter_and_the_next_one_is_written(stack: Settings) -> None:
    run = new_match("broken")
    (good,) = forms(run, players=1, rows=1, seed=3)
    with Producer(stack, topic=FORM.topic) as producer:
        producer.send_bytes(b"\x00 no record", run.encode())
        producer.send(good)
    ends_right(stack, [good])
    (letter,) = wait_for(stack, "dead-letters", lambda letter: letter["record_key"] == run.encode())
    assert letter["reason"] == "undecodable"
    assert letter["source_topic"] == FORM.topic


@pytest.fixture(scope="module")
def played(stack: Settings) -> str:
    """Real matches went through the pipeline; gives what their ids end with."""
    run = new_match("online").rpartition("/")[2]
    matches = list(sample.matches())[:12]
    with Producer(stack) as producer:
        replay(matches, producer.send, speed=float("inf"), concurrent=6, label=run)
    total = sum(map(len, matches))
    wait_for(stack, "match-features", lambda row: row["match_id"].endswith(run), total, 120, "event_id")
    return run


def newest_on(settings: Settings, view: View, run: str) -> dict[str, Record]:
    """Of each entity the record that must be in Redis, if its newest one is of this run."""

    def place(record: Record) -> tuple[Any, ...]:
        return (record["event_time"], *(record[name] for name in view.order))

    newest: dict[str, Record] = {}
    for record in sorted(read_all(settings, view.topic), key=place):
        newest[record[view.keys[0]]] = record
    return {key: record for key, record in newest.items() if record["match_id"].endswith(run)}


@pytest.mark.parametrize("name", ["match_state", "player_window"])
def test_stock_feast_and_the_fast_path_give_what_the_topic_told_for_every_entity(
    stack: Settings, played: str, name: str
) -> None:
    view = find_view(name)
    feast = repo.store(stack)
    reader = OnlineReader(stack)
    names = [field.name for field in view.features]

    def told() -> tuple[list[str], list[dict[str, Any]]]:
        newest = newest_on(stack, view, played)
        rows = [
            {f.name: _as_stored(record[f.name], f.logical) for f in view.features}
            for record in newest.values()
        ]
        return list(newest), rows

    def equal() -> bool:
        entities, rows = told()
        return bool(entities) and bool(reader.get(name, entities[:1000]).rows == rows[:1000])

    until(equal, f"every entity of {name}", 60)
    entities, rows = told()
    found = feast.get_online_features(
        [f"{name}:{feature}" for feature in names], [{view.keys[0]: entity} for entity in entities]
    ).to_dict()
    for feature in names:
        assert [_seconds(value) for value in found[feature]] == [row[feature] for row in rows], feature
    reader.close()


def test_a_served_vector_is_the_models_own(stack: Settings, played: str) -> None:
    newest = newest_on(stack, find_view("match_state"), played)
    reader = OnlineReader(stack)
    found = reader.get(SERVICE, list(newest))
    expected = vector.from_records(list(newest.values()), found.service.names)
    np.testing.assert_array_equal(found.matrix, expected)
    assert (found.state != State.MISSING).all()
    reader.close()


def test_the_writer_shows_in_the_status_with_its_lag(stack: Settings) -> None:
    found = platform.status()
    assert next(part.state for part in found.parts if part.name == "online-store") == "ready"

    def caught_up() -> bool:
        lags = {topic.name: topic.lag.get("online-store") for topic in platform.status().topics}
        return [lags["match-features"], lags["player-performance"]] == [0, 0]

    until(caught_up, "the online store's writer has caught up", 30)


def _as_stored(value: Any, logical: str) -> Any:
    return value // 1000 if logical and value is not None else value


def _seconds(value: Any) -> Any:
    return int(value.replace(tzinfo=UTC).timestamp()) if isinstance(value, datetime) else value
