"""The online store on the whole platform: what the topics tell is in Redis, whatever happens on the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import redis

from features import layout, repo
from features.compare import Agreement, Difference, compare, newest
from features.online import OnlineReader, State
from features.views import VIEWS, View, find_view
from infra import stack as local
from models import vector
from riftstream.cli import platform
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer
from streams.replay import replay
from streams.sources import sample
from tests.integration.tools import kill, new_match, now_ms, until, wait_for

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
    last: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record["source_offset"]):
        last[record["player_id"]] = record
    players, expected = list(last), [record["games"] for record in last.values()]
    until(lambda: games(settings, players) == expected, "the newest form of every player in Redis", 60)
    feast = repo.store(settings).get_online_features(
        ["player_form:games", "player_form:form"], [{"player_id": player} for player in players]
    )
    assert feast.to_dict()["games"] == expected
    assert feast.to_dict()["form"] == [record["form"] for record in last.values()]


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


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_stock_feast_and_the_fast_path_give_what_the_topic_told_for_every_entity(
    stack: Settings, played: str, view: View
) -> None:
    feast = repo.store(stack)
    found: list[Agreement] = []

    def equal() -> bool:
        found.append(compare(view, stack, feast, lambda record: record["match_id"].endswith(played)))
        return found[-1].entities > 0 and found[-1].equal

    until(equal, f"every entity of {view.name}: {found[-1:]}", 60)
    assert found[-1].values == found[-1].entities * len(view.features)


def test_a_value_that_is_not_what_the_topic_told_is_found_and_so_is_an_entity_that_is_not_there(
    stack: Settings, played: str
) -> None:
    view, feast = find_view("match_state"), repo.store(stack)

    def of_run(record: Record) -> bool:
        return bool(record["match_id"].endswith(played))

    one, other = [record for record in newest(view, stack) if of_run(record)][:2]
    key = layout.KeyMaker(view.keys).key
    client: Any = redis.Redis.from_url(stack.redis_url.get_secret_value())
    field = layout.feature_field("match_state", "kills_blue")
    mine, away = key(one["match_id"].encode()), key(other["match_id"].encode())
    client.hset(mine, field, layout.encoded("long", 99))
    client.rename(away, b"away")
    try:
        found = compare(view, stack, feast, of_run)
    finally:
        client.rename(b"away", away)
        client.hset(mine, field, layout.encoded("long", one["kills_blue"]))
        client.close()
    expected = Difference((one["match_id"],), "kills_blue", one["kills_blue"], 99, 99)
    assert (found.differ, found.missing, found.unsettled, found.first) == (1, 1, 0, [expected])
    assert not found.equal


def test_a_served_vector_is_the_models_own(stack: Settings, played: str) -> None:
    states = [row for row in newest(find_view("match_state"), stack) if row["match_id"].endswith(played)]
    reader = OnlineReader(stack)
    found = reader.get(SERVICE, [row["match_id"] for row in states])
    expected = vector.from_records(states, found.service.names)
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
